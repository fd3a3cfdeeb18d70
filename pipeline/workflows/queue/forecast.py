"""How long a queue will take and how much disk it needs, before it begins.

The cost of a job is counted in pixel evaluations (`workflows.cost`). What one takes is known from jobs of the queue
that are done, else from earlier renders on this machine, else it is measured in a few evaluations.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

from pipeline.errors import TemperaError
from pipeline.runtime.progress import describe_seconds
from pipeline.store.stats import read_lines
from pipeline.workflows.forecast.cost import cost_key, expected_work, measure, seconds_of
from pipeline.workflows.forecast.disk import frame_bytes_per_px, in_words, video_bytes_per_px
from pipeline.workflows.forecast.remembered import recall, style_keys
from pipeline.workflows.missing_weights import missing_weights
from pipeline.workflows.queue.state import InputFacts, job_state, stored_frames

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.config.settings import Config
    from pipeline.stylers.loaded import Loaded
    from pipeline.workflows.queue.jobs import Job, Queue
    from pipeline.workflows.queue.state import Facts, State

_JOBS_LOOKED_AT: Final = 64
Basis = Literal["done", "measured", "unknown"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a queue will do: counts of jobs, frames that are left, seconds and bytes.

    `stills` and `clips` count all jobs but those whose input cannot be rendered, which `failing` counts. `basis` says
    where `seconds` come from: jobs that are done, a measurement, or nowhere; then they are None. `bytes_left` are those
    still to be written, `bytes_free` what the disk has.
    """

    inputs: int
    styles: int
    jobs: int
    stills: int
    clips: int
    done: int
    begun: int
    new: int
    failing: int
    cold_frames: int
    warm_frames: int
    seconds: float | None
    basis: Basis
    bytes_left: int
    bytes_free: int

    def in_words(self) -> str:
        """As in `63 inputs x 40 styles = 2,520 pictures, about 11 h 20 min, 4.1 GB`."""
        kind = "result" if self.stills and self.clips else "video" if self.clips else "picture"
        product = "=" if self.jobs == self.inputs * self.styles else "without what is skipped:"
        left = self.done > 0 and self.done < self.jobs
        time_left = "time unknown" if self.seconds is None else f"about {describe_seconds(self.seconds)}"
        return (
            f"{counted(self.inputs, 'input')} x {counted(self.styles, 'style')} {product} {counted(self.jobs, kind)}, "
            + (f"{self.jobs - self.done:,} left, " if left else "")
            + f"{time_left}, {in_words(self.bytes_left)}"
        )

    def lines(self) -> list[str]:
        """What `--dry-run` prints."""
        told = {"done": "from jobs that are done", "measured": "measured on this machine", "unknown": ""}
        unknown = "the weights of the network are not here: `tempera weights fetch` gets them"
        disk = f"about {in_words(self.bytes_left)} are still to be written, {in_words(self.bytes_free)} are free"
        failing = f", {self.failing:,} with an input that cannot be rendered" if self.failing else ""
        return [
            self.in_words(),
            f"jobs    {self.done:,} done, {self.begun:,} begun, {self.new:,} new{failing}",
            f"frames  {self.cold_frames:,} cold, {self.warm_frames:,} warm",
            "time    " + (unknown if self.seconds is None else f"{describe_seconds(self.seconds)}, {told[self.basis]}"),
            f"disk    {disk}",
        ]


def forecast(queue: Queue, loaded: Loaded, *, clean: bool = False) -> Forecast:
    """Look at every input and every job of a queue; nothing is written or downloaded.

    With `clean` stored frames are expected to be removed after each job.
    """
    facts = InputFacts(queue)
    counts: dict[str, int] = defaultdict(int)
    phases: dict[str, int] = defaultdict(int)
    work: dict[Hashable, float] = defaultdict(float)
    left: list[tuple[Job, Facts]] = []
    finished: list[tuple[Job, Facts]] = []
    size = 0.0
    for job in queue.jobs:
        try:
            found = facts.of(job)
        except TemperaError:
            counts["failing"] += 1
            continue
        state: State = job_state(queue, job, found, loaded)
        counts[state] += 1
        counts["stills" if found.source.frame_count == 1 else "clips"] += 1
        if state != "new":
            finished.append((job, found))
        if state == "done":
            continue
        left.append((job, found))
        cold, warm = expected_frames(job.style, found, 0 if state == "new" else stored_frames(queue, job))
        phases["cold"] += cold
        phases["warm"] += warm
        work[cost_key(job.style)] += expected_work(job.style, found.size, cold, warm)
        frames, pixels = found.source.frame_count, found.width_px * found.height_px
        size += pixels * frames * video_bytes_per_px(queue.output(job, frames), job.style.output)
        size += 0 if clean else pixels * (cold + warm) * frame_bytes_per_px(job.style)
    rates = _known_rates(queue, finished) if left else {}
    basis: Basis = "done" if work.keys() <= rates.keys() else "measured"
    for job, found in left if basis == "measured" else ():
        if cost_key(job.style) not in rates and (rate := _measured_rate(queue, job.style, found, loaded)):
            rates[cost_key(job.style)] = rate
    seconds = seconds_of(work, rates)
    return Forecast(
        inputs=len(queue.inputs),
        styles=len(queue.styles),
        jobs=len(queue.jobs),
        **{key: counts[key] for key in ("stills", "clips", "done", "begun", "new", "failing")},
        cold_frames=phases["cold"],
        warm_frames=phases["warm"],
        seconds=seconds,
        basis="unknown" if seconds is None else basis,
        bytes_left=round(size),
        bytes_free=_free_bytes(queue.folder),
    )


def expected_frames(config: Config, facts: Facts, stored: int = 0) -> tuple[int, int]:
    """How many cold and warm frames are left of a render, if it has no cut and no frame starts anew."""
    frames = max(0, -(-facts.source.frame_count // config.motion.hold) - stored)
    cold = frames if config.motion.every_frame_cold else int(frames > 0 and not stored)
    return cold, frames - cold


def counted(count: int, what: str) -> str:
    """`1 picture`, `2,520 pictures`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _known_rates(queue: Queue, jobs: list[tuple[Job, Facts]]) -> dict[Hashable, float]:
    """Seconds for each unit of work in the latest jobs that stored all of their frames, by cost key."""
    seconds: dict[Hashable, float] = defaultdict(float)
    work: dict[Hashable, float] = defaultdict(float)
    for job, facts in islice(reversed(jobs), _JOBS_LOOKED_AT):
        try:
            records = read_lines(queue.render_path(job) / "stats.jsonl")
        except TemperaError:
            continue
        by_frame = {record.get("frame"): record.get("seconds") for record in records}
        known = [value for value in by_frame.values() if isinstance(value, int | float)]
        cold, warm = expected_frames(job.style, facts)
        if len(known) == cold + warm:
            seconds[cost_key(job.style)] += sum(known)
            work[cost_key(job.style)] += expected_work(job.style, facts.size, cold, warm)
    return {key: seconds[key] / work[key] for key in work if seconds[key] > 0}


def _measured_rate(queue: Queue, config: Config, facts: Facts, loaded: Loaded) -> float | None:
    """Seconds for each unit of work as earlier renders took them, else measured with a small image.

    None where a network would have to be fetched.
    """
    if missing_weights(config, queue.weights):
        return None
    resources = loaded.resources(config, queue.weights)
    known = recall(style_keys(config, resources, facts.size))
    return known.get("cold") or measure(config, facts.size, resources).rate


def _free_bytes(folder: Path) -> int:
    existing = next((path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir()), folder)
    try:
        return shutil.disk_usage(existing).free
    except OSError:
        return 0

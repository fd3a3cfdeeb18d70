"""How long a queue will take and how much disk it needs, before it begins.

The cost of a job is counted in *pixel evaluations*: pixels times evaluations of the objective, over all scales of its
cold frames and over its warm frames, where every image counts as some more pixels than it has (`OVERHEAD_PX`). What one
takes is known from jobs of the queue that are done, else it is measured in a few evaluations.
"""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pipeline.encoders.registry import AUTO, ENCODERS
from pipeline.errors import TemperaError
from pipeline.runtime.progress import describe_seconds
from pipeline.store.stats import read_lines
from pipeline.workflows.queue.state import InputFacts, job_state, stored_frames
from pipeline.workflows.space import frame_bytes_per_px, in_words, video_bytes_per_px

if TYPE_CHECKING:
    from pipeline.config.settings import Config
    from pipeline.stylers.loaded import Loaded
    from pipeline.workflows.queue.jobs import Job, Queue
    from pipeline.workflows.queue.state import Facts, State

OVERHEAD_PX: Final = 36_000
"""What an evaluation costs beside its pixels, in pixels: with `compact` on a CPU it took 14 ms and 0.39 us a pixel
(64x48 to 640x480 px, one thread)."""

_JOBS_LOOKED_AT: Final = 64
_MEASURED_SIDE_PX: Final = {"cpu": 320}
_MEASURED_SIDE_PX_OF_ACCELERATORS: Final = 1024
_MEASURED_EVALUATIONS: Final = 4
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
        work[cost_key(job.style)] += expected_work(job.style, found, cold, warm)
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


def cost_key(config: Config) -> Hashable:
    """Styles with the same key cost the same for each pixel evaluation."""
    optimize = config.optimize
    return (
        *(config.styler, config.encoder, config.pooling, optimize.precision, optimize.minimizer),
        *(config.runtime.device, config.losses.style.loss),
    )


def expected_frames(config: Config, facts: Facts, stored: int = 0) -> tuple[int, int]:
    """How many cold and warm frames are left of a render, if it has no cut and no frame starts anew."""
    frames = max(0, -(-facts.source.frame_count // config.motion.hold) - stored)
    cold = frames if config.styler != "neural" or config.motion.every_frame_cold else int(frames > 0 and not stored)
    return cold, frames - cold


def expected_work(config: Config, facts: Facts, cold: int, warm: int) -> float:
    """Pixel evaluations of so many frames; for stylers that do not optimize, pixels."""
    from pipeline.stylers.scales import cold_scales

    size = facts.height_px, facts.width_px
    if config.styler != "neural":
        return cold * _work_of(size)
    optimize = config.optimize
    each_cold = optimize.cold.evaluations * sum(map(_work_of, cold_scales(size, optimize.cold)))
    each_warm = (min(optimize.warm.min_evaluations, optimize.warm.evaluations) + optimize.warm.evaluations) / 2
    return cold * each_cold + warm * each_warm * _work_of(size)


def seconds_of(work: Mapping[Hashable, float], rates: Mapping[Hashable, float]) -> float | None:
    """Seconds for the work of each cost key, by seconds for each unit; None if a rate is not known."""
    if any(amount and key not in rates for key, amount in work.items()):
        return None
    return sum(amount * rates[key] for key, amount in work.items() if amount)


def counted(count: int, what: str) -> str:
    """`1 picture`, `2,520 pictures`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _work_of(size: tuple[int, int]) -> float:
    return size[0] * size[1] + OVERHEAD_PX


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
            work[cost_key(job.style)] += expected_work(job.style, facts, cold, warm)
    return {key: seconds[key] / work[key] for key in work if seconds[key] > 0}


def _measured_rate(queue: Queue, config: Config, facts: Facts, loaded: Loaded) -> float | None:
    """Seconds for each unit of work, measured with a small image; None where the network would have to be fetched."""
    import torch

    from pipeline.config.settings import MotionSettings
    from pipeline.media.image.arrays import size_within
    from pipeline.stylers.table import build_styler
    from pipeline.types import FrameBatch

    if config.styler == "neural" and not _weights_are_here(config.encoder, queue.weights):
        return None
    cold = config.optimize.cold.model_copy(
        update={
            "evaluations": _MEASURED_EVALUATIONS,
            "min_scale_px": 2 * _MEASURED_SIDE_PX_OF_ACCELERATORS,
            "init": "content",
        }
    )
    short = config.model_copy(
        update={
            "optimize": config.optimize.model_copy(update={"cold": cold}),
            "motion": MotionSettings(method="none"),  # no network for the flow
        }
    )
    resources = loaded.resources(short, queue.weights)
    side_px = _MEASURED_SIDE_PX.get(resources.device.type, _MEASURED_SIDE_PX_OF_ACCELERATORS)
    width, height = size_within(facts.width_px, facts.height_px, side_px)
    least_px = resources.encoder.min_side_px if resources.encoder else 1
    size = max(height, least_px), max(width, least_px)
    content = torch.rand((1, 3, *size), generator=torch.Generator().manual_seed(0))
    styler = build_styler(short, resources)
    batch = FrameBatch("cold", content, None, (0,))
    styler.stylize(batch)  # statistics of the style images, and what is set up on the first call
    began = time.perf_counter()
    styler.stylize(batch)
    units = _work_of(size) * (_MEASURED_EVALUATIONS if config.styler == "neural" else 1)
    return (time.perf_counter() - began) / units


def _weights_are_here(encoder: str, weights: Path | None) -> bool:
    from pipeline.encoders.fetch import weights_path

    if weights is not None or encoder == AUTO:
        return True
    entry = ENCODERS[encoder]
    return entry.weights is None or not entry.weights.torchvision or weights_path(encoder).is_file()


def _free_bytes(folder: Path) -> int:
    existing = next((path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir()), Path.cwd())
    try:
        return shutil.disk_usage(existing).free
    except OSError:
        return 0

"""How far a job is: decided from its render directory and the file that it wrote, and from nothing else.

A job is done if its render was begun with the same input, size and settings, and the file that it wrote from all of
its frames is where it belongs with the bytes that were written. Nothing is loaded for that: where a setting says
"auto", and of the weights of the networks, what the plan says is taken to hold. So a picture that is done stays as it
is when weights are installed later.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.config.settings import IDENTITY_SECTIONS
from pipeline.errors import TemperaError
from pipeline.plan.identity import ResolvedStyle, make_identity, planned_segment_frames
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.store.directory import RenderDirectory
from pipeline.store.superseded import PLAN_NAME
from pipeline.store.videos import exported, known_videos
from pipeline.workflows.input.alignment import aligned_input
from pipeline.workflows.input.digest import hash_input
from pipeline.workflows.input.framing import cropped, with_bars
from pipeline.workflows.opened import open_render
from pipeline.workflows.prepare import existing_plan, render_size

if TYPE_CHECKING:
    from pipeline.config.settings import Config, InputSettings
    from pipeline.stylers.loaded import Loaded
    from pipeline.types import Source
    from pipeline.workflows.opened import OpenedRender
    from pipeline.workflows.queue.jobs import Input, Job, Queue

State = Literal["new", "begun", "done"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What an input is: its source, and the size in px at which it is stylized."""

    source: Source
    width_px: int
    height_px: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in px."""
        return self.height_px, self.width_px


class InputFacts:
    """The facts of a queue's inputs; every input is looked at once."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._known: dict[tuple[Input, InputSettings], Facts | TemperaError] = {}

    def of(self, job: Job) -> Facts:
        """The facts of a job's input. Raises the error of an input that cannot be rendered."""
        key = job.input, job.style.input
        if key not in self._known:
            try:
                self._known[key] = self._look(job)
            except TemperaError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, TemperaError):
            raise found
        return found

    def _look(self, job: Job) -> Facts:
        read = job.style.input
        existing = existing_plan(self._queue.render_path(job))
        source = aligned_input(
            [job.input.path], read, SilentReporter(), Cancellation(), frames=job.input.frames, existing=existing
        )
        request = self._queue.request(job, source.frame_count)
        source = cropped(source, request.width_px, request.height_px, read)
        return Facts(source, *render_size(source, request.width_px, request.height_px, SilentReporter()))


def job_state(queue: Queue, job: Job, facts: Facts, loaded: Loaded) -> State:
    """Whether a job is done, has begun, or has not. A damaged render, or one with other settings, counts as begun."""
    path = queue.render_path(job)
    if not (path / PLAN_NAME).exists():
        return "new"
    try:
        opened = open_render(path)
        return "done" if _is_done(queue, job, facts, opened, loaded) else "begun"
    except TemperaError:
        return "begun"  # working on it raises the error


def stored_frames(queue: Queue, job: Job) -> int:
    """How many frames of a job that has begun are stored; 0 if its render cannot be read."""
    try:
        directory = RenderDirectory.open(queue.render_path(job))
        return sum(len(directory.stored(chain)) for chain in directory.plan.chains)
    except TemperaError:
        return 0


def _is_done(queue: Queue, job: Job, facts: Facts, opened: OpenedRender, loaded: Loaded) -> bool:
    name, output = job.style.name, queue.output(job, facts.source.frame_count)
    request = queue.request(job, facts.source.frame_count)
    (wanted_style,) = with_bars((job.style,), facts.source, request.width_px, request.height_px)
    if name not in opened.configs or not _as_planned(queue, wanted_style, opened.configs[name], opened):
        return False
    style = _resolved_as_planned(job.style, opened, loaded)
    plan = opened.plan
    source = replace(facts.source, digest=hash_input(facts.source, opened.path).digest)
    # What else the plan's identity may have follows from the input and the settings, which are compared.
    wanted = make_identity(source, facts.width_px, facts.height_px, plan.shots, [style], plan.exposure)
    if any(plan.identity.get(key, ...) != value for key, value in wanted.items()):
        return False
    removed = exported(opened.directory)
    written = [removed[name]] if name in removed else known_videos(opened.directory)
    latest = next(
        (video for video in reversed(written) if _real(video.absolute_path(opened.path)) == _real(output)), None
    )
    return latest is not None and latest.frames == source.frame_count and not latest.problem(opened.path)


def _as_planned(queue: Queue, wanted: Config, planned: Config, opened: OpenedRender) -> bool:
    """Whether what the plan resolved was asked for in the same words, and the file is written in the same way."""
    weights = opened.weights.get(wanted.name)
    given = [None if path is None else _real(path) for path in (weights, queue.weights)]
    return given[0] == given[1] and _in_words(wanted) == _in_words(planned)


def _in_words(config: Config) -> Any:
    """What a config says beside where its files are."""

    def pathless(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: pathless(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [pathless(item) for item in value]
        return "a path" if isinstance(value, Path) else value

    return pathless(config.model_dump(include={*IDENTITY_SECTIONS, "input", "output"}))


def _resolved_as_planned(config: Config, opened: OpenedRender, loaded: Loaded) -> ResolvedStyle:
    """A style with the digests of its images as they are now, and otherwise with what was chosen in the plan."""
    from pipeline.workflows.masks.regions import region_digests

    plan, init = opened.plan, config.optimize.cold.init

    def planned(key: str) -> str:
        return str(plan.identity.get(f"styles.{config.name}.{key}", ""))

    return ResolvedStyle(
        name=config.name,
        config=config,
        image_digests=tuple(loaded.image_digest(image.path) for image in config.style.images),
        encoder=planned("encoder.name"),
        encoder_digest=planned("encoder.digest"),
        precision="bfloat16" if planned("optimize.precision") == "bfloat16" else "float32",
        init_digest=loaded.image_digest(init) if isinstance(init, Path) else "",
        segment_frames=planned_segment_frames(plan, config.name) or 0,
        flow_digest=planned("motion.method.digest"),
        regions=region_digests(config, min_side_px=1),
    )


def _real(path: Path) -> str:
    return os.path.realpath(path)

"""Measuring a render: temporal error, sharpness and losses, for the render and for baselines from the same clip.

Blur lowers the temporal error too, so it is always given together with sharpness and losses. The baselines are
the input itself, frames stylized independently, and frames that start from the previous one without warping it.
`pipeline.evaluate.measures` defines the figures.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.errors import RenderDirectoryError, UsageError
from pipeline.evaluate.figures import ROWS, Evaluation, FrameFigures, Row, RowName, StyleEvaluation
from pipeline.execute.session import Session
from pipeline.plan.identity import make_identity
from pipeline.runtime.cancellation import Cancellation
from pipeline.store.directory import RenderDirectory, command_on, resume_command
from pipeline.store.videos import exported
from pipeline.workflows.input.driving import finish_areas
from pipeline.workflows.masks.regions import with_region_masks
from pipeline.workflows.opened import OpenedRender, check_input, open_render
from pipeline.workflows.resume import resolve_opened

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.runtime.progress import Reporter
    from pipeline.stylers.resources import Resources
    from pipeline.types import Chain

__all__ = ["ROWS", "Evaluation", "FrameFigures", "Row", "RowName", "StyleEvaluation", "evaluate"]

WINDOW_FRAMES = 12
"""Frames that are compared by default: an independent frame costs many times a warm one."""


def evaluate(
    path: Path,
    *,
    frames: tuple[int | None, int | None] | None = None,
    baselines: bool = True,
    without_flow: bool = True,
    cold_frames: Collection[int] | None = None,
    independent_folder: Path | None = None,
    reporter: Reporter,
    cancellation: Cancellation | None = None,
    moved_to: Path | None = None,
) -> Evaluation:
    """Measure the stored frames of a render, also while it is unfinished.

    Nothing is written but masks of regions that are missing in the cache of the render.

    `frames` is a half-open range. By default 12 frames are compared, in the middle of the longest run of stored
    frames without a cut, and luma, sharpness and light of render and input are followed over that whole run.
    Without `baselines` nothing is stylized and there are only the rows of the render and the input; without
    `without_flow` the row "warm without flow" is left out. `cold_frames` restricts the independent frames, the
    slowest part, to these. In `independent_folder`, in a folder for each style, they are kept as PNG and read
    again; it must be of this render. `moved_to` is where the input is now (see `open_render`).

    Raises RenderDirectoryError if there is nothing to measure, a stored frame is damaged, or the input, the style
    images or the weights are not those of the render; UsageError for a range outside the render; Interrupted if an end
    was requested.
    """
    from pipeline.evaluate.compare import Comparison
    from pipeline.runtime.device import use_threads
    from pipeline.stylers.shot_colors import planned_colors
    from pipeline.stylers.table import build_stylers

    opened = open_render(path, moved_to)
    check_input(opened, "evaluate")
    directory, plan = opened.directory, opened.plan
    span = _span(frames, plan.source.frame_count)
    stored = {name: _stored(directory, name) for name in plan.styles}
    wanted = {name: [index for index in sorted(frames) if index in span] for name, frames in stored.items()}
    removed = exported(directory)
    if set(removed) == set(plan.styles):
        raise next(iter(removed.values())).no_frames(path, "measure a render before `tempera clean --frames`")
    if not any(wanted.values()):
        raise RenderDirectoryError(
            f"{path}: none of the frames {span.start}:{span.stop} is stored yet",
            hint=f"`{command_on(path, 'status')}` says which are stored, `{resume_command(path)}` stylizes the others",
        )
    resources = _resources(opened, reporter)
    use_threads(next(iter(opened.configs.values())).runtime.threads)
    wanted_baselines: dict[RowName, bool] = {"independent": baselines, "warm without flow": baselines and without_flow}
    rows = [row for row, is_wanted in wanted_baselines.items() if is_wanted]
    session = Session(directory, opened.source, opened.configs, resources)
    session = with_region_masks(session, reporter, cancellation or Cancellation())
    evaluations = []
    for name, config in opened.configs.items():
        if not wanted[name]:
            gone = removed[name].instead_of_frames(path, content=False) if name in removed else ""
            reporter.note(gone or f"{name}: nothing is stored yet")
            continue
        styler = build_stylers(config, resources[name], shots=planned_colors(plan, config))
        comparison = Comparison(
            directory,
            opened.source,
            config,
            stored[name],
            styler,
            reporter,
            cancellation or Cancellation(),
            None if independent_folder is None else independent_folder / name,
            finish_areas(config, plan, opened.source, reporter, cancellation or Cancellation()),
            session.masks.get(name),
        )
        run = comparison.longest_run() if frames is None else wanted[name]
        middle = max(0, len(run) - WINDOW_FRAMES) // 2
        window = run[middle : middle + WINDOW_FRAMES] if frames is None else run
        evaluations.append(comparison.measure(window, run=run, baselines=rows, cold_frames=cold_frames))
    return Evaluation(str(path), plan.width_px, plan.height_px, opened.source.frame_count, tuple(evaluations))


def _span(frames: tuple[int | None, int | None] | None, count: int) -> range:
    start, stop = frames or (None, None)
    start, stop = start or 0, count if stop is None else stop
    if not 0 <= start < stop <= count:
        raise UsageError(
            f"--frames {start}:{stop}: the render has frames 0:{count}", hint="choose a range A:B within, A below B"
        )
    return range(start, stop)


def _stored(directory: RenderDirectory, style: str) -> dict[int, Chain]:
    """The stored frames of a style that belong to its output, and the chains that contain them."""
    return {
        index: chain
        for chain in directory.plan.chains
        if chain.style == style and chain.in_output
        for index in directory.stored(chain)
        if index >= chain.start
    }


def _resources(opened: OpenedRender, reporter: Reporter) -> dict[str, Resources]:
    """What the stylers need. Raises RenderDirectoryError if the input, style images or weights have changed."""
    from pipeline.media.reader.source import content_digest

    plan = opened.plan
    resolved, resources = resolve_opened(opened, reporter)
    current = replace(opened.source, digest=content_digest(opened.source))
    identity = make_identity(current, plan.width_px, plan.height_px, plan.shots, resolved)
    # Only contents are compared: a render by another machine or by an older algorithm can be measured too, with
    # baselines by the current one.
    changed = [
        key for key, value in plan.identity.items() if key.endswith((".digest", ".init")) and identity.get(key) != value
    ]
    if changed:
        raise RenderDirectoryError(
            f"{opened.path}: these have changed since the render: {', '.join(changed[:5])}",
            hint="restore the input, the style images and the weights that it was rendered with",
        )
    return resources

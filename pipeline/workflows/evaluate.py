"""How good a render is: steady, sharp, true to photo and painting, each beside what simpler ways of painting give.

Low temporal error is worth nothing where it is bought with blur, so steadiness, sharpness and losses are always told
together, for the render and next to it for three baselines made from the same clip: the input itself, frames painted
independently, and frames that start from the previous one without moving it. `measures` defines the figures.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.errors import RenderDirectoryError, UsageError
from pipeline.evaluate.figures import ROWS, Evaluation, FrameFigures, Row, RowName, StyleEvaluation
from pipeline.plan.identity import make_identity
from pipeline.plan.paths import absolute_source, style_configs, weights_paths
from pipeline.store.directory import RenderDirectory
from pipeline.workflows.prepare import StopRequest, resolve_styles

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.config.settings import Config
    from pipeline.runtime.progress import Reporter
    from pipeline.stylers.resources import Resources
    from pipeline.types import Chain, RenderPlan, Source

__all__ = ["ROWS", "Evaluation", "FrameFigures", "Row", "RowName", "StyleEvaluation", "evaluate"]

WINDOW_FRAMES = 12
"""Frames that are compared unless told otherwise: an independent one costs many times one of the render's."""


def evaluate(
    path: Path,
    *,
    frames: tuple[int | None, int | None] | None = None,
    baselines: bool = True,
    cold_frames: Collection[int] | None = None,
    reporter: Reporter,
    stop: StopRequest = lambda: 0,
) -> Evaluation:
    """Measure the stored frames of a render, also while it is unfinished; nothing is written.

    `frames` is a half-open range. By default 12 frames are compared, in the middle of the longest run of stored frames
    without a cut, and luma and sharpness of render and input are followed over that whole run. Without `baselines`
    nothing is painted and there are only the rows of the render and the input. `cold_frames` limits the independent
    frames, the slowest part, to these.

    Raises RenderDirectoryError if there is nothing to measure, a stored frame is damaged, or the input, the paintings
    or the network are not those of the render; UsageError for a range outside the render; Interrupted when `stop` said
    so.
    """
    from pipeline.evaluate.compare import Comparison
    from pipeline.stylers.table import build_styler

    directory = RenderDirectory.open(path)
    plan = directory.plan
    span = _span(frames, plan.source.frame_count)
    stored = {name: _stored(directory, name) for name in plan.styles}
    wanted = {name: [index for index in sorted(frames) if index in span] for name, frames in stored.items()}
    if not any(wanted.values()):
        raise RenderDirectoryError(
            f"{path}: none of the frames {span.start}:{span.stop} is stored yet",
            hint=f"`tempera status {path}` says which are there, `tempera resume {path}` paints the others",
        )
    configs = style_configs(plan, path)
    source = absolute_source(plan, path)
    resources = _resources(path, plan, source, configs)
    _set_threads(configs)
    found = []
    for name, config in configs.items():
        if not wanted[name]:
            reporter.note(f"{name}: nothing is stored yet")
            continue
        styler = build_styler(config, resources[name])
        comparison = Comparison(directory, source, config, stored[name], styler, reporter, stop)
        run = comparison.longest_run() if frames is None else wanted[name]
        middle = max(0, len(run) - WINDOW_FRAMES) // 2
        window = run[middle : middle + WINDOW_FRAMES] if frames is None else run
        found.append(comparison.measure(window, run=run, baselines=baselines, cold_frames=cold_frames))
    return Evaluation(str(path), plan.width_px, plan.height_px, source.frame_count, tuple(found))


def _span(frames: tuple[int | None, int | None] | None, count: int) -> range:
    start, stop = frames or (None, None)
    start, stop = start or 0, count if stop is None else stop
    if not 0 <= start < stop <= count:
        raise UsageError(
            f"--frames {start}:{stop}: the render has frames 0:{count}", hint="choose a range A:B within, A below B"
        )
    return range(start, stop)


def _stored(directory: RenderDirectory, style: str) -> dict[int, Chain]:
    """The delivered frames of a style that are stored, and the chains that hold them."""
    return {
        index: chain
        for chain in directory.plan.chains
        if chain.style == style and chain.in_output
        for index in directory.stored(chain)
        if index >= chain.start
    }


def _resources(path: Path, plan: RenderPlan, source: Source, configs: Mapping[str, Config]) -> dict[str, Resources]:
    """What the stylers need, if input, paintings and networks still are those of the render."""
    from pipeline.media.reader.source import content_digest

    weights = weights_paths(plan, path)
    resolved, resources = [], {}
    for name, config in configs.items():
        styles, own = resolve_styles((config,), weights.get(name))
        resolved += styles
        resources.update(own)
    today = replace(source, digest=content_digest(source))
    identity = make_identity(today, plan.width_px, plan.height_px, plan.shots, resolved)
    # Only contents are compared: what another machine or an older algorithm has painted can be measured too, beside
    # baselines by today's.
    changed = [
        key for key, value in plan.identity.items() if key.endswith((".digest", ".init")) and identity.get(key) != value
    ]
    if changed:
        raise RenderDirectoryError(
            f"{path}: was painted with something else: {', '.join(changed[:5])} changed since",
            hint="put the input, the paintings and the weights back where they were",
        )
    return resources


def _set_threads(configs: Mapping[str, Config]) -> None:
    """As many CPU threads as the render uses."""
    if threads := next(iter(configs.values())).runtime.threads:
        import torch

        torch.set_num_threads(threads)

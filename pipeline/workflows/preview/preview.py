"""Stills before a render: some frames of the input as the videos of some variants of a style will have them.

What is shown of a frame is what the video will have there: the input is looked through as for a render (cuts, flicker,
levels), the frame is stylized after a run-up (see `run_up`), and it is finished as the video is. Frames that an earlier
preview stylized are not stylized again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.settings import InputSettings
from pipeline.errors import UsageError
from pipeline.plan.curves import FrameValues, curve_identity
from pipeline.plan.region_colors import RegionColors, region_colors_identity
from pipeline.runtime.cancellation import Cancellation
from pipeline.types import RenderPlan
from pipeline.workflows.input.driving import curve_values, finish_areas
from pipeline.workflows.input.first_pass import FirstPass, first_pass
from pipeline.workflows.masks.region_colors import measured_region_colors
from pipeline.workflows.output.finished import Samples, finisher
from pipeline.workflows.preview.cells import StylizedCells, cell_keys
from pipeline.workflows.preview.crop import Crop
from pipeline.workflows.preview.run_up import frames_to_stylize, run_up_chains, stylize_run_ups
from pipeline.workflows.preview.sweep import DEFAULT_RUN_UP
from pipeline.workflows.resolve import load_resources, resolve_style

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.settings import Config
    from pipeline.media.reader.thumbnails import Thumbnails
    from pipeline.runtime.progress import Reporter
    from pipeline.stylers.resources import Resources
    from pipeline.types import Phase, Source

    RGB = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Preview:
    """Images of one size, uint8 (H, W, 3) sRGB, by frame index: the content, and what each variant's video has."""

    contents: Mapping[int, RGB]
    finished: Sequence[Mapping[int, RGB]]


@dataclass(frozen=True, slots=True)
class _Work:
    """What stylizing the frames of one variant needs, and the key of each of them."""

    config: Config
    resources: Resources
    plan: RenderPlan
    keys: Mapping[int, str]


def preview(
    source: Source,
    configs: Sequence[Config],
    frames: Sequence[int],
    *,
    width_px: int,
    height_px: int,
    weights: Path | None,
    reporter: Reporter,
    thumbnails: Thumbnails,
    run_up: int = DEFAULT_RUN_UP,
    crop: Crop | None = None,
    cells: StylizedCells | None = None,
    fresh: bool = False,
) -> Preview:
    """Some frames of the input, and what the video of each config has there.

    A frame is stylized after a run-up of `run_up` frames (fewer at the start of its shot; 0: cold), at `width_px` by
    `height_px`, and shown whole or as far as `crop` goes. `thumbnails` are those that `probe` has filled. Stylized
    frames are looked for in `cells`, unless `fresh`, and kept there. Raises UsageError for a frame that the source does
    not have and for a crop outside the frames, and what the first pass and stylizing raise.
    """
    from pipeline.media.reader.source import read_frame
    from pipeline.stylers.loaded import Loaded

    for index in frames:
        if not 0 <= index < source.frame_count:
            raise UsageError(
                f"--at {index}: the input has frames 0 to {source.frame_count - 1}", hint="choose one of these"
            )
    if crop is not None:
        crop.box(width_px, height_px)
    known: dict[InputSettings, FirstPass] = {}
    works: list[_Work] = []
    loaded = Loaded()
    for config, resources in zip(configs, load_resources(configs, weights, reporter, loaded), strict=True):
        if config.input not in known:
            known[config.input] = first_pass(source, config, reporter, Cancellation(), thumbnails)
        found = known[config.input]
        values = curve_values(config, source, found, thumbnails, reporter, Cancellation())
        colors = measured_region_colors(config, source, found, thumbnails, reporter, Cancellation())
        plan = _plan(source, config, frames, run_up, found, (width_px, height_px), values, colors)
        resolved = resolve_style(config, resources, weights, loaded=loaded)
        works.append(_Work(config, resources, plan, cell_keys(plan, resolved, frames)))
    stylized = _stylized(works, reporter, cells, fresh=fresh)
    contents = {
        index: read_frame(source, index, width_px=width_px, height_px=height_px, settings=configs[0].input)
        for index in frames
    }

    def shown(rgb: RGB) -> RGB:
        return rgb if crop is None else crop.cut(rgb)

    finished = []
    for work in works:
        images = {index: (stylized[key], contents[index]) for index, key in work.keys.items()}
        areas = finish_areas(work.config, work.plan, source, reporter, Cancellation())
        finish = finisher(work.plan, work.config, _samples(images), areas)
        finished.append({index: shown(finish(index, image, content)) for index, (image, content) in images.items()})
    return Preview({index: shown(rgb) for index, rgb in contents.items()}, finished)


def _stylized(
    works: Sequence[_Work], reporter: Reporter, cells: StylizedCells | None, *, fresh: bool
) -> dict[str, RGB]:
    """The stylized frames of all variants by key. Variants that differ in their finish alone have the same keys."""
    wanted = [key for work in works for key in work.keys.values()]
    found: dict[str, RGB] = {}
    if cells is not None and not fresh:
        read = {key: cells.read(key) for key in dict.fromkeys(wanted)}
        found = {key: rgb for key, rgb in read.items() if rgb is not None}
    if reused := sum(key in found for key in wanted):
        reporter.note(f"{reused} of {len(wanted)} cells are from an earlier sheet; --fresh stylizes them again")
    missing: list[_Work] = []
    seen = set(found)
    for work in works:
        left = [index for index, key in work.keys.items() if key not in seen]
        seen.update(work.keys.values())
        chains = tuple(chain for chain in work.plan.chains if any(index in chain.frames for index in left))
        if chains:
            missing.append(replace(work, plan=replace(work.plan, chains=chains)))
    counts: dict[Phase, int] = {"cold": 0, "warm": 0}
    for work in missing:
        for phase, count in frames_to_stylize(work.config, work.plan.chains).items():
            counts[phase] += count
    if not missing:
        return found
    with reporter.stylizing(counts, 0):
        for work in missing:
            images = stylize_run_ups(work.plan, work.config, work.resources, list(work.keys), reporter)
            for index, rgb in images.items():
                found[work.keys[index]] = rgb
                if cells is not None:
                    cells.keep(work.keys[index], rgb)
    return found


def _plan(
    source: Source,
    config: Config,
    frames: Sequence[int],
    run_up: int,
    found: FirstPass,
    size_px: tuple[int, int],
    values: FrameValues,
    colors: RegionColors,
) -> RenderPlan:
    """The plan of a variant, for frames of (width, height); it is not written: its identity has what is measured."""
    return RenderPlan(
        digest="",
        identity=curve_identity(config.name, values) | region_colors_identity(config.name, colors),
        source=source,
        width_px=size_px[0],
        height_px=size_px[1],
        shots=found.shots,
        chains=run_up_chains(config, frames, found.shots, run_up),
        styles={config.name: {}},
        outputs={},
        exposure=found.exposure,
        levels=found.levels,
        contrasts=found.contrasts,
        shot_colors=found.shot_colors,
    )


def _samples(images: Mapping[int, tuple[RGB, RGB]]) -> Samples:
    """The frames of the preview, stylized and content, stand for their shots."""
    return lambda shot: {index: pair for index, pair in images.items() if shot.start <= index < shot.stop}

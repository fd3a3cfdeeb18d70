"""What the curves of a style follow, measured in the input, and their values at every frame."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import closing
from typing import TYPE_CHECKING

from pipeline.config.curves import Curve
from pipeline.config.section import curves_of
from pipeline.config.settings import Config
from pipeline.errors import InputError
from pipeline.plan.curves import Clock, Drivers, FrameValues, stylizing_curves, stylizing_values, values_at
from pipeline.types import RenderPlan, Shot
from pipeline.workflows.input.first_pass import FirstPass
from pipeline.workflows.masks.measured import MEASURED_SIDE_PX, measured_regions
from pipeline.workflows.masks.regions import image_masks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.media.reader.thumbnails import Thumbnails
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter
    from pipeline.types import Source, ToneCurve


def curve_values(
    config: Config,
    source: Source,
    found: FirstPass,
    thumbnails: Thumbnails,
    reporter: Reporter,
    cancellation: Cancellation,
) -> FrameValues:
    """The values, at every frame, of the curves of a style that change how frames are stylized.

    `found` is what the first pass knows of the frames. Masks are prepared of the regions that curves follow, and of no
    others. Raises ConfigError for a curve that does not fit the clip, and what `prepare_masks` raises.
    """
    curves = stylizing_curves(config).values()
    if not curves:
        return {}
    from pipeline.analysis.driving import measured_light

    light: tuple[float, ...] = ()
    if any(curve.follow == "light" for curve in curves):
        light = measured_light(found.levels or _levels(config, source, thumbnails), found.shots)
    names = _followed(curves)
    regions = _areas(names, config, source, found.shots, found.exposure, reporter, cancellation, thumbnails)
    return stylizing_values(config, Clock.of(source), Drivers(light, regions))


def finish_areas(
    config: Config, plan: RenderPlan, source: Source, reporter: Reporter, cancellation: Cancellation
) -> FrameValues:
    """By name, the area of each region that a curve of the finish follows, at every frame of a plan.

    `source` is all that is rendered, with paths that work. Raises what `prepare_masks` raises.
    """
    names = _followed(curves_of(config.output).values())
    return _areas(names, config, source, plan.shots, plan.exposure, reporter, cancellation)


def image_values(config: Config, images: Sequence[NDArray[np.uint8]]) -> list[dict[str, float]]:
    """The values of the curves of a style for images, uint8 (H, W, 3) sRGB, each by itself: at time 0, in its light."""
    from pipeline.analysis.driving import measured_light
    from pipeline.analysis.levels import LevelMeasurement
    from pipeline.media.image.arrays import resize, size_within

    curves = stylizing_curves(config).values()
    if not curves:
        return [{} for _ in images]
    height, width = images[0].shape[:2]
    small = [resize(rgb, *size_within(width, height, MEASURED_SIDE_PX)) for rgb in images]
    followed = _followed(curves)
    regions = [region for region in config.regions if region.name in followed]
    found = []
    for rgb, masks in zip(small, image_masks([region.mask for region in regions], small), strict=True):
        measurement = LevelMeasurement()
        measurement.add(rgb)
        areas = {
            region.name: (round(float(mask.mean(dtype="float64")), 6),)
            for region, mask in zip(regions, masks, strict=True)
        }
        drivers = Drivers(measured_light(measurement.levels(), (Shot(0, 0, 1),)), areas)
        found.append(values_at(stylizing_values(config, Clock(), drivers), 0))
    return found


def _followed(curves: Iterable[Curve]) -> set[str]:
    """The regions whose area curves follow."""
    return {curve.region for curve in curves if curve.follow == "mask"}


def _levels(config: Config, source: Source, thumbnails: Thumbnails) -> tuple[int, ...]:
    """The levels of frames of which the first pass measures none: a single one, or those before a damaged one."""
    from pipeline.analysis.levels import LevelMeasurement
    from pipeline.media.reader.source import read_frames

    measurement = LevelMeasurement()
    width, height = thumbnails.size_of(source.width_px, source.height_px)
    try:
        with closing(read_frames(source, width_px=width, height_px=height, settings=config.input)) as frames:
            for frame in frames:
                measurement.add(frame.rgb)
    except InputError:
        if not measurement.levels():
            raise
    levels = measurement.levels()
    return levels + levels[-1:] * (source.frame_count - len(levels))


def _areas(
    names: Collection[str],
    config: Config,
    source: Source,
    shots: Sequence[Shot],
    exposure: Sequence[ToneCurve],
    reporter: Reporter,
    cancellation: Cancellation,
    thumbnails: Thumbnails | None = None,
) -> dict[str, tuple[float, ...]]:
    """By name, the fraction of every frame that a region covers."""
    regions = [region for region in config.regions if region.name in names]
    if not regions:
        return {}
    from pipeline.analysis.driving import covered_fractions

    found = measured_regions(
        regions,
        lambda masks, frames: covered_fractions(masks, frames, shots),
        source,
        config.input,
        shots,
        exposure,
        reporter,
        cancellation,
        thumbnails,
    )
    return dict(zip((region.name for region in regions), found, strict=True))

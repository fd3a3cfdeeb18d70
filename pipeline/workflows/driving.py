"""What the curves of a style follow, measured in the input, and their values at every frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from pipeline.config.section import curves_of
from pipeline.config.settings import Config
from pipeline.errors import InputError
from pipeline.plan.curves import Clock, Drivers, FrameValues, follows, stylizing_values
from pipeline.workflows.first_pass import FirstPass

if TYPE_CHECKING:
    from pipeline.media.reader.thumbnails import Thumbnails
    from pipeline.types import Masks, Source

RegionMasks = Callable[[], tuple[Sequence[str], "Masks"]]
"""The names of the regions of a style, and their masks in the same order."""


def curve_values(
    config: Config, source: Source, found: FirstPass, thumbnails: Thumbnails, masks: RegionMasks | None = None
) -> FrameValues:
    """The values, at every frame, of the curves of a style that change how frames are stylized.

    `found` is what the first pass knows of the frames. Raises ConfigError for a curve that does not fit the clip.
    """
    if not curves_of(config):
        return {}
    from pipeline.analysis.driving import measured_light

    light: tuple[float, ...] = ()
    if follows(config, "light"):
        light = measured_light(found.levels or _levels(config, source, thumbnails), found.shots)
    regions = {} if masks is None or not follows(config, "mask") else _regions(config, source, found, thumbnails, masks)
    return stylizing_values(config, Clock.of(source), Drivers(light, regions))


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


def _regions(
    config: Config, source: Source, found: FirstPass, thumbnails: Thumbnails, masks: RegionMasks
) -> dict[str, tuple[float, ...]]:
    """By region, the fraction of every frame that it covers, measured in small frames after their tone curves."""
    from dataclasses import replace

    from pipeline.analysis.driving import covered_fractions
    from pipeline.analysis.tone_curve import tone_correction
    from pipeline.media.reader.source import read_frames

    names, build = masks()
    corrected = tone_correction(found.exposure)
    width, height = thumbnails.size_of(source.width_px, source.height_px)
    with closing(read_frames(source, width_px=width, height_px=height, settings=config.input)) as frames:
        contents = (
            frame if corrected is None else replace(frame, rgb=corrected(frame.index, frame.rgb)) for frame in frames
        )
        return dict(zip(names, covered_fractions(build, contents, found.shots), strict=True))

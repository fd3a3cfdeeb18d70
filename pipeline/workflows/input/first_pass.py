"""The first pass over the input, before any frame is stylized: cuts, exposure flicker, level and contrast of frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.types import RenderPlan, Shot, Source, ToneCurve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.settings import Config, InputSettings
    from pipeline.media.reader.thumbnails import Thumbnails
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter


@dataclass(frozen=True, slots=True)
class FirstPass:
    """What is known of the frames before one is stylized.

    `exposure` has a tone curve for every frame or none at all; `levels` the mean luma of every frame after its curve,
    and `contrasts` the standard deviation, in hundredths of a level of 255, and both are empty for a single frame.
    `shot_colors` has a sample of the colors of every shot, or none at all where the input is damaged.
    """

    shots: tuple[Shot, ...]
    exposure: tuple[ToneCurve, ...] = ()
    levels: tuple[int, ...] = ()
    contrasts: tuple[int, ...] = ()
    shot_colors: tuple[str, ...] = ()


def known_first_pass(plan: RenderPlan, source: Source, settings: InputSettings) -> FirstPass | None:
    """What an existing plan knows; None if it is for other frames, or for other settings of what is looked for."""
    known = plan.source
    facts = [
        (it.digest, it.decoded_indices, it.alignment, it.uncropped_px and (it.width_px, it.height_px))
        for it in (known, source)
    ]
    wanted = {f"input.{key}": getattr(settings, key) for key in ("cuts", "cut_threshold", "deflicker")}
    if facts[0] != facts[1] or any(plan.identity.get(key) != value for key, value in wanted.items()):
        return None
    if not plan.shot_colors or (plan.source.frame_count > 1 and not plan.levels):
        return None  # a plan of an older version does not know them
    return FirstPass(plan.shots, plan.exposure, plan.levels, plan.contrasts, plan.shot_colors)


def first_pass(
    source: Source,
    config: Config,
    reporter: Reporter,
    cancellation: Cancellation,
    thumbnails: Thumbnails,
    count: int | None = None,
) -> FirstPass:
    """Find cuts, flicker of exposure, levels, contrasts and colors in small frames.

    The frames are those of `thumbnails`, else decoded anew. Of a `count` of frames the result tells, by default of all;
    those behind them are only looked at.

    Raises Interrupted if an end was requested.
    """
    from pipeline.analysis.cuts import find_cuts, split_shots
    from pipeline.analysis.flicker import FlickerMeasurement
    from pipeline.analysis.flicker_trend import MIN_FRAMES
    from pipeline.analysis.levels import LevelMeasurement
    from pipeline.analysis.shot_colors import ColorMeasurement
    from pipeline.media.reader.source import read_frames

    settings = config.input
    color_of = ColorMeasurement()
    width, height = thumbnails.size_of(source.width_px, source.height_px)
    if source.frame_count < 2:
        shots = split_shots(source.frame_count, [])
        if source.damaged:
            return FirstPass(shots)
        one = read_frames(source, width_px=width, height_px=height, settings=settings, thumbnails=thumbnails)
        with closing(one):
            color_of.add(next(one).rgb)
        return FirstPass(shots, shot_colors=color_of.colors(shots))
    flicker_of = FlickerMeasurement() if settings.deflicker and source.frame_count >= MIN_FRAMES else None
    level_of = LevelMeasurement()
    seek_cuts = settings.cuts == "auto" and source.frame_count >= 3
    if source.damaged and flicker_of is None and not seek_cuts:
        return FirstPass(split_shots(source.frame_count, []))  # stylized up to the damaged frame, without levels
    looked_for = " and ".join(["cuts"] * seek_cuts + ["flicker"] * (flicker_of is not None))
    with reporter.stage(f"looking for {looked_for or 'levels'}", source.frame_count) as advance:
        frames = read_frames(source, width_px=width, height_px=height, settings=settings, thumbnails=thumbnails)

        def small_frames() -> Iterator[NDArray[np.uint8]]:
            with closing(frames):
                for frame in frames:
                    cancellation.raise_if_requested("stopped before the first frame", hint="run it again to begin")
                    level_of.add(frame.rgb)
                    color_of.add(frame.rgb)
                    if flicker_of:
                        flicker_of.add(frame.rgb)
                    yield frame.rgb
                    advance(frame.index + 1)

        cuts: list[int] = []
        if seek_cuts:
            cuts = find_cuts(small_frames(), threshold=settings.cut_threshold)
        else:
            deque(small_frames(), maxlen=0)
    shots = split_shots(source.frame_count, cuts)
    count = source.frame_count if count is None else count
    told = split_shots(count, [cut for cut in cuts if cut < count])
    curves: tuple[ToneCurve, ...] = ()
    if flicker_of is not None:
        flicker = flicker_of.flicker(shots, settings.deflicker)
        if any(flicker.curves[:count]):
            curves = flicker.curves
            reporter.note(
                f"exposure flicker of {flicker.levels:.1f} levels is evened out (--set input.deflicker=0 leaves it)"
            )
    levels, contrasts = level_of.levels(curves), level_of.contrasts(curves)
    return FirstPass(told, curves[:count], levels[:count], contrasts[:count], color_of.colors(told, curves))

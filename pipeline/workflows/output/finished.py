"""Frames as the video shows them: the finish with what the plan knows of each frame, and with the look of its shot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING

from pipeline.errors import RenderDirectoryError
from pipeline.plan.curves import FrameValues, finish_settings
from pipeline.types import Pixels, RenderPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.finish import FinishSettings
    from pipeline.config.settings import Config
    from pipeline.postprocess.effect import ShotLook
    from pipeline.postprocess.lut import Lut
    from pipeline.types import Shot

    RGB = NDArray[np.uint8]

Finisher = Callable[[int, "RGB", "Pixels | None"], "Pixels"]
"""Called with the index of a frame, the stylized frame, uint8 (H, W, 3) sRGB, and its content as it is read, uint8 or
uint16 of that size; returns the finished frame, uint8 or, for a `finisher` with `deep`, uint16. The content may be None
where `reads_content` says so."""

Samples = Callable[["Shot"], Mapping[int, "tuple[RGB, Pixels | None]"]]
"""Some frames of a shot by index, stylized and content, from which the look of the shot is taken."""


def finisher(
    plan: RenderPlan, config: Config, samples: Samples, areas: FrameValues | None = None, *, deep: bool = False
) -> Finisher:
    """What finishes the frames of a style of a plan, by the output settings of `config`.

    `samples` is asked once for every shot, if the settings need it; `areas` has those that curves follow, see
    `finish_areas`. Raises ConfigError for a LUT that cannot be read and for a curve that does not fit the clip; the
    finisher raises RenderDirectoryError if the settings need colors of shots that the plan does not have. Several
    threads may call it.
    """
    from pipeline.analysis.shot_colors import decoded_colors
    from pipeline.analysis.tone_curve import apply_tone_curve
    from pipeline.postprocess.finish import finish
    from pipeline.postprocess.level import frame_levels
    from pipeline.postprocess.shot_look import needs_look, shot_look

    levels = frame_levels(plan.levels, plan.contrasts, plan.shots, config.styler)
    settings = config.output.finish
    settings_at = finish_settings(plan, settings, f"style {config.name!r}", areas)
    lut = grade_lut(settings)
    looks: dict[int, ShotLook] = {}
    lock = Lock()

    def one(
        index: int,
        stylized: RGB,
        content: Pixels | None,
        settings: FinishSettings,
        look: ShotLook | None,
        *,
        deep: bool = False,
    ) -> Pixels:
        level = levels[index] if levels else None
        if content is None:
            content = stylized  # no effect reads it
        elif plan.exposure:
            content = apply_tone_curve(content, plan.exposure[index])
        return finish(
            stylized, content, settings, index=index, seed=config.seed, level=level, lut=lut, look=look, deep=deep
        )

    def look_of(index: int) -> ShotLook:
        shot = next(shot for shot in plan.shots if shot.start <= index < shot.stop)

        def shown(changes: Mapping[str, float], look: ShotLook) -> list[RGB]:
            return [
                one(at, *images, settings_at(at).model_copy(update=dict(changes)), look)
                for at, images in frames.items()
            ]

        with lock:
            if shot.index not in looks:
                frames = samples(shot)
                looks[shot.index] = shot_look(
                    [stylized for stylized, _ in frames.values()],
                    decoded_colors(plan.shot_colors[shot.index]) if plan.shot_colors else None,
                    settings,
                    config.seed,
                    shown,
                )
            return looks[shot.index]

    def finished(index: int, stylized: RGB, content: Pixels | None) -> Pixels:
        check_colors_known(plan, settings)
        look = look_of(index) if needs_look(settings) else None
        return one(index, stylized, content, settings_at(index), look, deep=deep)

    return finished


def check_colors_known(plan: RenderPlan, settings: FinishSettings) -> None:
    """Raise RenderDirectoryError if a finish needs colors of shots that a plan does not have."""
    if settings.match_color > 0 and not plan.shot_colors:
        raise RenderDirectoryError(
            "this render does not know the colors of its shots: a frame of the input is damaged, or it was begun by an "
            "older version",
            hint="use --set output.finish.preserve_color=1 instead of match_color, or render again with --fresh",
        )


def grade_lut(settings: FinishSettings) -> Lut | None:
    """The LUT that a finish names, if it names one. Raises ConfigError if it cannot be read."""
    from pipeline.postprocess.lut import load_lut

    path = settings.grade.lut
    return None if path is None else load_lut(path)

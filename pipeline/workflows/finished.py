"""Frames as the video shows them: the finish with what the plan knows of each frame, its tone curve and its level."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.types import RenderPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.finish import FinishSettings
    from pipeline.config.settings import Config
    from pipeline.postprocess.lut import Lut

Finisher = Callable[[int, "NDArray[np.uint8]", "NDArray[np.uint8] | None"], "NDArray[np.uint8]"]
"""Called with the index of a frame, the stylized frame and its content as it is read, both uint8 (H, W, 3) sRGB of one
size; returns the finished frame. The content may be None where `reads_content` says so."""


def finisher(plan: RenderPlan, config: Config) -> Finisher:
    """What finishes the frames of a style of a plan, by the output settings of `config`.

    Raises ConfigError for a LUT that cannot be read.
    """
    from pipeline.analysis.tone_curve import apply_tone_curve
    from pipeline.postprocess.finish import finish
    from pipeline.postprocess.level import frame_levels

    levels = frame_levels(plan.levels, plan.contrasts, plan.shots, config.styler)
    lut = grade_lut(config.output.finish)

    def finished(index: int, stylized: NDArray[np.uint8], content: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        level = levels[index] if levels else None
        if content is None:
            content = stylized  # no effect reads it
        elif plan.exposure:
            content = apply_tone_curve(content, plan.exposure[index])
        return finish(stylized, content, config.output.finish, index=index, seed=config.seed, level=level, lut=lut)

    return finished


def grade_lut(settings: FinishSettings) -> Lut | None:
    """The LUT that a finish names, if it names one. Raises ConfigError if it cannot be read."""
    from pipeline.postprocess.lut import load_lut

    path = settings.grade.lut
    return None if path is None else load_lut(path)

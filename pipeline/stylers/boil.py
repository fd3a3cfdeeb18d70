"""Boil: how much of a warm frame is stylized anew, as in hand-drawn animation, where every frame has its own strokes.

At 0 a warm frame continues from its warm start; at 1 it is a cold frame. In between, start, scales, noise, evaluations
and the weight of the temporal term go from the one to the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config.settings import OptimizeSettings


@dataclass(frozen=True, slots=True)
class BoilingFrame:
    """How a boiling frame, or with a boil of 1 a cold one, is stylized from coarse to fine.

    `content_fraction`: how far the start goes from the warm start to the content, in [0, 1]. `levels`: how many of the
    finest scales. `noise`: standard deviation of the noise added at each, in pixel values of [0, 1]. `evaluations`: at
    each scale. `temporal_factor`: of the weight of the temporal term, at the last scale.
    """

    content_fraction: float
    levels: int
    noise: float
    evaluations: int
    temporal_factor: float


def boiling_frame(boil: float, settings: OptimizeSettings, scales: int) -> BoilingFrame:
    """What `boil` in (0, 1] means for a frame that has so many scales."""
    return BoilingFrame(
        content_fraction=boil**2,
        levels=max(1, math.ceil(boil * scales)),
        noise=math.sqrt(boil) * settings.cold.noise,
        evaluations=round((1 - boil) * settings.warm.evaluations + boil * settings.cold.evaluations),
        temporal_factor=(1 - boil) ** 2,
    )

"""Masks by what the content looks like: a range of lightness, a range of hues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.media.image.bands import in_bands
from pipeline.media.image.oklab import oklab_from_srgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRAY_CHROMA, COLORED_CHROMA = 0.02, 0.06
"""Chroma in Oklab up to which a color is gray and has no hue, and from which its hue counts fully."""
HALF_TURN: Final = 180.0


def smoothstep(low: float, high: float, value: NDArray[np.float32] | float) -> NDArray[np.float32]:
    """0 up to `low`, 1 from `high` on, and in between 3 t^2 - 2 t^3; a step where both are equal; float32."""
    if high - low < 1e-6:
        return np.asarray(np.asarray(value) >= low, np.float32)
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def luminance_mask(content: NDArray[np.uint8], bounds: tuple[float, float], softness: float) -> NDArray[np.float32]:
    """Where the lightness (L of Oklab) of uint8 (H, W, 3) sRGB lies within `bounds`; float32 (H, W) in [0, 1].

    A bound is crossed over `softness`, half of it on either side, except black and white themselves: 0 and 1 are no
    bounds. So the masks of ranges that adjoin add up to 1.
    """

    def within(band: NDArray[np.uint8]) -> NDArray[np.float32]:
        lightness = np.ascontiguousarray(oklab_from_srgb(band)[..., 0])
        above_low, above_high = (
            None if bound in (0, 1) else smoothstep(bound - softness / 2, bound + softness / 2, lightness)
            for bound in bounds
        )
        inside = np.ones_like(lightness) if above_low is None else above_low
        return inside if above_high is None else inside - above_high

    return in_bands(within, content)


def hue_mask(content: NDArray[np.uint8], bounds: tuple[float, float], softness: float) -> NDArray[np.float32]:
    """Where the hue of uint8 (H, W, 3) sRGB lies from `bounds[0]` up to `bounds[1]`; float32 (H, W) in [0, 1].

    Hue is that of HSV in degrees, and a range may go through 0: from 330 to 30 is red. A bound is crossed over
    `softness` times 180 degrees, half of it on either side. Gray has no hue and is outside.
    """
    first, last = bounds
    width = last - first if last - first in (0, 360) else (last - first) % 360
    hue = cv2.cvtColor(content.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2HSV)[..., 0]
    away = np.abs((hue - np.float32(first + width / 2) + 180) % 360 - 180).astype(np.float32)
    soft = softness * HALF_TURN / 2
    inside = np.ones_like(away) if width == 360 else 1 - smoothstep(width / 2 - soft, width / 2 + soft, away)
    lab = oklab_from_srgb(content)
    return np.asarray(inside * smoothstep(GRAY_CHROMA, COLORED_CHROMA, np.hypot(lab[..., 1], lab[..., 2])), np.float32)

"""The effect `match_light`: broad light and shade of the content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.media.image.arrays import as_float
from pipeline.media.image.oklab import image_from_oklab, oklab_from_image
from pipeline.postprocess.effect import FrameContext

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIGMA: Final = 0.03
"""Standard deviation of the low-pass filter, of the longer side: broader than strokes, narrower than sky and ground."""
SMALL_SIGMA_PX: Final = 5.0
"""What is blurred as much as this can be enlarged without a trace of its pixels."""
LIGHTNESS_RANGE: Final = (0.2, 2.0)
"""Limits of the factor of lightness, so that nothing becomes black or glows."""
COLOR_FRACTION: Final = 0.6
"""Fraction of the light's color that is transferred: all of it would wash out the palette of the style."""


def match_light(image: NDArray[np.float32], amount: float, context: FrameContext) -> NDArray[np.float32]:
    """The image with the broad lightness and part of the broad color of the content, as far as `amount` in [0, 1].

    Lightness is scaled, which preserves the contrast of strokes; color is shifted, so that gray can take on a hue.
    """
    lab, light = oklab_from_image(image), oklab_from_image(as_float(context.content))
    sigma_px = max(1.0, SIGMA * max(image.shape[:2]))
    broad_lab, broad_light = broad(lab, sigma_px), broad(light, sigma_px)
    # The small constant keeps the ratio of black to black at 1.
    ratio = ((broad_light[..., :1] + 0.03) / (broad_lab[..., :1] + 0.03)) ** np.float32(amount)
    lit = lab * np.clip(ratio, *LIGHTNESS_RANGE)
    lit[..., 1:] += np.float32(COLOR_FRACTION * amount) * (broad_light - broad_lab)[..., 1:]
    return image_from_oklab(lit)


def broad(image: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """A Gaussian blur of an image, float32 (H, W, 3), with a standard deviation of `sigma_px`; float32 (H, W, 3).

    It is computed in a copy that is so small that the standard deviation is `SMALL_SIGMA_PX` there.
    """
    height, width = image.shape[:2]
    scale = min(1.0, SMALL_SIGMA_PX / sigma_px)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), sigma_px * size[0] / width, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)

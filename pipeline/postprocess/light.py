"""The effect `match_light`: broad light and shade of the content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.media.image.bands import in_bands
from pipeline.media.image.depth import as_float
from pipeline.media.image.oklab import image_from_oklab, oklab_from_image
from pipeline.postprocess.effect import FrameContext, in_channels

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
    sigma_px = max(1.0, SIGMA * max(image.shape[:2]))
    own, light = (broad(pixels, sigma_px) for pixels in (image, as_float(context.content)))
    # The small constant keeps the ratio of black to black at 1.
    ratio = ((light[..., :1] + 0.03) / (own[..., :1] + 0.03)) ** np.float32(amount)
    scale = np.clip(ratio, *LIGHTNESS_RANGE)
    shift = np.float32(COLOR_FRACTION * amount) * (light - own)
    shift[..., 0] = 0
    size = image.shape[1], image.shape[0]
    factor, color = (cv2.resize(map_, size, interpolation=cv2.INTER_CUBIC) for map_ in (scale, shift))

    def lit(band: NDArray[np.float32], factor: NDArray[np.float32], color: NDArray[np.float32]) -> NDArray[np.float32]:
        lab = oklab_from_image(band)
        lab *= in_channels(factor)
        lab += color
        return image_from_oklab(lab)

    return in_bands(lit, image, factor, color)


def broad(image: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """Oklab of an image, float32 (H, W, 3) sRGB, after a Gaussian blur with a standard deviation of `sigma_px`.

    The result, float32 (h, w, 3), is so small that the standard deviation is `SMALL_SIGMA_PX` in it. What it is made
    small by averages sRGB.
    """
    height, width = image.shape[:2]
    scale = min(1.0, SMALL_SIGMA_PX / sigma_px)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = oklab_from_image(np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32))
    sigma = sigma_px * size[0] / width
    return np.asarray(cv2.GaussianBlur(small, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), np.float32)

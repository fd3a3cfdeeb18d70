"""The effect `grain`: film grain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.media.image.bands import in_bands
from pipeline.postprocess.effect import FrameContext, luma_of, shifted

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIGMA_PX: Final = 0.7
"""Standard deviation of the blur that makes the grain a little soft."""


def add_grain(image: NDArray[np.float32], amount: float, context: FrameContext) -> NDArray[np.float32]:
    """Noise in luma, strongest in the middle tones and none in black and white.

    `amount` is the standard deviation at middle gray, in pixel values of [0, 1]. Seed and index choose the noise.
    """
    random = np.random.default_rng((context.seed, context.index))
    noise = random.standard_normal(image.shape[:2], np.float32)
    kernel = cv2.getGaussianKernel(5, SIGMA_PX)
    # Smoothing white noise with a separable kernel leaves sum(k^2) of its standard deviation: undone here.
    noise = np.asarray(cv2.sepFilter2D(noise, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT), np.float32)
    noise /= np.float32((kernel**2).sum())

    def grained(band: NDArray[np.float32], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        luma = luma_of(band)
        strength = np.float32(4 * amount) * luma
        strength *= 1 - luma
        strength *= noise
        return shifted(band, strength)

    return in_bands(grained, image, noise)

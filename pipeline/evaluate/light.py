"""Whether a stylized clip has the light of its content: where it is bright and dark, and in which color.

Images are compared at a small size and blurred, so that neither strokes nor details count. The colors of the content
are first moved to those of the style images, frame by frame: a frame in the colors of its style is no mistake, but one
whose light is elsewhere than the content's is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.media.image.recolor import color_gaussian, style_map
from pipeline.types import StyleColors

RGB = NDArray[np.uint8]
Light = NDArray[np.float32]
"""A small blurred image, (h, w, 3) in [0, 1]."""

SMALL_SIDE_PX: Final = 160
"""Longer side of the images that are compared."""
LIGHT_SIGMA: Final = 0.06
"""Standard deviation of the blur, of the longer side."""
LEAST_CHANGE: Final = 0.02
"""Frames whose light has changed by less than this on average, of the range, say nothing about how change is followed:
differences of strokes would be larger."""
LEAST_DEVIATION: Final = 1e-5
"""Images with a lower standard deviation, of the range, are constant: they correlate with nothing."""


def colors_of_style(images: Sequence[RGB], weights: Sequence[float]) -> StyleColors:
    """The colors of style images, uint8 (H, W, 3) sRGB, each with the weight of its style loss."""
    return StyleColors(tuple(color_gaussian(small(image)) for image in images), tuple(weights))


def light_of_content(content: RGB, colors: StyleColors) -> Light:
    """Blurred content with the colors of the style images: what `light_of` of a stylized frame should look like.

    Recolored by the linear map between the Gaussians of the colors, of this frame; clipped to [0, 1] before the blur.
    """
    reduced = small(content)
    moved = style_map(color_gaussian(reduced), colors)(reduced.astype(np.float32) / np.float32(255))
    return blurred(np.clip(moved, 0, 1), LIGHT_SIGMA)


def light_of(image: RGB) -> Light:
    """Blurred image, uint8 (H, W, 3), at a longer side of 160 px."""
    return blurred(small(image).astype(np.float32) / np.float32(255), LIGHT_SIGMA)


def light_correlation(light: Light, expected: Light) -> float | None:
    """Correlation of two blurred images over all pixels and channels, each channel without its mean.

    1: bright and dark, warm and cold are where they are in the content; 0: independent of it. None if one of them is
    constant.
    """
    one, other = ((image - image.mean(axis=(0, 1), dtype=np.float64)).ravel() for image in (light, expected))
    if min(one.std(), other.std()) < LEAST_DEVIATION:
        return None
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


def change_correlation(light: Light, expected: Light, first_light: Light, first_expected: Light) -> float | None:
    """Correlation of how both have changed since a first frame. None where the content's light has hardly changed.

    An arrangement of light that stays as it was in the first frame has 0 or less, however well it fitted that frame.
    """
    if np.abs(expected - first_expected).mean() <= LEAST_CHANGE:
        return None
    return light_correlation(light - first_light, expected - first_expected)


def small(image: RGB) -> RGB:
    """The image with a longer side of 160 px."""
    scale = SMALL_SIDE_PX / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def blurred(image: NDArray[np.floating], sigma: float) -> NDArray[np.float32]:
    """An image, (H, W) or (H, W, 3), blurred with a standard deviation of `sigma` times the longer side."""
    found = cv2.GaussianBlur(image.astype(np.float32), (0, 0), max(0.3, sigma * max(image.shape[:2])))
    return np.asarray(found, np.float32)

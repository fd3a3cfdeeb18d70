"""The transfer function of sRGB (IEC 61966-2-1), from gamma-encoded values to linear light and back, by tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.types import Pixels

LAST: Final = (1 << 16) - 1
"""The highest of 16-bit samples, and the last entry of the tables here."""


def decoded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 sRGB in [0, 1], of any shape, to linear light, by the formula."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `decoded`."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


STEPS: Final = np.arange(LAST + 1) / LAST
"""What the entries of the tables stand for, float64."""
LINEAR: Final = decoded(STEPS).astype(np.float32)
_LINEAR_OF_8_BIT: Final = decoded(np.arange(256) / 255).astype(np.float32)
# The steepest slope, 12.92 at black, makes the nearest entry exact to 0.03 levels of 255.
_ENCODED: Final = encoded(STEPS).astype(np.float32)


def linear_from_pixels(rgb: Pixels) -> NDArray[np.float32]:
    """uint8 or uint16 (..., 3) sRGB to float32 (..., 3) linear RGB in [0, 1]."""
    if not rgb.size:
        return np.empty(rgb.shape, np.float32)
    table = _LINEAR_OF_8_BIT if rgb.dtype == np.uint8 else LINEAR
    return np.asarray(cv2.LUT(rgb.reshape(-1, 3), table), np.float32).reshape(rgb.shape)


def linear_from_srgb(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 sRGB of any shape to linear light in [0, 1]; what is outside [0, 1] is clipped."""
    return looked_up(LINEAR, image)


def srgb_from_linear(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 linear light of any shape to sRGB in [0, 1]; what is outside [0, 1] is clipped."""
    return looked_up(_ENCODED, image)


def looked_up(table: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The entry of a table of 65,536 over [0, 1] that is nearest to each value, clipped to that range.

    The table is float32, (65536,), or (65536, 3) with a column for each channel of an image (H, W, 3).
    """
    below = np.minimum(values, np.float32(1))  # OpenCV takes what exceeds the range of its integers for the smallest
    entries = cv2.addWeighted(below, LAST, below, 0, 0, dtype=cv2.CV_16U)  # one pass: rounded to nearest, and clipped
    return np.asarray(cv2.LUT(entries, table[np.newaxis]), np.float32).reshape(values.shape)

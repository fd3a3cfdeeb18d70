"""Images of 8 and of 16 bits a channel: from one to the other, and to float."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.types import Pixels


def as_float(pixels: Pixels) -> NDArray[np.float32]:
    """uint8 or uint16 of any shape to float32 in [0, 1]."""
    return np.divide(pixels, np.iinfo(pixels.dtype).max, dtype=np.float32)


def as_8_bit(pixels: Pixels) -> NDArray[np.uint8]:
    """uint16 of any shape to uint8, rounded to nearest; uint8 as it is. `as_8_bit(as_16_bit(rgb))` is exactly `rgb`."""
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=1 / 257), np.uint8).reshape(pixels.shape)


def as_16_bit(pixels: Pixels) -> NDArray[np.uint16]:
    """uint8 to uint16 of any shape, exact (times 257); uint16 as it is."""
    if pixels.dtype == np.uint16:
        return np.asarray(pixels, np.uint16)
    return pixels.astype(np.uint16) * np.uint16(257)

"""Images of 8 and of 16 bits a channel: from one to the other, to float and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.types import Pixels

Sample = TypeVar("Sample", bound=np.unsignedinteger[Any])


def as_float(pixels: Pixels | NDArray[np.float32]) -> NDArray[np.float32]:
    """uint8 or uint16 of any shape to float32 in [0, 1]; float32 as it is."""
    if pixels.dtype == np.float32:
        return np.asarray(pixels, np.float32)
    highest = np.iinfo(str(pixels.dtype)).max
    return np.divide(pixels, highest, dtype=np.float32)


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


def to_8_bit(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """float32 (H, W, 3) in [0, 1] to uint8: clipped, and rounded to nearest."""
    below = np.minimum(image, np.float32(1))  # OpenCV takes what exceeds the range of its integers for the smallest
    return np.asarray(cv2.addWeighted(below, 255, below, 0, 0, dtype=cv2.CV_8U), np.uint8)


def to_16_bit(image: NDArray[np.float32]) -> NDArray[np.uint16]:
    """float32 (H, W, 3) in [0, 1] to uint16: clipped, and rounded to nearest."""
    below = np.minimum(image, np.float32(1))
    return np.asarray(cv2.addWeighted(below, 65535, below, 0, 0, dtype=cv2.CV_16U), np.uint16)


def rounded(values: NDArray[np.floating[Any]], kind: type[Sample] | np.dtype[Sample]) -> NDArray[Sample]:
    """Samples in the range of an unsigned type, of any shape, as that type: clipped, and rounded to nearest."""
    return np.asarray(np.rint(values).clip(0, np.iinfo(kind).max), kind)

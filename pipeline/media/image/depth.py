"""Images of 8 and of 16 bits a channel: from one to the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8] | NDArray[np.uint16]


def as_8_bit(pixels: Pixels) -> NDArray[np.uint8]:
    """uint16 to uint8 of any shape, rounded to nearest; uint8 as it is."""
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def as_16_bit(pixels: Pixels) -> NDArray[np.uint16]:
    """uint8 to uint16 of any shape, exact (times 257); uint16 as it is."""
    if pixels.dtype == np.uint16:
        return np.asarray(pixels, np.uint16)
    return pixels.astype(np.uint16) * np.uint16(257)

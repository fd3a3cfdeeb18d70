"""A virtual camera over a picture: a part of it at full size, with edges anywhere between pixels."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.media.image.depth import rounded
from pipeline.motion.warp import warp

Pixel = TypeVar("Pixel", np.uint8, np.uint16)


def enlarged_part(image: NDArray[Pixel], part: tuple[float, float, float, float]) -> NDArray[Pixel]:
    """The part (left, top, width, height) of a picture (H, W, 3), in fractions of its sides, at its size.

    The part lies in the picture. Pixels are squares whose centers are mapped; values between them are those of `warp`.
    """
    if part == (0.0, 0.0, 1.0, 1.0):
        return image
    height_px, width_px = image.shape[:2]
    left, top, width, height = part
    flow = np.empty((height_px, width_px, 2), np.float32)
    columns, rows = np.arange(width_px) + 0.5, np.arange(height_px) + 0.5
    flow[..., 0] = left * width_px + columns * width - columns
    flow[..., 1] = (top * height_px + rows * height - rows)[:, np.newaxis]
    moved = warp(image.astype(np.float32), flow)
    return rounded(moved, image.dtype)

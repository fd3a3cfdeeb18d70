"""The effect `palette`: the finished frame in a few colors, which are the same in the whole shot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.media.image.depth import as_float, to_8_bit
from pipeline.media.image.dither import dithered
from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab
from pipeline.media.image.palette import color_distances, nearest_colors
from pipeline.postprocess.effect import FrameContext

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOFTNESS: Final = 0.02
"""Oklab distance over which one color passes into the next: noise between two colors is not made larger."""
_BLOCK_PX: Final = 1 << 18


def reduce_colors(image: NDArray[np.float32], amount: float, context: FrameContext) -> NDArray[np.float32]:  # noqa: ARG001 - all effects are called alike
    """The image in the colors of the palette of its shot; `amount` is their number. From 8-bit values.

    Nothing is taken from the previous frame, so each frame can be finished by itself.
    """
    palette, rgb = context.look.palette, to_8_bit(image)
    if palette is None:
        return image
    if context.look.dither != "none":
        return as_float(dithered(rgb, palette, context.look.dither))
    flat = rgb.reshape(-1, 3)
    result = np.empty_like(flat)
    for start in range(0, len(flat), _BLOCK_PX):
        lab = oklab_from_srgb(flat[start : start + _BLOCK_PX])
        nearest = nearest_colors(color_distances(lab, palette), palette, SOFTNESS)
        result[start : start + _BLOCK_PX] = srgb_from_oklab(nearest)
    return as_float(result.reshape(rgb.shape))

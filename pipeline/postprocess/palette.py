"""The effect `palette`: the finished frame in a few colors, which are the same in the whole shot."""

from __future__ import annotations

from functools import partial, reduce
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.media.image.bands import in_bands
from pipeline.media.image.depth import as_float, to_8_bit
from pipeline.media.image.dither import dithered
from pipeline.media.image.oklab import image_from_oklab, oklab_from_image
from pipeline.postprocess.effect import FrameContext

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOFTNESS: Final = 0.02
"""Oklab distance over which one color passes into the next: noise between two colors is not made larger."""
_SUM: Final = np.ones((1, 3), np.float32)
_LEAST_EXPONENT: Final = np.float32(-80)
"""Below it the exponential is a subnormal number, with which processors are slow."""


def reduce_colors(image: NDArray[np.float32], amount: float, context: FrameContext) -> NDArray[np.float32]:  # noqa: ARG001 - all effects are called alike
    """The image in the colors of the palette of its shot; `amount` is their number. From 8-bit values.

    Nothing is taken from the previous frame, so each frame can be finished by itself.
    """
    palette, rgb = context.look.palette, to_8_bit(image)
    if palette is None:
        return image
    if context.look.dither != "none":
        return as_float(dithered(rgb, palette, context.look.dither))
    return in_bands(partial(_blended, palette=palette), rgb)


def _blended(rgb: NDArray[np.uint8], palette: NDArray[np.float32]) -> NDArray[np.float32]:
    """`nearest_colors` of each pixel of (H, W, 3), by planes (H, W), which is much faster: sRGB, float32."""
    lab = oklab_from_image(rgb)
    # |x - p|^2 is a polynomial of the coordinates but for |x|^2, which all entries share.
    squared = np.asarray(cv2.transform(cv2.multiply(lab, lab), _SUM), np.float32)
    distances = []
    for entry in palette:
        distance = np.asarray(cv2.transform(lab, np.array([[*(-2 * entry), entry @ entry]])), np.float32)
        distance += squared
        np.maximum(distance, 0, out=distance)
        distances.append(np.sqrt(distance, out=distance))
    least = reduce(np.minimum, distances)
    planes = np.zeros((3, *least.shape), np.float32)
    total = np.zeros_like(least)
    for entry, distance in zip(palette, distances, strict=True):
        weight = np.subtract(least, distance, out=distance)
        weight *= np.float32(4 / SOFTNESS)
        np.maximum(weight, _LEAST_EXPONENT, out=weight)
        total += np.exp(weight, out=weight)
        for plane, value in zip(planes, entry, strict=True):
            cv2.scaleAdd(weight, float(value), plane, plane)
    planes /= total
    return image_from_oklab(np.asarray(cv2.merge(list(planes)), np.float32))

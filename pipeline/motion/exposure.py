"""Two photographs of one scene at different exposures: the one is taken to the exposure of the other.

Flow estimation and the comparison of contents take brightness to be constant. Between the photos of a bracket, in a
fade or a flash it is not, and neither a factor nor a linear map describes it, because highlights are clipped. The
quantiles of the colors do (histogram matching), as long as both frames show nearly the same.
"""

from __future__ import annotations

from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.media.image.arrays import size_within

Pixel = TypeVar("Pixel", np.uint8, np.float32)

QUANTILES: Final = 65
COMPARED_SIDE_PX: Final = 160
MIN_LEVELS: Final = 4.0
"""Frames whose broad colors differ by less, in the median, have one exposure."""
MAX_LEFT: Final = 0.7
"""Matching must leave less than this fraction of that difference: what enters changes the quantiles too, but the
median pixel then does not get better."""


def at_exposure_of(current: NDArray[Pixel], other: NDArray[Pixel]) -> NDArray[Pixel]:
    """`other` at the exposure of `current`; itself where that does not differ. uint8, or float32 in [0, 1]; (H, W, 3).

    Each channel is mapped by the curve that takes its quantiles to those of `current`.
    """
    unit = 1.0 if current.dtype == np.uint8 else 255.0
    now, then = (_small(image) * unit for image in (current, other))
    difference = _median_difference(now, then)
    if difference < MIN_LEVELS:
        return other
    curves = [_curve(then[..., channel], now[..., channel]) for channel in range(3)]
    matched = np.stack([np.interp(then[..., at], *curve) for at, curve in enumerate(curves)], axis=-1)
    if _median_difference(now, matched) > MAX_LEFT * difference:
        return other
    if other.dtype == np.uint8:
        table = np.stack([np.interp(np.arange(256), *curve) for curve in curves], axis=-1)
        mapped = cv2.LUT(other, np.rint(table).clip(0, 255).astype(np.uint8)[None])
    else:
        mapped = np.stack([np.interp(255 * other[..., at], *curve) / 255 for at, curve in enumerate(curves)], axis=-1)
    result: NDArray[Pixel] = np.asarray(mapped).astype(other.dtype)
    return result


def _small(image: NDArray[Pixel]) -> NDArray[np.float32]:
    """The image with a longer side of at most 160 px, without texture."""
    size = size_within(image.shape[1], image.shape[0], COMPARED_SIDE_PX)
    reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(reduced, (0, 0), 1.0), np.float32)


def _median_difference(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    return float(np.median(np.abs(one - other).mean(axis=2)))


def _curve(source: NDArray[np.float32], target: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Levels of one channel, increasing, and what each becomes."""
    at = np.linspace(0, 1, QUANTILES)
    levels, wanted = np.quantile(source, at), np.quantile(target, at)
    return np.asarray(levels + np.arange(QUANTILES) * 1e-6, np.float64), np.asarray(wanted, np.float64)

"""Warping an image along a flow with little loss, because a stylized frame is the result of hundreds of warps.

A kernel that is applied hundreds of times needs a frequency response that is constant and never above 1: Lanczos and
the common cubic amplify some frequencies by 2 to 3 percent, which 200 steps turn into ringing; a plain cubic spline
loses the fine strokes; and OpenCV's Lanczos rounds positions to 1/32 px, which adds up to 2 px in a steady pan. So the
image is enlarged to twice its size with a long half-band filter (Kaiser-windowed sinc) and then interpolated by a
quintic B-spline (Unser 1999, "Splines: a perfect fit for signal and image processing"), which is nearly exact for an
image without detail near the Nyquist frequency. Both prefilters are combined into one short filter for each half-pixel
phase.

OpenCV 5 is required: its bilinear lookups use exact positions, 4.14 still rounds them to 1/32 px.
The figures are in `scripts/bench/results/warp.json`.
"""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.motion.consistency import positions

if TYPE_CHECKING:
    from torch import Tensor

Plane = NDArray[np.float32]
Pixel = TypeVar("Pixel", np.uint8, np.float32)
Values = TypeVar("Values", Plane, "Tensor")

HALF_BAND_TAPS, KAISER_BETA = 24, 8.0
"""Passes 0.99 of the amplitude at 0.81 of the Nyquist frequency; the gain is at most 1.0002."""

WHOLE_PX = 1e-3
"""Displacements as close as this to whole pixels copy pixels."""

MARGIN = 4
ONE_TAP = np.ones(1, np.float32)
BAND_PX = 2**16
"""Pixels that are interpolated at a time, in whole rows: few enough for the processor's cache, and enough that the
threads do not wait for the interpreter."""

THREADS = 2
"""Parts of the image that are computed at once: four are slower than two, for lack of memory bandwidth. The result does
not depend on the number."""


def warp(image: NDArray[Pixel], backward_flow: NDArray[np.float32]) -> NDArray[Pixel]:
    """The image of the previous frame, moved to the current one: `out(x, y) = image(x + u, y + v)`.

    `image` is uint8 or float32 (H, W, 3), `backward_flow` float32 (H, W, 2) in px, (x, y), from the current frame to
    the previous one; the result has the shape and dtype of `image`. Displacements by whole pixels are exact. Positions
    outside the frame repeat its edge. uint8 is rounded to nearest; float32 is not clipped and may overshoot at hard
    edges by a few percent. Raises ValueError if the shapes do not fit.
    """
    if image.ndim != 3 or image.shape[2] != 3 or backward_flow.shape != (*image.shape[:2], 2):
        raise ValueError(f"image {image.shape} and flow {backward_flow.shape} do not belong together")
    if not backward_flow.any():
        return image.copy()
    height, width = image.shape[:2]
    x, y = positions(backward_flow)
    np.clip(x, 0, width - 1, out=x)
    np.clip(y, 0, height - 1, out=y)
    moved = np.empty_like(image)
    band = max(1, BAND_PX // width)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="warp") as pool:
        fine = _double(image.astype(np.float32, copy=False), pool)

        def fill(start: int) -> None:
            rows = slice(start, start + band)
            moved[rows] = _moved_rows(image, fine, x[rows], y[rows])

        list(pool.map(fill, range(0, height, band)))
    return moved


def _moved_rows(image: NDArray[Pixel], fine: Plane, x: Plane, y: Plane) -> NDArray[Pixel]:
    """The pixels at positions x, y (h, W) in px of the image, of which `fine` are the doubled coefficients."""
    whole = (np.abs(x - np.rint(x)) < WHOLE_PX) & (np.abs(y - np.rint(y)) < WHOLE_PX)
    if whole.all():
        return _nearest(image, x, y)
    smooth = _interpolate(fine, 2 * (x + MARGIN), 2 * (y + MARGIN))
    out = smooth if image.dtype == np.float32 else np.rint(smooth).clip(0, 255)
    result: NDArray[Pixel] = out.astype(image.dtype, copy=False)
    if whole.any():
        np.copyto(result, _nearest(image, x, y), where=whole[..., None])
    return result


def _nearest(image: NDArray[Pixel], x: Plane, y: Plane) -> NDArray[Pixel]:
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE), image.dtype)


def _double(image: Plane, pool: Executor) -> Plane:
    """Spline coefficients of the image at twice its size, with a margin: float32 (2(H+8), 2(W+8), 3)."""
    margins = (MARGIN, MARGIN, MARGIN, MARGIN)
    padded = np.asarray(cv2.copyMakeBorder(image, *margins, cv2.BORDER_REFLECT_101), np.float32)
    height, width = padded.shape[:2]
    fine = np.empty((height, 2, width, 6), np.float32)  # rows of both phases, and columns of both beside each other

    def filtered(column: int) -> list[Plane]:
        across = _filtered(padded, phases()[column], ONE_TAP)
        return [_filtered(across, ONE_TAP, taps) for taps in phases()]

    def interleave(row: int, even: Plane, odd: Plane) -> None:
        cv2.merge([even, odd], dst=fine[:, row])

    list(pool.map(interleave, (0, 1), *pool.map(filtered, (0, 1))))
    return fine.reshape(2 * height, 2 * width, 3)


def _filtered(image: Plane, across: Plane, down: Plane) -> Plane:
    return np.asarray(cv2.sepFilter2D(image, cv2.CV_32F, across, down, borderType=cv2.BORDER_REFLECT_101), np.float32)


@cache
def phases() -> tuple[Plane, Plane]:
    """Filters that make the even and the odd coefficients of the doubled image; float32, symmetric about a pixel."""
    offsets = np.arange(HALF_BAND_TAPS) - (HALF_BAND_TAPS - 1) / 2
    between = np.sinc(offsets) * np.kaiser(HALF_BAND_TAPS, KAISER_BETA)
    doubling = np.zeros(2 * HALF_BAND_TAPS + 1)
    doubling[HALF_BAND_TAPS] = 1
    doubling[1::2] = between / between.sum()
    # The spline prefilter is the inverse of the quintic B-spline sampled at whole positions (Unser 1999).
    frequencies = np.fft.rfftfreq(1024) * 2 * np.pi
    inverse = np.fft.irfft(120 / (66 + 52 * np.cos(frequencies) + 2 * np.cos(2 * frequencies)))
    taps = np.convolve(doubling, np.roll(inverse, 32)[:65])
    center = len(taps) // 2
    even, odd = taps[center % 2 :: 2], taps[(center + 1) % 2 :: 2]
    # The even filter is centered on a pixel, the odd one half a pixel further, so it gets one zero tap.
    return _centered(even), _centered(np.append(0, odd))


def _centered(taps: NDArray[np.float64]) -> Plane:
    """Taps without their negligible ends, scaled to the sum 1, which preserves constant areas."""
    center = len(taps) // 2
    reach = int(np.abs(np.flatnonzero(np.abs(taps) > 1e-5) - center).max())
    kept = taps[center - reach : center + reach + 1]
    return np.asarray(kept / kept.sum(), np.float32)


def _interpolate(coefficients: Plane, x: Plane, y: Plane) -> Plane:
    """The quintic spline with these coefficients (h, w, 3) at positions x, y (H, W) in px: float32 (H, W, 3).

    Neighboring weights are taken in pairs, each pair by one bilinear lookup at the right position between the two (Sigg
    and Hadwiger 2005, GPU Gems 2, chapter 20): 9 lookups instead of 36.
    """
    out = np.zeros((*x.shape, 3), np.float32)
    columns, rows = _pairs(x), _pairs(y)
    for row_weight, row in rows:
        line = np.zeros_like(out)
        for column_weight, column in columns:
            looked_up = cv2.remap(coefficients, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            cv2.accumulateProduct(looked_up, column_weight, line)
        cv2.accumulateProduct(line, row_weight, out)
    return out


def _pairs(position: Plane) -> list[tuple[Plane, Plane]]:
    """For three pairs of neighbors: their joint weight (h, W, 3), the same in all channels, and the position of the
    lookup (h, W).
    """
    below = np.floor(position)
    weights = quintic_weights(position - below)
    pairs: list[tuple[Plane, Plane]] = []
    for first in (0, 2, 4):
        joint, second = weights[first], weights[first + 1]
        joint += second
        second /= joint
        second += below + (first - 2)
        pairs.append((np.asarray(cv2.merge([joint] * 3), np.float32), second))
    return pairs


QUINTIC = (
    (-1, 5, -10, 10, -5, 1),
    (5, -20, 20, 20, -50, 26),
    (-10, 30, 0, -60, 0, 66),
    (10, -20, -20, 20, 50, 26),
    (-5, 5, 10, 10, 5, 1),
    (1, 0, 0, 0, 0, 0),
)
"""The six weights of the quintic B-spline, times 120, as polynomials of the fraction, highest power first."""


def quintic_weights(t: Values) -> list[Values]:
    """The six weights at fractions t of any shape, float32: arrays, or tensors on any device.

    The last three mirror the first three about 1/2: with s = t - 1/2 both have the same even part, and odd parts that
    differ in sign, each of which takes a quadratic of s^2 instead of a polynomial of the fifth degree.
    """
    s = t - 0.5
    squared = s * s
    firsts: list[Values] = []
    lasts: list[Values] = []
    for even, odd in _parts_about_half():
        same, opposite = _quadratic(squared, even), _quadratic(squared, odd)
        opposite *= s
        firsts.append(same + opposite)
        same -= opposite
        lasts.append(same)
    return firsts + lasts[::-1]


@cache
def _parts_about_half() -> list[tuple[list[float], list[float]]]:
    """The even and the odd part of the first three weights as polynomials of s^2, the odd one without a factor s."""
    found = []
    for coefficients in QUINTIC[:3]:
        shifted = np.poly1d(np.array(coefficients) / 120)(np.poly1d([1, 0.5])).coeffs
        found.append((shifted[1::2].tolist(), shifted[0::2].tolist()))
    return found


def _quadratic(x: Values, coefficients: list[float]) -> Values:
    highest, middle, lowest = coefficients
    value = x * highest
    value += middle
    value *= x
    value += lowest
    return value

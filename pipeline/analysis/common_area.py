"""The part of a frame that all aligned frames show: the largest rectangle with the aspect ratio of the frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

_STEPS: Final = 60
"""Steps of a golden section search: to 1e-12 of the frame."""
_GOLDEN: Final = (5**0.5 - 1) / 2


def common_area(matrices: Sequence[Matrix]) -> tuple[float, float, float]:
    """Left and top edge of the rectangle and its size, all in sizes of the frame, which reaches from 0 to 1.

    The matrices (3, 3) take points of the anchor to points of each frame, both from 0 to 1 in x and y. What all frames
    show is convex, so that the largest rectangle around a point is a concave function of the point, and a search along
    x and y finds its top. A size of 0 says that the frames have nothing in common.
    """
    edges = np.concatenate([_edges(np.eye(3)), *map(_edges, matrices)])
    normal, offset = edges[:, :2], edges[:, 2]
    reach = np.abs(normal).sum(axis=1) / 2

    def size_at(x: float, y: float) -> float:
        return float(((normal @ [x, y] + offset) / reach).min())

    def best_y(x: float) -> float:
        return _top(lambda y: size_at(x, y))

    x = _top(lambda x: size_at(x, best_y(x)))
    y = best_y(x)
    size = min(1.0, max(0.0, size_at(x, y)))
    return x - size / 2, y - size / 2, size


def crop_box(matrices: Sequence[Matrix], width_px: int, height_px: int) -> tuple[int, int, int, int]:
    """Left, top, width and height in px of the common area, on whole px and inside of it; the aspect ratio is kept.

    A width of 0 says that there is none.
    """
    left, top, size = common_area(matrices)
    width = int(size * width_px + 1e-6)
    height = min(round(width * height_px / width_px), int(size * height_px + 1e-6))
    x, y = (
        round(left * width_px + (size * width_px - width) / 2),
        round(top * height_px + (size * height_px - height) / 2),
    )
    return (max(0, x), max(0, y), width, height) if width >= 2 and height >= 2 else (0, 0, 0, 0)


def _edges(matrix: Matrix) -> Matrix:
    """Four half-planes a x + b y + c >= 0 of the anchor, rows (a, b, c), in which a point of the frame lies."""
    x, y, depth = matrix
    return np.stack([x, y, depth - x, depth - y])


def _top(function: Callable[[float], float]) -> float:
    """Where a concave function on [0, 1] is largest, by golden section search (Kiefer 1953)."""
    low, high = 0.0, 1.0
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a, at_b = function(a), function(b)
    for _ in range(_STEPS):
        if at_a < at_b:
            low, a, at_a = a, b, at_b
            b = low + _GOLDEN * (high - low)
            at_b = function(b)
        else:
            high, b, at_b = b, a, at_a
            a = high - _GOLDEN * (high - low)
            at_a = function(a)
    return (low + high) / 2

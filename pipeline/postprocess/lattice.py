"""A lattice of colors, and what is between its nodes, by tetrahedral interpolation.

Gray stays on the diagonal of the lattice, where it was put; trilinear interpolation mixes in what lies beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ORDERS: Final = {
    0b111: (0, 2), 0b101: (0, 1), 0b001: (2, 1), 0b110: (1, 2), 0b010: (1, 0), 0b000: (2, 0),
}  # fmt: skip
"""The axes of the largest and of the smallest fraction by the bits first >= second, second >= third, first >= third."""


class Lattice:
    """Values at N^3 nodes, float32 (N, N, N, 3), with N of 2 to 256."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        size = len(values)
        # Four numbers of 32 bits, the last one unused, are gathered as one of 128.
        self._nodes: Final = np.pad(values.reshape(-1, 3), ((0, 0), (0, 1))).view(np.complex128)[:, 0]
        self._last: Final = np.float32(size - 1)
        self._steps: Final = (size * size, size, 1)
        self._up, self._down = np.zeros((2, 256), np.int32)
        for code, (largest, smallest) in _ORDERS.items():
            self._up[code], self._down[code] = self._steps[largest], self._steps[smallest]

    def at(self, places: NDArray[np.float32]) -> NDArray[np.float32]:
        """The values at places (H, W, 3), in nodes along each axis from 0 to N - 1; what is outside is clipped.

        The cube of nodes around a place is cut into six tetrahedra along its diagonal. The path to the place leaves the
        lower corner along the axis with the largest fraction, then the middle, then the smallest one, and the
        differences of fractions are the weights of its corners.
        """
        inside = np.maximum(places, np.float32(0))
        np.minimum(inside, self._last, out=inside)
        lower = np.floor(inside)
        np.minimum(lower, self._last - 1, out=lower)
        first = cv2.transform(lower, np.array([self._steps], np.float32)).astype(np.int32)  # exact below 2^24
        inside -= lower
        a, b, c = (np.asarray(cv2.extractChannel(inside, axis), np.float32) for axis in range(3))
        code = (a >= b).view(np.uint8) | (b >= c).view(np.uint8) << 1 | (a >= c).view(np.uint8) << 2
        second = first + np.asarray(cv2.LUT(code, self._up), np.int32)
        last = first + sum(self._steps)
        third = last - np.asarray(cv2.LUT(code, self._down), np.int32)
        high, low = np.maximum(a, b), np.minimum(a, b)
        largest, smallest = np.maximum(high, c), np.minimum(low, c)
        middle = np.maximum(low, np.minimum(high, c))
        result = self._weighted(first, 1 - largest)
        result += self._weighted(second, largest - middle)
        result += self._weighted(third, middle - smallest)
        result += self._weighted(last, smallest)
        return np.asarray(cv2.cvtColor(result, cv2.COLOR_RGBA2RGB), np.float32)

    def _weighted(self, nodes: NDArray[np.int32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """The four numbers of nodes (H, W) times weights (H, W): (H, W, 4)."""
        values = self._nodes.take(nodes).view(np.float32).reshape(*nodes.shape, 4)
        values *= cv2.cvtColor(weights, cv2.COLOR_GRAY2RGBA)
        return values

"""Color tables: up to 256 colors for a clip, and its pixels as entries of that table.

Colors are counted and looked up in a lattice of 64 levels a channel. What stands between two levels is rounded up or
down by a fixed pattern, so that gradients show no steps of the lattice.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from PIL import Image

from pipeline.media.image.dither import Pattern, thresholds
from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab
from pipeline.media.image.palette import color_distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.animation import TableDither

    RGB = NDArray[np.uint8]
    Colors = NDArray[np.float32]

_SIDE: Final = 64
_CELLS: Final = _SIDE**3
_LEVELS: Final = np.arange(256) * np.float32((_SIDE - 1) / 255)
_RARE: Final = 0.6
"""Exponent of the number of pixels: rare colors, such as a lamp's, count for more than their area."""
_ROUNDS: Final = 8
_MIXED: Final = 16
"""Entries that are mixed for one color, with repetitions."""
_STRENGTH: Final = np.float32(0.15)
_BLOCK: Final = 1 << 15


class ColorCounts:
    """How often the colors of frames occur: pixels and sums of their values, by cell of the lattice."""

    def __init__(self) -> None:
        self.pixels = np.zeros(_CELLS, np.int64)
        self._sums = np.zeros((3, _CELLS))

    def add(self, rgb: RGB) -> None:
        """Count the pixels of a frame, uint8 (H, W, 3)."""
        cell = _cells(rgb, 0.5).reshape(-1)
        self.pixels += np.bincount(cell, minlength=_CELLS)
        self._sums += [np.bincount(cell, rgb[..., channel].reshape(-1), _CELLS) for channel in range(3)]

    def merge(self, other: ColorCounts) -> None:
        """Add what another one has counted."""
        self.pixels += other.pixels
        self._sums += other._sums

    def broad(self) -> Colors:
        """The fractions of the pixels in each of 8 by 8 by 8 broad groups of colors, blurred; their sum is 1."""
        groups = self.pixels.reshape((8, _SIDE // 8) * 3).sum(axis=(1, 3, 5)) / self.pixels.sum()
        for axis in range(3):
            edged = np.take(groups, [0, *range(8), 7], axis=axis)
            groups = sum(np.take(edged, np.arange(8) + shift, axis=axis) for shift in range(3)) / 3
        return np.asarray(groups, np.float32)

    def colors(self) -> tuple[RGB, NDArray[np.int64]]:
        """The mean colors of the cells that occur, uint8 (n, 3), and their numbers of pixels (n,)."""
        used = np.flatnonzero(self.pixels)
        count = self.pixels[used]
        return np.rint(self._sums[:, used] / count).T.astype(np.uint8), count


def table_of(counts: ColorCounts, size: int) -> RGB:
    """The colors, at most `size`, that are nearest to those counted: uint8 (k, 3) sRGB.

    All of them where they are so few; else k-means in Oklab from a start by splitting the box with the largest error
    along its widest axis, at the mean (Wan, Prusinkiewicz and Wong 1990).
    """
    colors, count = counts.colors()
    if len(colors) <= size:
        return colors
    lab, weight = oklab_from_srgb(colors), (count.astype(np.float64)) ** _RARE
    centers = _split(lab, weight, size)
    for _ in range(_ROUNDS):
        nearest = nearest_entries(lab, centers)
        total = np.bincount(nearest, weight, size)
        sums = np.stack([np.bincount(nearest, weight * lab[:, axis], size) for axis in range(3)], axis=1)
        kept = (total == 0)[:, np.newaxis]
        centers = np.where(kept, centers, sums / np.maximum(total, 1e-12)[:, np.newaxis]).astype(np.float32)
    return np.unique(srgb_from_oklab(centers), axis=0)


def nearest_entries(lab: Colors, table: Colors) -> NDArray[np.intp]:
    """The entry of a table (k, 3) that is nearest to each color (n, 3), both Oklab."""
    starts = range(0, len(lab), _BLOCK)
    return np.concatenate([color_distances(lab[start : start + _BLOCK], table).argmin(axis=1) for start in starts])


class Ditherer:
    """Finds the entries of one table, uint8 (k, 3) sRGB, for frames; a pixel's pattern stands still on the screen."""

    def __init__(self, table: RGB, dither: TableDither) -> None:
        self.table = table
        self._dither = dither
        self._lab = oklab_from_srgb(table)
        self._known = np.zeros(_CELLS, bool)
        self._mixes = np.zeros((_CELLS, 1 if dither == "none" else _MIXED), np.uint8)

    def entries(self, rgb: RGB, top: int = 0, left: int = 0) -> NDArray[np.uint8]:
        """Entries (H, W) for a part of a frame, uint8 (H, W, 3), whose corner is at (top, left)."""
        if self._dither == "error":
            palette = Image.new("P", (1, 1))
            palette.putpalette(self.table.tobytes())
            diffused = Image.fromarray(rgb).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
            return np.minimum(np.asarray(diffused, np.uint8), np.uint8(len(self.table) - 1))
        if self._dither == "none":
            cells = _cells(rgb, 0.5)
            self._learn(cells)
            return np.asarray(self._mixes[cells, 0], np.uint8)
        mixing, rounding = (_part(tile, top, left, rgb.shape[:2]) for tile in _tiles(self._dither))
        cells = _cells(rgb, rounding[..., np.newaxis])
        self._learn(cells)
        return np.asarray(self._mixes[cells, (mixing * _MIXED).astype(np.intp)], np.uint8)

    def _learn(self, cells: NDArray[np.int32]) -> None:
        """Find the mixes of the cells that have none yet.

        Entries are added one by one, each the nearest to the color and a part of what the earlier ones left of it
        (Knoll, US patent 6606166, expired 2019). The part is ours: with all of it the mean is a little nearer and the
        grain much coarser.
        """
        wanted = np.zeros(_CELLS, bool)
        wanted[cells] = True
        new = np.flatnonzero(wanted & ~self._known)
        if not len(new):
            return
        self._known[new] = True
        lab = oklab_from_srgb(_colors_of(new))
        left = np.zeros_like(lab)
        chosen = np.empty((len(new), self._mixes.shape[1]), np.uint8)
        for place in range(chosen.shape[1]):
            chosen[:, place] = nearest_entries(lab + _STRENGTH * left, self._lab)
            left += lab - self._lab[chosen[:, place]]
        order = np.argsort(self._lab[chosen, 0], axis=1, kind="stable")
        self._mixes[new] = np.take_along_axis(chosen, order, axis=1)


def _split(lab: Colors, weight: NDArray[np.float64], size: int) -> Colors:
    boxes = [np.arange(len(lab))]
    errors = [np.inf]
    while len(boxes) < size and max(errors) > 0:
        place = int(np.argmax(errors))
        box = boxes[place]
        values, mass = lab[box], weight[box]
        mean = np.average(values, axis=0, weights=mass)
        axis = int(np.argmax(np.average((values - mean) ** 2, axis=0, weights=mass)))
        above = values[:, axis] > mean[axis]
        if above.all() or not above.any():
            errors[place] = 0.0
            continue
        halves = [box[~above], box[above]]
        boxes[place : place + 1] = halves
        errors[place : place + 1] = [_error(lab[half], weight[half]) for half in halves]
    means = [np.average(lab[box], axis=0, weights=weight[box]) for box in boxes]
    return np.array([*means, *[means[0]] * (size - len(means))], np.float32)


def _error(values: Colors, mass: NDArray[np.float64]) -> float:
    mean = np.average(values, axis=0, weights=mass)
    return float((mass[:, np.newaxis] * (values - mean) ** 2).sum())


def _cells(rgb: RGB, rounding: Colors | float) -> NDArray[np.int32]:
    """Cells of pixels (H, W, 3), rounded down after adding `rounding` in [0, 1) of a level."""
    levels = np.asarray(cv2.LUT(rgb, _LEVELS), np.float32) + rounding
    red, green, blue = cv2.split(levels.astype(np.int32))
    return np.asarray((red * _SIDE + green) * _SIDE + blue, np.int32)


def _colors_of(cells: NDArray[np.intp]) -> RGB:
    levels = np.stack(np.unravel_index(cells, (_SIDE,) * 3), axis=-1)
    return np.asarray(np.rint(levels / _LEVELS[1]), np.uint8)


@cache
def _tiles(pattern: Pattern) -> tuple[Colors, Colors]:
    """Square tiles of thresholds in (0, 1): for the entry that a pixel takes of a mix, and for rounding its color."""
    tile = thresholds(pattern)
    return tile, np.roll(tile.T, len(tile) // 2, axis=0)


def _part(tile: Colors, top: int, left: int, size: tuple[int, ...]) -> Colors:
    side = len(tile)
    rows = (np.arange(top, top + size[0]) % side)[:, np.newaxis]
    return tile[rows, np.arange(left, left + size[1]) % side]

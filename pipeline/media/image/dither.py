"""Dithering to a palette: two of its colors are mixed, pixel by pixel, where one does not fit.

The pattern of thresholds stands still on the screen, so the pixels of an unchanged color do not change. Mixing is that
of light: over an area the mean of the linear values is that of the color, as far as two colors can give it.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from pipeline.media.image.oklab import linear_from_oklab, oklab_from_linear, srgb_from_oklab
from pipeline.media.image.palette import color_distances
from pipeline.media.image.transfer import linear_from_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    RGB = NDArray[np.uint8]

Pattern = Literal["ordered", "blue_noise"]

BLUE_NOISE_PX: Final = 64
_HYSTERESIS: Final = 0.12  # of the way between two colors: less does not move a pixel from the one that it had
_LEVELS: Final = 32  # lattice of colors for which the pair is found
_DISTANCE_COST: Final = 0.12  # a pair that lies farther apart must fit better: distant colors make coarse grain
_BLUE_SIGMA_PX: Final = 1.9


def dithered(
    rgb: RGB,
    palette: NDArray[np.float32],
    pattern: Pattern,
    previous: RGB | None = None,
    confidence: NDArray[np.float32] | None = None,
) -> RGB:
    """An image, uint8 (H, W, 3) sRGB, in the colors of a palette, float32 (k, 3) Oklab.

    A pixel of the `previous` dithered image, of the same size, keeps its color if that is one of the two and the other
    one is not clearly the one to take: so noise does not make the pattern flicker. `confidence`, float32 (H, W) in
    [0, 1], scales that (None: 1 everywhere).
    """
    light = linear_from_oklab(palette)
    first, second = _pairs(np.ascontiguousarray(palette, np.float32).tobytes())[
        tuple(np.moveaxis(rgb >> 3, -1, 0))
    ].transpose(2, 0, 1)
    start = light[first]
    way = light[second] - start
    squared = (way**2).sum(axis=2)
    fraction = ((linear_from_pixels(rgb) - start) * way).sum(axis=2) / np.maximum(squared, 1e-9)
    threshold = _tiled(pattern, rgb.shape[:2])
    colors = srgb_from_oklab(palette)
    if previous is not None:
        is_first, is_second = (_same(previous, colors[entry]) for entry in (first, second))
        hold = np.float32(_HYSTERESIS) if confidence is None else np.float32(_HYSTERESIS) * confidence
        threshold = threshold + hold * (is_first.astype(np.float32) - is_second)
    return np.asarray(colors[np.where(fraction > threshold, second, first)], np.uint8)


def thresholds(pattern: Pattern) -> NDArray[np.float32]:
    """A square tile of thresholds in (0, 1), each as frequent as any other; edges fit together."""
    ranks = _bayer(8) if pattern == "ordered" else _blue_noise(BLUE_NOISE_PX)
    return ((ranks + np.float32(0.5)) / np.float32(ranks.size)).astype(np.float32)


def _tiled(pattern: Pattern, size: tuple[int, ...]) -> NDArray[np.float32]:
    tile = thresholds(pattern)
    side = len(tile)
    return np.tile(tile, (-(-size[0] // side), -(-size[1] // side)))[: size[0], : size[1]]


def _same(rgb: RGB, colors: RGB) -> NDArray[np.bool_]:
    return np.asarray((np.abs(rgb.astype(np.int16) - colors) <= 1).all(axis=2), np.bool_)


@lru_cache(maxsize=4)
def _pairs(palette_bytes: bytes) -> NDArray[np.uint8]:
    """The two entries that mix best for every color of a lattice, uint8 (32, 32, 32, 2); the first is the nearer one.

    The palette is given by its bytes, so that the pairs are found once for it.
    """
    palette = np.frombuffer(palette_bytes, np.float32).reshape(-1, 3)
    centers = (np.arange(_LEVELS) * (256 // _LEVELS) + 128 // _LEVELS).astype(np.uint8)
    light = linear_from_pixels(np.stack(np.meshgrid(centers, centers, centers, indexing="ij"), axis=-1)).reshape(-1, 3)
    lab, entries = oklab_from_linear(light), linear_from_oklab(palette)
    nearest = color_distances(lab, palette).argmin(axis=1)
    start = entries[nearest]
    best, second = np.full(len(lab), np.inf, np.float32), nearest.copy()
    for entry in range(len(palette)):
        way = entries[entry] - start
        fraction = np.clip(((light - start) * way).sum(axis=1) / np.maximum((way**2).sum(axis=1), 1e-9), 0, 1)
        error = np.linalg.norm(oklab_from_linear(start + fraction[:, np.newaxis] * way) - lab, axis=1)
        cost = error + np.float32(_DISTANCE_COST) * np.linalg.norm(palette[entry] - palette[nearest], axis=1)
        better = (cost < best) & (entry != nearest)
        best, second = np.where(better, cost, best), np.where(better, entry, second)
    return np.stack([nearest, second], axis=1).astype(np.uint8).reshape(_LEVELS, _LEVELS, _LEVELS, 2)


def _bayer(side: int) -> NDArray[np.int64]:
    """Ranks of Bayer's ordered dither (1973); `side` is a power of two."""
    ranks = np.zeros((1, 1), np.int64)
    while len(ranks) < side:
        ranks = np.block([[4 * ranks, 4 * ranks + 2], [4 * ranks + 3, 4 * ranks + 1]])
    return ranks


@cache
def _blue_noise(side: int) -> NDArray[np.int64]:
    """Ranks without clusters or holes: the void-and-cluster method (Ulichney 1993) from a seeded start.

    Ours ranks all pixels by the largest void, after a start of a tenth; it has no third phase.
    """
    offset = np.minimum(np.arange(side), side - np.arange(side))
    bump = np.exp(-(offset[:, np.newaxis] ** 2 + offset**2) / (2 * _BLUE_SIGMA_PX**2))
    random = np.random.default_rng(0)
    on = np.zeros((side, side), bool)
    on.flat[random.choice(side * side, side * side // 10, replace=False)] = True
    energy = np.real(np.fft.ifft2(np.fft.fft2(on) * np.fft.fft2(bump)))

    def put(place: int, sign: int) -> None:
        row, column = divmod(place, side)
        on[row, column] = sign > 0
        energy[...] += sign * np.roll(bump, (row, column), (0, 1))

    while True:  # even out the start: the tightest pixel goes to the largest void until it would come back
        cluster = int(np.where(on, energy, -np.inf).argmax())
        put(cluster, -1)
        void = int(np.where(on, np.inf, energy).argmin())
        put(void, 1)
        if void == cluster:
            break
    start, energy_at_start = on.copy(), energy.copy()
    ranks = np.zeros((side, side), np.int64)
    for rank in reversed(range(int(start.sum()))):
        cluster = int(np.where(on, energy, -np.inf).argmax())
        put(cluster, -1)
        ranks.flat[cluster] = rank
    on[...], energy[...] = start, energy_at_start
    for rank in range(int(start.sum()), side * side):
        void = int(np.where(on, np.inf, energy).argmin())
        put(void, 1)
        ranks.flat[void] = rank
    return ranks

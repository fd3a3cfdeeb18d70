"""Palettes: the main colors of a sample by k-means, in Oklab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Colors = NDArray[np.float32]

_ROUNDS: Final = 30
_CHROMA_WEIGHT: Final = 2.0  # rare vivid colors keep an entry of their own
_INERTIA: Final = 0.25
"""Weight of where an entry was, as a fraction of what a sample gives an entry on average."""


def main_colors(colors: Colors, count: int, random: np.random.Generator, contrast: float = 1.0) -> Colors:
    """The `count` main colors of a sample (n, 3), float32 (count, 3) from dark to light, all within sRGB.

    k-means with k-means++ starts (Arthur and Vassilvitskii 2007). The mean of a cluster is duller than its colors:
    `contrast` moves the entries apart by this factor, within the range of lightness of the sample.
    """
    gain = _gain()
    samples = gain * colors
    # k-means++: each start is drawn with the squared distance from the previous ones, so rare colors are found.
    centers = samples[:1]
    while len(centers) < count:
        chance = color_distances(samples, centers).min(axis=1).astype(np.float64) ** 2 + 1e-12
        centers = np.vstack([centers, samples[random.choice(len(samples), p=chance / chance.sum())]])
    for _ in range(_ROUNDS):
        nearest = color_distances(samples, centers).argmin(axis=1)
        size = np.bincount(nearest, minlength=count)
        sums = np.stack([np.bincount(nearest, samples[:, axis], count) for axis in range(3)], axis=1)
        moved = np.where(size[:, np.newaxis] > 0, sums / np.maximum(size, 1)[:, np.newaxis], centers)
        centers = moved.astype(np.float32)
    mean = samples.mean(axis=0)
    centers = (mean + np.float32(contrast) * (centers - mean)) / gain
    centers[:, 0] = np.clip(centers[:, 0], *np.percentile(samples[:, 0], (1, 99)))
    centers = oklab_from_srgb(srgb_from_oklab(centers))  # back into the range of sRGB
    return centers[np.argsort(centers[:, 0], kind="stable")]


def drifted(palette: Colors, colors: Colors, weights: NDArray[np.float64]) -> Colors:
    """A palette (k, 3) moved toward the colors of a part of a shot: a sample (n, 3) with `weights` (n,).

    Every entry becomes the mean of the colors that are nearest to it and, weighing less, of where it was; without
    colors it stays. The assignment is soft, so that entries move without jumps where the weights do.
    """
    gain = _gain()
    distance = color_distances(gain * colors, gain * palette)
    part = np.exp(-((distance - distance.min(axis=1, keepdims=True)) ** 2) / np.float32(2 * 0.03**2))
    part *= (weights / weights.sum())[:, np.newaxis] / part.sum(axis=1, keepdims=True)
    held = _INERTIA / len(palette)
    moved = (part.T @ colors + held * palette) / (part.sum(axis=0)[:, np.newaxis] + held)
    return oklab_from_srgb(srgb_from_oklab(moved.astype(np.float32)))


def color_distances(colors: Colors, palette: Colors, lightness_weight: float = 1.0) -> Colors:
    """Distances (n, k) between colors (n, 3) and a palette (k, 3); lightness counts `lightness_weight` times."""
    scale = np.array([lightness_weight, 1, 1], np.float32)
    a, b = colors * scale, palette * scale
    squared = (a**2).sum(axis=1)[:, np.newaxis] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    return np.asarray(np.sqrt(np.maximum(squared, 0)), np.float32)


def nearest_colors(distances: Colors, palette: Colors, softness: float) -> Colors:
    """The colors (n, 3) of the palette with the smallest `distances` (n, k), blended with others within `softness`."""
    weights = np.exp((distances.min(axis=1, keepdims=True) - distances) / np.float32(softness / 4))
    return np.asarray((weights @ palette) / weights.sum(axis=1, keepdims=True), np.float32)


def _gain() -> Colors:
    return np.array([1, _CHROMA_WEIGHT, _CHROMA_WEIGHT], np.float32)

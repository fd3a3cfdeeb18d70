"""The superpixel styler: a photo as a mosaic of leaded glass in the colors of a painting.

The cells are SLIC superpixels (Achanta et al. 2012). Every frame seeds their centers from the same grid, so in a still
scene they stay where they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab
from pipeline.stylers.palette import as_batch, blended, distances, flattened, pixels, style_palette, toned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.types import FrameBatch, StylizedBatch

_COLORS: Final = 24
_ROUNDS: Final = 5  # the cells hardly move after that, and the jitter of their seeds would straighten out
_JITTER: Final = 0.3  # of a mesh: a plain grid shows in skies as graph paper
_COMPACTNESS: Final = 0.08  # the Oklab distance that weighs as much as one mesh: less follows edges, more is rounder
_LIGHTNESS: Final = 1.3  # as in the palette styler
_SOFTNESS: Final = 0.08  # Oklab: flickering light must not toss a cell between two colors
_OWN: Final = 0.3  # share of the cell's own color beside the palette's, so that neighbors differ in wide flat areas
_GLASS: Final = 0.02  # standard deviation of lightness from cell to cell, as in hand-made glass


class SuperpixelStyler:
    """Paints a frame as about `cells` cells in colors of the paintings, which are uint8 (h, w, 3) sRGB pictures.

    `border` in [0, 1] is how dark the lines between the cells are; 0 draws none. The same arguments give the same
    frames.
    """

    def __init__(
        self, style_images: Sequence[NDArray[np.uint8]], cells: int, seed: int, *, border: float = 0.7
    ) -> None:
        self.palette = style_palette(style_images, _COLORS, seed)
        self.cells = cells
        self.border = border
        self.seed = seed

    def stylize(self, batch: FrameBatch) -> StylizedBatch:
        """Paint every frame; the loss is the mean squared difference to the photo."""
        return as_batch(batch, [self.paint(pixels(content)) for content in batch.content])

    def paint(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Paint one frame, uint8 (H, W, 3) sRGB."""
        labels, means = superpixels(rgb, self.cells, self.seed)
        color = toned(means, self.palette)
        nearest = blended(distances(color, self.palette, _LIGHTNESS), self.palette, _SOFTNESS)
        color = np.float32(_OWN) * color + np.float32(1 - _OWN) * nearest
        # One number per place in the grid: the same in every frame.
        color[:, 0] += np.random.default_rng(self.seed).normal(0, _GLASS, len(color)).astype(np.float32)
        glass = srgb_from_oklab(color)[labels]
        if self.border <= 0:
            return glass
        shade = 1 - np.float32(self.border) * _lines(labels, len(means))
        return np.asarray(np.rint(glass * shade[..., np.newaxis]), np.uint8)


def superpixels(rgb: NDArray[np.uint8], cells: int, seed: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Cut a picture (H, W, 3) into about `cells` cells: labels int32 (H, W), mean Oklab color of each float32 (n, 3).

    A pixel belongs to one of the nine cells whose seeds lie in its own and the neighboring meshes of the grid; each is
    tried for the whole picture at once. Cells may be empty or, rarely, in two pieces.
    """
    height, width = rgb.shape[:2]
    rows = int(np.clip(round(np.sqrt(cells * height / width)), 1, max(1, height // 2)))
    columns = int(np.clip(round(cells / rows), 1, max(1, width // 2)))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    place = np.float32(_COMPACTNESS / np.sqrt(height * width / (rows * columns)))
    features = np.dstack([oklab_from_srgb(flattened(rgb)), y * place, x * place])
    mesh_y = np.arange(height) * rows // height
    mesh_x = np.arange(width) * columns // width
    # Every second row is moved by half a mesh, as in a wall, and every seed a little at random.
    grid_y, grid_x = np.mgrid[:rows, :columns] + 0.5
    grid_x = grid_x + np.where(np.arange(rows) % 2, 0.25, -0.25)[:, np.newaxis]
    jitter = np.random.default_rng(seed).uniform(-_JITTER, _JITTER, (2, rows, columns))
    at_y = np.clip((grid_y + jitter[0]) * height / rows, 0, height - 1).astype(np.intp)
    at_x = np.clip((grid_x + jitter[1]) * width / columns, 0, width - 1).astype(np.intp)
    centers = features[at_y, at_x].reshape(-1, 5)
    for _ in range(_ROUNDS):
        best = np.full((height, width), np.inf, np.float32)
        labels = np.zeros((height, width), np.int32)
        for down in (-1, 0, 1):
            row = np.clip(mesh_y + down, 0, rows - 1)[:, np.newaxis] * columns
            for right in (-1, 0, 1):
                candidate = (row + np.clip(mesh_x + right, 0, columns - 1)).astype(np.int32)
                distance = ((features - centers[candidate]) ** 2).sum(axis=2)
                better = distance < best
                best = np.where(better, distance, best)
                labels = np.where(better, candidate, labels)
        centers = _means(features, labels, centers)
    return labels, centers[:, :3].copy()


def _means(
    features: NDArray[np.float32], labels: NDArray[np.int32], otherwise: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Mean features (n, k) of every label; an empty one keeps `otherwise`."""
    flat, count = labels.reshape(-1), len(otherwise)
    size = np.bincount(flat, minlength=count)
    sums = [np.bincount(flat, features[..., axis].reshape(-1), count) for axis in range(features.shape[2])]
    means = np.stack(sums, axis=1) / np.maximum(size, 1)[:, np.newaxis]
    return np.where(size[:, np.newaxis] > 0, means, otherwise).astype(np.float32)


def _lines(labels: NDArray[np.int32], count: int) -> NDArray[np.float32]:
    """Lines between the cells, float32 (H, W) in [0, 1]: a twelfth of a cell wide, with smooth edges."""
    edge = np.zeros(labels.shape, np.uint8)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    width_px = max(1, round(np.sqrt(labels.size / count) / 12))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width_px, width_px))
    return np.asarray(cv2.GaussianBlur(cv2.dilate(edge, disc).astype(np.float32), (0, 0), 0.6 + width_px / 8))

"""Superpixel cells: cutting a frame into them, and finding those of a previous stylized frame again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROUNDS: Final = 5  # more would straighten the irregular grid that the jitter of the seeds gives
_JITTER: Final = 0.3  # of a mesh: a regular grid would show in skies
_COMPACTNESS: Final = 0.16  # the Oklab distance that counts as one mesh: less follows edges, more gives rounder cells
_HYSTERESIS: Final = 0.03  # distance by which a pixel must be nearer to another cell, to leave the one that it was in
_LINE_MESHES: Final = 1 / 12  # width of the lines
_LINE_CONTRAST: Final = 0.9  # a pixel is on a line where it is darker than this, relative to the glass beside it
_AGREEMENT: Final = (0.7, 0.9)  # overlap of a cell with its previous one at which it begins to be kept, and where it is
_NO_CELL: Final = -1


class CellGrid:
    """A frame to be cut into about `cells` cells, whose seeds stand on a grid: the same in every frame of one size.

    `lab` is the frame, float32 (H, W, 3) Oklab. A pixel belongs to one of the nine cells whose seeds lie in its own
    and the neighboring meshes of the grid. Cells may be empty or, rarely, in two pieces.
    """

    def __init__(self, lab: NDArray[np.float32], cells: int, seed: int) -> None:
        height, width = lab.shape[:2]
        self._rows = int(np.clip(round(np.sqrt(cells * height / width)), 1, max(1, height // 2)))
        self._columns = int(np.clip(round(cells / self._rows), 1, max(1, width // 2)))
        self._seed = seed
        self.count = self._rows * self._columns
        self.mesh_px = float(np.sqrt(height * width / self.count))
        """Side of a mesh, px."""
        y, x = np.mgrid[:height, :width].astype(np.float32)
        scale = np.float32(_COMPACTNESS / self.mesh_px)
        self._features = np.dstack([lab, y * scale, x * scale])

    def cut(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Labels int32 (H, W), and the centers float32 (n, 5) that gave them: mean Oklab color and scaled position."""
        centers = self._seeds()
        for _ in range(_ROUNDS - 1):
            centers = cell_means(self._features, self.assign(centers), centers)
        return self.assign(centers), centers

    def assign(
        self,
        centers: NDArray[np.float32],
        kept: NDArray[np.int32] | None = None,
        confidence: NDArray[np.float32] | None = None,
    ) -> NDArray[np.int32]:
        """The nearest cell of every pixel, int32 (H, W).

        With `kept` (H, W), the cell that each pixel was in (-1: none), a pixel stays there unless another one is
        nearer by a margin, which is scaled by `confidence` (H, W).
        """
        height, width = self._features.shape[:2]
        mesh_y = np.arange(height) * self._rows // height
        mesh_x = np.arange(width) * self._columns // width
        best = np.full((height, width), np.inf, np.float32)
        labels = np.zeros((height, width), np.int32)
        for down in (-1, 0, 1):
            row = np.clip(mesh_y + down, 0, self._rows - 1)[:, np.newaxis] * self._columns
            for right in (-1, 0, 1):
                candidate = (row + np.clip(mesh_x + right, 0, self._columns - 1)).astype(np.int32)
                distance = ((self._features - centers[candidate]) ** 2).sum(axis=2)
                if kept is not None and confidence is not None:
                    distance -= np.where(candidate == kept, np.float32(_HYSTERESIS**2) * confidence, 0)
                better = distance < best
                best = np.where(better, distance, best)
                labels = np.where(better, candidate, labels)
        return labels

    def _seeds(self) -> NDArray[np.float32]:
        """Features (n, 5) at the seeds: every second row is moved by half a mesh, as in a wall, and each at random."""
        height, width = self._features.shape[:2]
        grid_y, grid_x = np.mgrid[: self._rows, : self._columns] + 0.5
        grid_x = grid_x + np.where(np.arange(self._rows) % 2, 0.25, -0.25)[:, np.newaxis]
        jitter = np.random.default_rng(self._seed).uniform(-_JITTER, _JITTER, (2, self._rows, self._columns))
        y = np.clip((grid_y + jitter[0]) * height / self._rows, 0, height - 1).astype(np.intp)
        x = np.clip((grid_x + jitter[1]) * width / self._columns, 0, width - 1).astype(np.intp)
        return np.asarray(self._features[y, x].reshape(-1, self._features.shape[2]), np.float32)


def cell_means(
    values: NDArray[np.float32],
    labels: NDArray[np.int32],
    otherwise: NDArray[np.float32],
    weights: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Mean values (n, k) of every cell; `otherwise` (n, k) for one without pixels, or without weight."""
    flat, count = labels.reshape(-1), len(otherwise)
    weight = np.ones(flat.shape) if weights is None else weights.reshape(-1).astype(np.float64)
    size = np.bincount(flat, weight, minlength=count)
    sums = [np.bincount(flat, values[..., axis].reshape(-1) * weight, count) for axis in range(values.shape[2])]
    means = np.stack(sums, axis=1) / np.where(size > 0, size, 1)[:, np.newaxis]
    return np.where(size[:, np.newaxis] > 0, means, otherwise).astype(np.float32)


def lines_between(labels: NDArray[np.int32], mesh_px: float) -> NDArray[np.float32]:
    """Lines between the cells, float32 (H, W) in [0, 1]: a twelfth of a mesh wide, at least 2 px, with smooth edges.

    They are symmetric about the border between two pixels: so the cells are found again where they were.
    """
    edge = np.zeros(labels.shape, np.uint8)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    width_px = max(1, round(mesh_px * _LINE_MESHES) - 1) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width_px, width_px))
    return np.asarray(cv2.GaussianBlur(cv2.dilate(edge, disc).astype(np.float32), (0, 0), 0.6 + width_px / 8))


def agreement(kept: NDArray[np.int32], labels: NDArray[np.int32], count: int) -> NDArray[np.float32]:
    """How far each pixel's cell may be kept, float32 (H, W) in [0, 1]: 1 where it covers what it covered before.

    A cell that the motion has carried off its position in the grid is cut anew; otherwise its borders would crawl.
    `kept` and `labels` (H, W) are the previous and the new cut, `count` the number of cells.
    """
    size = np.bincount(labels.reshape(-1), minlength=count)
    same = np.bincount(labels.reshape(-1), (kept == labels).reshape(-1), count)
    low, high = _AGREEMENT
    found = np.clip((same / np.maximum(size, 1) - low) / (high - low), 0, 1)
    return np.asarray(found[labels], np.float32)


def previous_cells(previous: NDArray[np.uint8], labels: NDArray[np.int32], mesh_px: float) -> NDArray[np.int32]:
    """The cell that each pixel of a stylized frame, uint8 (H, W, 3), was in: int32 (H, W), -1 where it is not clear.

    The panes of glass are what is left between the dark lines; each is named by the cell of `labels` (H, W), the cut of
    the current content, that covers most of it, and pixels of lines by the nearest pane.
    """
    value = previous.max(axis=2)
    side = 2 * max(2, round(mesh_px * _LINE_MESHES) + 1) + 1
    beside = cv2.morphologyEx(value, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    line = (value < _LINE_CONTRAST * beside).astype(np.uint8)
    count, pane = cv2.connectedComponents(1 - line, connectivity=4)
    # Which cell covers each pane: the most frequent pair of pane and cell.
    cells = int(labels.max()) + 1
    pairs, sizes = np.unique(pane.reshape(-1).astype(np.int64) * cells + labels.reshape(-1), return_counts=True)
    order = np.argsort(sizes, kind="stable")
    owner, overlap = np.full(count, _NO_CELL, np.int32), np.zeros(count, np.int64)
    owner[pairs[order] // cells] = pairs[order] % cells
    overlap[pairs[order] // cells] = sizes[order]
    # A pane that several cells share is no cell: its lines were too faint to be found.
    owner[overlap * 2 < np.bincount(pane.reshape(-1), minlength=count)] = _NO_CELL
    owner[0] = _NO_CELL  # the lines
    return _spread(owner[pane], line)


def _spread(owner: NDArray[np.int32], line: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Owners (H, W), with those of the nearest pixel off the lines on the lines."""
    _, nearest = cv2.distanceTransformWithLabels(line, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    owners = np.zeros(int(nearest.max()) + 1, np.int32)
    off = line == 0
    owners[nearest[off]] = owner[off]
    return np.asarray(owners[nearest], np.int32)

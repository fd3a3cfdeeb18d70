"""Superpixel cells: cutting a frame into them, and finding those of a previous stylized frame again.

Cold, the cells are SLIC superpixels (Achanta et al. 2012) around seeds on a grid. Warm, the cells are those of the
previous stylized frame, which the flow has carried along; seeds of the grid stand only where there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROUNDS: Final = 5  # more would straighten the irregular grid that the jitter of the seeds gives
_JITTER: Final = 0.3  # of a mesh: a regular grid would show in skies
_COMPACTNESS: Final = 0.16  # the Oklab distance that counts as one mesh: less follows edges, more gives rounder cells
_HYSTERESIS: Final = 0.05  # distance by which a pixel must be nearer to another cell, to leave the one that it was in
_LINE_CONTRAST: Final = 0.9  # a pixel is on a line where it is darker than this, relative to the glass beside it
_KEPT_MESHES: Final = (0.2, 3.0)  # size of a cell, in meshes, within which it is kept; others are cut anew
_FREE_FRACTION: Final = 0.5  # a seed stands where this much of its mesh belongs to no kept cell
_MIN_CONFIDENCE: Final = 0.5  # pixels with less belong to no kept cell
_WARM_ROUNDS: Final = 2
_MAX_PER_MESH: Final = 4  # centers in one mesh that are considered; more would only be splinters
_CLOSED_FROM_PX: Final = 8  # side of a mesh from which small gaps of the lines are closed
_SAME_GLASS: Final = 2  # levels by which pixels of one cell without lines may differ
_NO_CELL: Final = -1


class CellGrid:
    """A frame to be cut into about `cells` cells, whose seeds stand on a grid: the same in every frame of one size.

    `lab` is the frame, float32 (H, W, 3) Oklab. A pixel belongs to a cell whose center lies in its own or one of the
    eight neighboring meshes of the grid. Cells may be empty or, rarely, in two pieces.
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
        self._scale = np.float32(_COMPACTNESS / self.mesh_px)
        self._features = np.dstack([lab, y * self._scale, x * self._scale])

    def cut(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Labels int32 (H, W), and the centers float32 (n, 5) that gave them: mean Oklab color and scaled position."""
        centers = self._features[self._seed_places()]
        meshes = np.arange(self.count)[:, np.newaxis]
        for _ in range(_ROUNDS - 1):
            centers = cell_means(self._features, self._assign(centers, meshes), centers)
        return self._assign(centers, meshes), centers

    def carry(
        self, kept: NDArray[np.int32], confidence: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
        """Cut the frame into the cells `kept`, int32 (H, W) with -1 for none, and new ones where there are none.

        A pixel stays in its cell unless another one is nearer by a margin, which is scaled by `confidence` (H, W).
        Returns labels, centers as `cut` does, and which seed of the grid each cell stands on (-1: it is a kept one).
        """
        count = int(kept.max()) + 1
        if not count:
            return (*self.cut(), np.arange(self.count))
        old = cell_means(self._features, kept + 1, np.zeros((count + 1, 5), np.float32))[1:]
        places = self._seed_places()
        side = max(1, round(self.mesh_px))
        free = cv2.blur((kept < 0).astype(np.float32), (side, side), borderType=cv2.BORDER_REPLICATE)
        fresh = np.flatnonzero((free[places] > _FREE_FRACTION) & (kept[places] < 0))
        centers = np.concatenate([old, self._features[places][fresh]])
        seeds = np.concatenate([np.full(count, -1), fresh])
        for _ in range(_WARM_ROUNDS - 1):
            labels = self._assign(centers, self._meshes(centers), kept, confidence)
            centers = cell_means(self._features, labels, centers)
        return self._assign(centers, self._meshes(centers), kept, confidence), centers, seeds

    def _assign(
        self,
        centers: NDArray[np.float32],
        meshes: NDArray[np.intp],
        kept: NDArray[np.int32] | None = None,
        confidence: NDArray[np.float32] | None = None,
    ) -> NDArray[np.int32]:
        """The nearest cell of every pixel, int32 (H, W); `meshes` (meshes, k) has the cells in each mesh, -1: none."""
        height, width = self._features.shape[:2]
        mesh_y = np.arange(height) * self._rows // height
        mesh_x = np.arange(width) * self._columns // width
        best = np.full((height, width), np.inf, np.float32)
        labels = np.zeros((height, width), np.int32)
        for down in (-1, 0, 1):
            row = np.clip(mesh_y + down, 0, self._rows - 1)[:, np.newaxis] * self._columns
            for right in (-1, 0, 1):
                mesh = row + np.clip(mesh_x + right, 0, self._columns - 1)
                for slot in meshes.T:
                    candidate = slot[mesh].astype(np.int32)
                    distance = ((self._features - centers[candidate]) ** 2).sum(axis=2)
                    if kept is not None and confidence is not None:
                        distance -= np.where(candidate == kept, np.float32(_HYSTERESIS**2) * confidence, 0)
                    better = (distance < best) & (candidate >= 0)
                    best = np.where(better, distance, best)
                    labels = np.where(better, candidate, labels)
        if kept is not None and not np.isfinite(best).all():  # no center within reach: it stays in its cell
            labels = np.where(np.isfinite(best) | (kept < 0), labels, kept)
        return labels

    def _meshes(self, centers: NDArray[np.float32]) -> NDArray[np.intp]:
        """The centers (n, 5) in every mesh, (meshes, k), -1 where there are fewer than k."""
        height, width = self._features.shape[:2]
        y, x = (centers[:, 3:] / self._scale).T
        row = np.clip((y + 0.5) * self._rows / height, 0, self._rows - 1).astype(np.intp)
        column = np.clip((x + 0.5) * self._columns / width, 0, self._columns - 1).astype(np.intp)
        mesh = row * self._columns + column
        order = np.argsort(mesh, kind="stable")
        first = np.searchsorted(mesh[order], mesh[order])
        rank = np.arange(len(order)) - first
        fits = rank < _MAX_PER_MESH
        table = np.full((self.count, int(rank[fits].max()) + 1), _NO_CELL, np.intp)
        table[mesh[order][fits], rank[fits]] = order[fits]
        return table

    def _seed_places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns (n,) of the seeds: every second row is moved by half a mesh, and each seed at random."""
        height, width = self._features.shape[:2]
        grid_y, grid_x = np.mgrid[: self._rows, : self._columns] + 0.5
        grid_x = grid_x + np.where(np.arange(self._rows) % 2, 0.25, -0.25)[:, np.newaxis]
        jitter = np.random.default_rng(self._seed).uniform(-_JITTER, _JITTER, (2, self._rows, self._columns))
        y = np.clip((grid_y + jitter[0]) * height / self._rows, 0, height - 1).astype(np.intp)
        x = np.clip((grid_x + jitter[1]) * width / self._columns, 0, width - 1).astype(np.intp)
        return y.reshape(-1), x.reshape(-1)


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


def lines_between(labels: NDArray[np.int32], width_px: int) -> NDArray[np.float32]:
    """Lines between the cells, float32 (H, W) in [0, 1], about `width_px` (see `line_width`) wide with smooth edges.

    They are symmetric about the border between two pixels: so the cells are found again where they were.
    """
    edge = np.zeros(labels.shape, np.uint8)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    disc_px = max(1, width_px - 1) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (disc_px, disc_px))
    return np.asarray(cv2.GaussianBlur(cv2.dilate(edge, disc).astype(np.float32), (0, 0), 0.6 + disc_px / 8))


def previous_cells(
    previous: NDArray[np.uint8], confidence: NDArray[np.float32], mesh_px: float, width_px: int
) -> NDArray[np.int32]:
    """The cells of a stylized frame, uint8 (H, W, 3): int32 (H, W) from 0, -1 where it is not clear.

    The panes of glass are what is left between the dark lines of `width_px`, or, if that is 0, what has one color;
    pixels of lines belong to the nearest pane. Panes that are much smaller or larger than a mesh are no cells: they
    were cut off by the frame, or their lines were too faint to be found. Nor are pixels of low `confidence` (H, W).
    """
    line = _lines(previous, width_px) if width_px else _edges(previous)
    if mesh_px >= _CLOSED_FROM_PX:
        line = np.asarray(cv2.dilate(line, np.ones((3, 3), np.uint8)), np.uint8)
    _, pane = cv2.connectedComponents(1 - line, connectivity=4)
    owner = _spread(np.asarray(pane - 1, np.int32), line)
    pane = np.where(confidence < _MIN_CONFIDENCE, _NO_CELL, owner)
    size = np.bincount(pane[pane >= 0], minlength=int(pane.max()) + 1) / mesh_px**2
    is_cell = (size >= _KEPT_MESHES[0]) & (size <= _KEPT_MESHES[1])
    number = np.append(np.where(is_cell, np.cumsum(is_cell) - 1, _NO_CELL), _NO_CELL)
    return np.asarray(number[pane], np.int32)


def _lines(previous: NDArray[np.uint8], width_px: int) -> NDArray[np.uint8]:
    """1 on the dark lines of a stylized frame, uint8 (H, W)."""
    value = previous.max(axis=2)
    side = 2 * max(2, width_px + 1) + 1
    beside = cv2.morphologyEx(value, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return np.asarray(value < _LINE_CONTRAST * beside, np.uint8)


def _edges(previous: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 beside a change of color of a stylized frame without lines, uint8 (H, W)."""
    spread = cv2.subtract(
        cv2.dilate(previous, np.ones((2, 2), np.uint8)), cv2.erode(previous, np.ones((2, 2), np.uint8))
    )
    return np.asarray(spread.max(axis=2) > _SAME_GLASS, np.uint8)


def _spread(owner: NDArray[np.int32], line: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Owners (H, W), with those of the nearest pixel off the lines on the lines."""
    _, nearest = cv2.distanceTransformWithLabels(line, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    owners = np.full(int(nearest.max()) + 1, _NO_CELL, np.int32)
    off = line == 0
    owners[nearest[off]] = owner[off]
    return np.asarray(owners[nearest], np.int32)

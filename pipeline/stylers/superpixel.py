"""The superpixel styler: frames as a mosaic of leaded glass in the colors of the style images.

The cells are SLIC superpixels (Achanta et al. 2012). A warm frame finds those of the previous one again in the warped
stylized frame, between its dark lines, and changes them only where the content clearly did: so cells move with what
they show, and noise of the content moves neither borders nor colors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab
from pipeline.media.image.palette import color_distances, nearest_colors
from pipeline.stylers.cells import CellGrid, cell_means, lines_between, previous_cells
from pipeline.stylers.colors import (
    LIGHTNESS_WEIGHT,
    fit_to_palette,
    smooth_regions,
    style_palette,
    stylize_frames,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.types import FrameBatch, StylizedBatch

_COLORS: Final = 24
_SOFTNESS: Final = 0.08  # Oklab distance over which one color passes into the next, so that no cell flips between two
_OWN_COLOR: Final = 0.3  # fraction of the cell's own color beside the palette's: neighbors differ in wide even areas
_VARIATION: Final = 0.02  # standard deviation of lightness from cell to cell, as in hand-made glass
_LINE_DARKNESS: Final = 0.37  # how dark the lines between the cells are, from 0 to 1
_KEPT_COLOR: Final = 0.03  # Oklab distance up to which a cell keeps the color that it had
_LEAST_SHADE: Final = 0.5  # pixels darkened more than this by a line do not count for the color that a cell had


class SuperpixelStyler:
    """Stylizes frames as about `cells` cells in colors of the style images, which are uint8 (H, W, 3) sRGB.

    `border_width` is that of the lines between them, of the width of a cell; 0: none. Without style images every cell
    has the mean color of its content. The same arguments give the same frames.
    """

    style_colors = None

    def __init__(
        self, style_images: Sequence[NDArray[np.uint8]], cells: int, seed: int, *, border_width: float = 1 / 12
    ) -> None:
        self.palette = style_palette(style_images, _COLORS, seed) if style_images else None
        self.cells = cells
        self.seed = seed
        self.border_width = border_width

    def stylize(self, batch: FrameBatch) -> StylizedBatch:
        """Stylize every frame; a warm one keeps the cells of the warped previous one where the content allows it."""
        return stylize_frames(batch, lambda rgb, previous, confidence, _: self.stylize_frame(rgb, previous, confidence))

    def stylize_frame(
        self,
        rgb: NDArray[np.uint8],
        previous: NDArray[np.uint8] | None = None,
        confidence: NDArray[np.float32] | None = None,
    ) -> NDArray[np.uint8]:
        """Stylize one frame, uint8 (H, W, 3) sRGB.

        `previous` is the warped previous stylized frame, of the same size; `confidence`, float32 (H, W) in [0, 1],
        scales what is kept of it (None: 1 everywhere).
        """
        lab = oklab_from_srgb(smooth_regions(rgb))
        grid = CellGrid(lab, self.cells, self.seed)
        line_px = max(2, round(self.border_width * grid.mesh_px)) if self.border_width else 0
        if previous is None:
            labels, centers = grid.cut()
            color = self._colors(cell_means(lab, labels, centers[:, :3]), np.arange(grid.count))
        else:
            weight = np.ones(rgb.shape[:2], np.float32) if confidence is None else confidence
            kept = previous_cells(previous, weight, grid.mesh_px, line_px)
            labels, centers, seeds = grid.carry(kept, weight)
            color = self._colors(cell_means(lab, labels, centers[:, :3]), seeds)
            same = np.where(kept == labels, weight, 0).astype(np.float32)
            color = _damped(color, previous, labels, _shade(kept, line_px), same)
        glass = srgb_from_oklab(color)[labels]
        return np.asarray(np.rint(glass * _shade(labels, line_px)[..., np.newaxis]), np.uint8)

    def _colors(self, means: NDArray[np.float32], seeds: NDArray[np.int64]) -> NDArray[np.float32]:
        """Colors of cells (n, 3) from the mean colors of their content (n, 3).

        Those on a seed of the grid (not -1) vary a little in lightness; the others have what they have.
        """
        color = means.copy()
        if self.palette is not None:
            color = fit_to_palette(means, self.palette)
            nearest = nearest_colors(color_distances(color, self.palette, LIGHTNESS_WEIGHT), self.palette, _SOFTNESS)
            color = np.float32(_OWN_COLOR) * color + np.float32(1 - _OWN_COLOR) * nearest
        variation = np.random.default_rng(self.seed).normal(0, _VARIATION, max(1, seeds.max() + 1)).astype(np.float32)
        color[:, 0] += np.where(seeds >= 0, variation[seeds], 0)
        return color


def _shade(labels: NDArray[np.int32], line_px: int) -> NDArray[np.float32]:
    """What the glass is multiplied by, float32 (H, W): less than 1 on the lines between the cells."""
    if not line_px:
        return np.ones(labels.shape, np.float32)
    return 1 - np.float32(_LINE_DARKNESS) * lines_between(labels, line_px)


def _damped(
    color: NDArray[np.float32],
    previous: NDArray[np.uint8],
    labels: NDArray[np.int32],
    shade: NDArray[np.float32],
    weight: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Colors of cells (n, 3), held back by at most `_KEPT_COLOR` at the colors that the cells had.

    So noise changes no color, and a lasting change of the content is followed without a jump. `shade` (H, W) is that of
    the lines in `previous`, `weight` (H, W) in [0, 1] how far a pixel of it belongs to its cell.
    """
    glass = np.clip(np.rint(previous / np.maximum(shade, _LEAST_SHADE)[..., np.newaxis]), 0, 255).astype(np.uint8)
    clear = np.where(shade >= _LEAST_SHADE, weight, 0).astype(np.float32)
    had = cell_means(oklab_from_srgb(glass), labels, color, clear)
    kept_px = np.bincount(labels.reshape(-1), weight.reshape(-1), len(color))
    size_px = np.maximum(np.bincount(labels.reshape(-1), minlength=len(color)), 1)
    hold = np.float32(_KEPT_COLOR) * (kept_px / size_px).astype(np.float32)
    distance = np.linalg.norm(color - had, axis=1)
    fraction = np.minimum(1, hold / np.maximum(distance, 1e-6))
    return np.asarray(color + fraction[:, np.newaxis] * (had - color), np.float32)

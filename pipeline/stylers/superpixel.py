"""The superpixel styler: frames as a mosaic of leaded glass in the colors of the style images.

The cells are SLIC superpixels (Achanta et al. 2012). Every frame seeds their centers from the same grid. Noise of the
content would still move borders and colors a little in every frame, so a warm frame finds the cells of the previous
one again, between the dark lines of the warped stylized frame, and changes them only where the content clearly did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab
from pipeline.stylers.cells import CellGrid, agreement, cell_means, lines_between, previous_cells
from pipeline.stylers.colors import (
    LIGHTNESS_WEIGHT,
    color_distances,
    fit_to_palette,
    nearest_colors,
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

    The same arguments give the same frames.
    """

    uses_previous_frames = True
    style_colors = None

    def __init__(self, style_images: Sequence[NDArray[np.uint8]], cells: int, seed: int) -> None:
        self.palette = style_palette(style_images, _COLORS, seed)
        self.cells = cells
        self.seed = seed

    def stylize(self, batch: FrameBatch) -> StylizedBatch:
        """Stylize every frame; a warm one keeps the cells of the warped previous one where the content allows it."""
        return stylize_frames(batch, self.stylize_frame)

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
        labels, centers = grid.cut()
        if previous is None:
            color = self._colors(cell_means(lab, labels, centers[:, :3]))
        else:
            weight = np.ones(labels.shape, np.float32) if confidence is None else confidence
            kept = previous_cells(previous, labels, grid.mesh_px)
            labels = grid.assign(centers, kept, weight * agreement(kept, labels, grid.count))
            color = self._colors(cell_means(lab, labels, centers[:, :3]))
            same = np.where(kept == labels, weight, 0).astype(np.float32)
            color = _damped(color, previous, labels, _shade(kept, grid.mesh_px), same)
        glass = srgb_from_oklab(color)[labels]
        return np.asarray(np.rint(glass * _shade(labels, grid.mesh_px)[..., np.newaxis]), np.uint8)

    def _colors(self, means: NDArray[np.float32]) -> NDArray[np.float32]:
        """Colors of cells (n, 3) from the mean colors of their content (n, 3)."""
        color = fit_to_palette(means, self.palette)
        nearest = nearest_colors(color_distances(color, self.palette, LIGHTNESS_WEIGHT), self.palette, _SOFTNESS)
        color = np.float32(_OWN_COLOR) * color + np.float32(1 - _OWN_COLOR) * nearest
        # One number per position in the grid: the same in every frame.
        color[:, 0] += np.random.default_rng(self.seed).normal(0, _VARIATION, len(color)).astype(np.float32)
        return color


def _shade(labels: NDArray[np.int32], mesh_px: float) -> NDArray[np.float32]:
    """What the glass is multiplied by, float32 (H, W): less than 1 on the lines between the cells."""
    return 1 - np.float32(_LINE_DARKNESS) * lines_between(labels, mesh_px)


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

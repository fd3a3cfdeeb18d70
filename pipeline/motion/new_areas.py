"""How areas start that no previous frame shows: with the light of the content, in stylized colors and strokes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.media.image.recolor import ColorMap, color_gaussian, linear_map, style_map
from pipeline.motion.light_change import LIGHT_SIGMA, light_size
from pipeline.types import StyleColors


def start_of_new_pixels(
    content: NDArray[np.uint8],
    stylized: NDArray[np.float32],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    style_colors: StyleColors | None = None,
) -> NDArray[np.float32]:
    """Initial colors (n, 3), sRGB in [0, 1], of the n pixels at (rows, columns) that no previous frame shows.

    Low frequencies are those of `content`, uint8 (H, W, 3), in the colors of the style (None: recolored like
    `stylized`, float32 (H, W, 3)); the strokes are copied from `stylized` at a fixed offset towards the middle of the
    frame. So in a pan every strip that enters continues the strip before it without a seam.
    """
    height, width = content.shape[:2]
    source = _towards_middle(rows, height), _towards_middle(columns, width)
    size = light_size(height, width)
    small_content = np.asarray(cv2.resize(content, size, interpolation=cv2.INTER_AREA), np.uint8)
    small_stylized = np.asarray(cv2.resize(stylized, size, interpolation=cv2.INTER_AREA), np.float32)
    colors = color_gaussian(small_content)
    if style_colors is None:
        recolor: ColorMap = linear_map(colors, color_gaussian(small_stylized))
    else:
        recolor = style_map(colors, style_colors)
    recolored = recolor(small_content.astype(np.float32) / np.float32(255))
    sigma = LIGHT_SIGMA * max(size)
    light, base = (
        cv2.resize(cv2.GaussianBlur(each, (0, 0), sigma), (width, height), interpolation=cv2.INTER_LINEAR)
        for each in (recolored, small_stylized)
    )
    start: NDArray[np.float32] = light[rows, columns] + stylized[source] - base[source]
    return start


def _towards_middle(indices: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Row or column indices in [0, count), moved by a sixth of `count` towards the opposite side."""
    distance = count // 6
    return np.where(indices < count // 2, indices + distance, indices - distance)

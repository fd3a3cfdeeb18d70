"""How areas start that no previous frame shows: with the light of the content, in stylized colors and strokes."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

LOW_PASS_SIDE_PX: Final = 240
"""Low frequencies are computed on images of this size."""
LOW_PASS_SIGMA: Final = 0.02
"""Standard deviation of the low-pass filter, of the longer side: strokes are finer, light and shade are broader."""


def start_of_new_pixels(
    content: NDArray[np.uint8],
    stylized: NDArray[np.float32],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Initial colors (n, 3), sRGB in [0, 1], of the n pixels at (rows, columns) that no previous frame shows.

    Low frequencies are those of `content`, uint8 (H, W, 3), recolored like `stylized`, float32 (H, W, 3); the strokes
    are copied from `stylized` at a fixed offset towards the middle of the frame. So in a pan every strip that enters
    continues the strip before it without a seam.
    """
    height, width = content.shape[:2]
    source = _towards_middle(rows, height), _towards_middle(columns, width)
    scale = LOW_PASS_SIDE_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small_content = np.asarray(cv2.resize(content, size, interpolation=cv2.INTER_AREA), np.uint8)
    small_stylized = np.asarray(cv2.resize(stylized, size, interpolation=cv2.INTER_AREA), np.float32)
    sigma = LOW_PASS_SIGMA * LOW_PASS_SIDE_PX
    light, base = (
        cv2.resize(cv2.GaussianBlur(each, (0, 0), sigma), (width, height), interpolation=cv2.INTER_LINEAR)
        for each in (recolored(small_content, small_stylized), small_stylized)
    )
    start: NDArray[np.float32] = light[rows, columns] + stylized[source] - base[source]
    return start


def recolored(content: NDArray[np.uint8], stylized: NDArray[np.float32]) -> NDArray[np.float32]:
    """`content`, uint8 (H, W, 3), with the colors of `stylized`, float32 (H, W, 3) in [0, 1]; float32, not clipped.

    The linear map between the two Gaussians of colors (Pitie and Kokaram 2007, "The linear Monge-Kantorovitch linear
    colour mapping for example-based colour transfer").
    """
    source = content.reshape(-1, 3).astype(np.float64) / 255
    target = stylized.reshape(-1, 3).astype(np.float64)
    regularization = np.eye(3) * 1e-4  # the covariance of gray content is singular
    root = _square_root(np.cov(source, rowvar=False) + regularization)
    inverse = np.linalg.inv(root)
    mapping = inverse @ _square_root(root @ (np.cov(target, rowvar=False) + regularization) @ root) @ inverse
    moved = (source - source.mean(axis=0)) @ mapping.T + target.mean(axis=0)
    return np.asarray(moved.reshape(content.shape), np.float32)


def _towards_middle(indices: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Row or column indices in [0, count), moved by a sixth of `count` towards the opposite side."""
    distance = count // 6
    return np.where(indices < count // 2, indices + distance, indices - distance)


def _square_root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square root of a symmetric positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    result: NDArray[np.float64] = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    return result

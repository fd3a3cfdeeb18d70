"""The guided filter: a mask that follows the edges of an image.

He, Sun and Tang 2013, "Guided image filtering" (IEEE TPAMI 35:6), with a guide of three channels (equations 19 to 21),
and the way to a larger image of He and Sun 2015, "Fast guided filter" (arXiv:1505.00996). In every window the mask is
fitted as an affine function of the guide's color. We weight the pixels of a window, so that a mask which is known in
some places is continued to the others as the colors say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PAIRS: Final = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def fit_affine(
    guide: NDArray[np.uint8],
    mask: NDArray[np.float32],
    *,
    radius_px: int,
    epsilon: float,
    weight: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """The affine functions of the guide that fit the mask: float32 (H, W, 4), slopes for R, G, B in [0, 1], offset.

    `guide` is uint8 (H, W, 3) sRGB, `mask` float32 (H, W) in [0, 1], windows have `2 radius_px + 1` px a side, and
    `epsilon` is the variance of the guide, in [0, 1]^2, below which an edge is noise. `weight` float32 (H, W), above 0:
    how much each pixel of a window counts (None: all the same).
    """
    window = (2 * radius_px + 1,) * 2
    colors = guide.astype(np.float32) / np.float32(255)
    heavy = np.ones_like(mask) if weight is None else weight
    total = cv2.blur(heavy, window)

    def mean(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(plane * heavy, window) / total, np.float32)

    color_means = [mean(colors[..., channel]) for channel in range(3)]
    mask_mean = mean(mask)
    with_mask = np.stack([mean(colors[..., c] * mask) - color_means[c] * mask_mean for c in range(3)])
    covariance = [
        mean(colors[..., i] * colors[..., j]) - color_means[i] * color_means[j] + np.float32(epsilon if i == j else 0)
        for i, j in _PAIRS
    ]
    slopes = _solve(covariance, with_mask)
    offset = mask_mean - sum(slope * color for slope, color in zip(slopes, color_means, strict=True))
    fitted = np.stack([*slopes, offset], axis=-1)
    return np.asarray(cv2.blur(fitted * heavy[..., None], window) / total[..., None], np.float32)


def apply_affine(fitted: NDArray[np.float32], guide: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mask of an image by the result of `fit_affine`, also of a larger image: float32 (H, W) in [0, 1]."""
    height, width = guide.shape[:2]
    if fitted.shape[:2] != (height, width):
        fitted = np.asarray(cv2.resize(fitted, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    colors = guide.astype(np.float32) / np.float32(255)
    mask = (colors * fitted[..., :3]).sum(axis=-1) + fitted[..., 3]
    return np.asarray(np.clip(mask, 0, 1), np.float32)


def _solve(matrix: list[NDArray[np.float32]], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Solutions (3, H, W) of a symmetric 3x3 system per pixel, by Cramer's rule; `matrix` in the order of `_PAIRS`."""
    a, b, c, d, e, f = matrix
    adjugate = (d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b)
    determinant = a * adjugate[0] + b * adjugate[1] + c * adjugate[2]
    rows = ((0, 1, 2), (1, 3, 4), (2, 4, 5))
    return np.stack([sum(adjugate[k] * right[i] for i, k in enumerate(row)) / determinant for row in rows])


def enlarged(
    mask: NDArray[np.float32], content: NDArray[np.uint8], *, radius_px: int, epsilon: float
) -> NDArray[np.float32]:
    """A small mask, float32 (h, w), at the size of the content, uint8 (H, W, 3), with its edges on those there.

    `radius_px` and `epsilon` are those of `fit_affine` at the small size.
    """
    height, width = mask.shape
    small = np.asarray(cv2.resize(content, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return apply_affine(fit_affine(small, mask, radius_px=radius_px, epsilon=epsilon), content)

"""Recoloring: the linear map between the colors of two images, each described by one Gaussian.

The map is the linear Monge-Kantorovitch one (Pitie and Kokaram 2007, "The linear Monge-Kantorovitch linear colour
mapping for example-based colour transfer"): of all linear maps that give one Gaussian the mean and covariance of the
other, it moves colors the least, so that light stays light and hues keep their order. Colors are sRGB in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.types import ColorGaussian, StyleColors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

REGULARIZATION: Final = 1e-4
"""Added to the variances: the covariance of gray or constant images is singular."""
EMPTY_PX: Final = 1.0
"""A region that covers less than so many px has no colors of its own."""


@dataclass(frozen=True, slots=True)
class ColorMap:
    """A linear map of colors: `color @ matrix.T + offset`; `matrix` (3, 3) and `offset` (3,) are float64."""

    matrix: Matrix
    offset: Matrix

    def __call__(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """The image (H, W, 3), values of [0, 1], with its colors mapped; float32, not clipped."""
        affine = np.column_stack([self.matrix, self.offset]).astype(np.float32)
        return np.asarray(cv2.transform(image, affine), np.float32)


IDENTITY: Final = ColorMap(np.eye(3), np.zeros(3))
"""Leaves all colors as they are."""


def color_gaussian(image: NDArray[np.uint8] | NDArray[np.float32]) -> ColorGaussian:
    """The Gaussian of an image (..., 3): uint8, or float32 in [0, 1]."""
    colors = image.reshape(-1, 3).astype(np.float64)
    if image.dtype == np.uint8:
        colors /= 255
    return ColorGaussian(colors.mean(axis=0), np.cov(colors, rowvar=False))


def region_gaussian(image: NDArray[np.float32], weights: NDArray[np.float32]) -> ColorGaussian | None:
    """The Gaussian of the colors of an image (h, w, 3) in [0, 1] by the map (h, w) of a region; None: it is empty."""
    if float(weights.sum()) < EMPTY_PX:
        return None
    colors, own = image.reshape(-1, 3).astype(np.float64), weights.reshape(-1).astype(np.float64)
    mean = own @ colors / own.sum()
    centered = colors - mean
    return ColorGaussian(mean, (centered * own[:, None]).T @ centered / own.sum())


def region_color_maps(
    image: NDArray[np.float32], maps: NDArray[np.float32], style: StyleColors
) -> tuple[ColorMap, ...]:
    """For each region the map of the colors that an image (h, w, 3) in [0, 1] has in it to those of its style.

    `maps` (R + 1, h, w) begin with that of what is in no region. A region without style keeps its colors.
    """
    found = []
    for weights, colors in zip(maps, (style, *style.regions), strict=True):
        gaussian = None if colors is None else region_gaussian(image, weights)
        found.append(IDENTITY if colors is None or gaussian is None else style_map(gaussian, colors))
    return tuple(found)


def recolored_regions(
    image: NDArray[np.float32], maps: NDArray[np.float32], color_maps: Sequence[ColorMap]
) -> NDArray[np.float32]:
    """An image (H, W, 3) in [0, 1] with the colors of each region mapped, blended by `maps` (R + 1, H, W)."""
    result = np.zeros_like(image)
    for weights, color_map in zip(maps, color_maps, strict=True):
        result += weights[..., None] * color_map(image)
    return result


def linear_map(source: ColorGaussian, target: ColorGaussian, regularization: float = REGULARIZATION) -> ColorMap:
    """The linear Monge-Kantorovitch map of colors of `source` to those of `target`, in any color space."""
    added = np.eye(3) * regularization
    root = _square_root(source.covariance + added)
    inverse = np.linalg.inv(root)
    matrix = inverse @ _square_root(root @ (target.covariance + added) @ root) @ inverse
    return ColorMap(matrix, target.mean - matrix @ source.mean)


def style_map(content: ColorGaussian, style: StyleColors) -> ColorMap:
    """The map of the content's colors to those of the style images; of several, the mean of their maps by weight.

    That mean is the optimal map to a Gaussian between those of the style images (Ambrosio, Gigli and Savare 2008,
    section 9.2, "generalized geodesics").
    """
    matrix, offset = np.zeros((3, 3)), np.zeros(3)
    for gaussian, weight in zip(style.gaussians, style.weights, strict=True):
        found = linear_map(content, gaussian)
        matrix += weight / sum(style.weights) * found.matrix
        offset += weight / sum(style.weights) * found.offset
    return ColorMap(matrix, offset)


def _square_root(matrix: Matrix) -> Matrix:
    """Square root of a symmetric positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    result: Matrix = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    return result

"""Color transfer: maps that give the colors of one set of images the distribution of those of another, in Oklab.

Two methods. `gaussian` is the linear Monge-Kantorovitch map between mean and covariance (Pitie and Kokaram 2007; what
Gatys et al. 2016, "Preserving color in neural artistic style transfer", section 4.1, use). `histogram` goes on from it
with iterative distribution transfer (Pitie, Kokaram and Dahyot 2007): the distributions are matched along one random
direction after the other. Ours has few directions and bounded slopes, and is tabulated on a lattice of colors between
which it is linear: so it has no steps, and gradients stay gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import cv2
import numpy as np

from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab
from pipeline.media.image.recolor import ColorMap, linear_map
from pipeline.types import ColorGaussian

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    RGB = NDArray[np.uint8]
    Colors = NDArray[np.float32]

TransferMethod = Literal["gaussian", "histogram"]

SAMPLES: Final = 20_000
"""Colors of an image that are compared, drawn with a fixed seed."""
REGULARIZATION: Final = 1e-5
"""Added to the variances of Oklab: no gain above 30 where the source is gray."""
_LATTICE: Final = 33
_POSITION: Final = np.arange(256, dtype=np.float32) * np.float32((_LATTICE - 1) / 255)
_LOW: Final = np.minimum(_POSITION.astype(np.uint8), _LATTICE - 2)
_PART: Final = np.asarray(_POSITION, np.float64) - _LOW
"""Where the 256 levels are between the entries of the lattice: the lower one, and the fraction of the way from it."""
_QUANTILES: Final = np.linspace(0, 1, 33)
_DIRECTIONS: Final = 10  # triples of orthogonal ones
_STRIDE: Final = 0.5  # fraction of the way to the matched quantiles in every step: less noise of the directions is left
_SLOPES: Final = (0.6, 1.6)  # of the map along one direction: no flat pieces, which would show as bands, and no cliffs
_BLOCK_PX: Final = 1 << 18  # mapped at a time, to limit the memory
_PART_PX: Final = 1 << 14  # of these, looked up at a time, to stay in the cache


class ColorTransfer(Protocol):
    """A map of colors: uint8 (..., 3) sRGB to float32 (..., 3) Oklab, which may lie outside the sRGB gamut."""

    def __call__(self, rgb: RGB, /) -> Colors:
        """Map the colors of an image."""
        ...

    def of_image(self, image: Colors, lab: Colors, /) -> Colors:
        """The same for an image, float32 (H, W, 3) sRGB, whose Oklab is `lab`: faster, and about as exact."""
        ...


@dataclass(frozen=True, slots=True)
class LinearTransfer:
    """`matrix @ lab + offset`."""

    map: ColorMap

    def __call__(self, rgb: RGB, /) -> Colors:
        """See `ColorTransfer`."""
        return _mapped(oklab_from_srgb(rgb), self.map)

    def of_image(self, image: Colors, lab: Colors, /) -> Colors:  # noqa: ARG002 - both methods are called alike
        """See `ColorTransfer`."""
        return np.asarray(cv2.transform(lab, np.column_stack([self.map.matrix, self.map.offset])), np.float32)


@dataclass(frozen=True, eq=False)
class TabulatedTransfer:
    """Displacements in Oklab, float32 (33, 33, 33, 3), at a lattice of sRGB colors; between them trilinear."""

    displacements: Colors

    def __call__(self, rgb: RGB, /) -> Colors:
        """See `ColorTransfer`."""
        flat = rgb.reshape(-1, 3)
        result = np.empty(flat.shape, np.float32)
        for start in range(0, len(flat), _BLOCK_PX):
            block = flat[start : start + _BLOCK_PX]
            moved = oklab_from_srgb(block)
            for at in range(0, len(block), _PART_PX):
                moved[at : at + _PART_PX] += self._displacement(block[at : at + _PART_PX])
            result[start : start + _BLOCK_PX] = moved
        return result.reshape(rgb.shape)

    @cached_property
    def _planes(self) -> Colors:
        """The lattice as an image, the planes of equal red below one another; OpenCV is fastest with four channels."""
        return np.pad(self.displacements.reshape(-1, _LATTICE, 3), ((0, 0), (0, 0), (0, 1)))

    def of_image(self, image: Colors, lab: Colors, /) -> Colors:
        """See `ColorTransfer`: between two planes of equal red, linear in each of them."""
        red, green, blue = (
            np.asarray(cv2.extractChannel(image, channel), np.float32).clip(0, 1) * np.float32(_LATTICE - 1)
            for channel in range(3)
        )
        plane = np.minimum(np.floor(red), np.float32(_LATTICE - 2))
        red -= plane
        green += plane * np.float32(_LATTICE)
        below = np.asarray(cv2.remap(self._planes, blue, green, cv2.INTER_LINEAR), np.float32)
        green += np.float32(_LATTICE)
        moved = np.asarray(cv2.remap(self._planes, blue, green, cv2.INTER_LINEAR), np.float32)
        moved -= below
        moved *= cv2.cvtColor(red, cv2.COLOR_GRAY2RGBA)
        moved += below
        return lab + np.asarray(cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB), np.float32)

    def _displacement(self, rgb: RGB) -> Colors:
        """Of (P, 3) to (P, 3)."""
        low = np.asarray(cv2.LUT(rgb, _LOW).T, np.int32)
        part = np.ascontiguousarray(cv2.LUT(rgb, _PART).T)
        weights = (1 - part, part)
        first = (low[0] * _LATTICE + low[1]) * _LATTICE + low[2]
        # Four numbers of 32 bits, the last one unused, are gathered as one of 128.
        table = np.pad(self.displacements.reshape(-1, 3), ((0, 0), (0, 1))).view(np.complex128)[:, 0]
        total = np.zeros((len(rgb), 4), np.float32)
        for x, y, z in np.ndindex(2, 2, 2):
            weight = weights[x][0] * weights[y][1] * weights[z][2]
            corner = table.take(first + ((x * _LATTICE + y) * _LATTICE + z)).view(np.float32).reshape(-1, 4)
            total += cv2.merge([weight] * 4).reshape(-1, 4) * corner  # much faster than by `weight[:, np.newaxis]`
        return total[:, :3]


def color_transfer(source: RGB, target: RGB, method: TransferMethod = "gaussian") -> ColorTransfer:
    """The map of the distribution of the colors `source` to that of `target`; both uint8 (..., 3) sRGB, not empty.

    Colors that `source` does not have follow the nearest ones that it has.
    """
    a, b = oklab_from_srgb(source.reshape(-1, 3)), oklab_from_srgb(target.reshape(-1, 3))
    linear = linear_map(_gaussian(a), _gaussian(b), REGULARIZATION)
    if method == "gaussian":
        return LinearTransfer(linear)
    levels = np.rint(np.linspace(0, 255, _LATTICE)).astype(np.uint8)
    nodes = oklab_from_srgb(np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1))
    moved, source_colors = _mapped(nodes, linear).reshape(-1, 3), _mapped(a, linear)
    random = np.random.default_rng(0)
    for _ in range(_DIRECTIONS):
        axes = np.linalg.qr(random.normal(size=(3, 3)))[0].astype(np.float32)
        along, wanted, lattice = source_colors @ axes, b @ axes, moved @ axes
        for axis in range(3):
            knots, shifts = _quantile_shifts(along[:, axis], wanted[:, axis])
            along[:, axis] += np.interp(along[:, axis], knots, shifts)
            lattice[:, axis] += np.interp(lattice[:, axis], knots, shifts)
        source_colors, moved = np.asarray(along @ axes.T, np.float32), np.asarray(lattice @ axes.T, np.float32)
    return TabulatedTransfer((moved.reshape(nodes.shape) - nodes).astype(np.float32))


def transfer_colors(
    rgb: RGB, transfer: ColorTransfer, amount: float = 1.0, weight: NDArray[np.float32] | None = None
) -> RGB:
    """An image, uint8 (H, W, 3) sRGB, with its colors mapped as far as `amount` in [0, 1].

    `weight`, float32 (H, W) in [0, 1], scales that in every pixel, so that a region can have a map of its own. Colors
    outside the gamut lose chroma and keep their lightness and hue.
    """
    lab = oklab_from_srgb(rgb)
    part = np.float32(amount) if weight is None else np.float32(amount) * weight[..., np.newaxis]
    return srgb_from_oklab(lab + part * (transfer(rgb) - lab))


def transfer_regions(rgb: RGB, transfers: Sequence[ColorTransfer | None], maps: NDArray[np.float32]) -> RGB:
    """An image, uint8 (H, W, 3) sRGB, in which each region has a map of its own (None: none), blended in Oklab.

    `maps`, float32 (R, H, W) in [0, 1], say how far every pixel belongs to each region, and add up to 1. Colors outside
    the gamut are treated as in `transfer_colors`.
    """
    lab = oklab_from_srgb(rgb)
    moved = lab.copy()
    for transfer, part in zip(transfers, maps, strict=True):
        inside = part > 0
        if transfer is not None and inside.any():
            moved[inside] += part[inside, np.newaxis] * (transfer(rgb[inside]) - lab[inside])
    return srgb_from_oklab(moved)


def sample_colors(images: Sequence[RGB], count: int = SAMPLES) -> RGB:
    """`count` colors (count, 3) of some images, drawn at random with a fixed seed, of each equally many."""
    random = np.random.default_rng(0)
    each = max(1, count // len(images))
    return np.concatenate([image.reshape(-1, 3)[random.integers(0, image.size // 3, each)] for image in images])


def _gaussian(lab: Colors) -> ColorGaussian:
    colors = lab.astype(np.float64)
    covariance = np.cov(colors, rowvar=False) if len(colors) > 1 else np.zeros((3, 3))
    return ColorGaussian(colors.mean(axis=0), covariance)


def _mapped(lab: Colors, linear: ColorMap) -> Colors:
    return np.asarray(lab @ linear.matrix.T.astype(np.float32) + linear.offset.astype(np.float32), np.float32)


def _quantile_shifts(values: Colors, wanted: Colors) -> tuple[NDArray[Any], NDArray[Any]]:
    """Knots, and how far values there are moved: a part of the way from the quantiles of one to those of the other."""
    knots, target = np.quantile(values, _QUANTILES), np.quantile(wanted, _QUANTILES)
    knots = np.maximum.accumulate(knots + np.arange(len(knots)) * 1e-6)  # `np.interp` wants increasing ones
    steps = np.diff(knots)
    middle = len(knots) // 2
    rise = np.clip(np.diff(target), _SLOPES[0] * steps, _SLOPES[1] * steps)
    bounded = np.concatenate([[0.0], np.cumsum(rise)])
    bounded += target[middle] - bounded[middle]
    return knots, _STRIDE * (bounded - knots)

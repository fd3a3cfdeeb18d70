"""The total variation term: it removes speckle, and two kinds of fine detail that only the style loss asks for.

*Weave*: fine horizontal and vertical lines in flat areas. Style statistics ask for an amount of fine detail, hardly for
its direction, and the small filters of the feature networks answer most strongly to the finest lines along the axes, so
that the minimizer puts it there. *Rainbow grain*: color that changes within a few pixels in pale areas. Both are
compared with the style images and cost where a frame has more of them.

Shapes: images (B, 3, H, W) float32 sRGB in [0, 1]; everything else in squared pixel values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.optimize.tiles import Span, make_spans
from pipeline.runtime.device import constants

COLOR_FRACTION = 0.2
LINES_FRACTION = 0.1
"""What a frame may have of a style image's color variation and fine lines at no cost. In the style image they are where
its strokes are; in frames the same amount would be spread over flat areas too, where it is grain and weave."""
COLOR_SCALE = 25.0
"""Weight of the variation of color beyond its limit, relative to total variation: 10 leaves grain in warm frames."""
LINES_SCALE = 15.0
"""Weight of the energy of fine lines beyond its limit: 5 leaves some weave, 20 softens the finest strokes."""
DIRECTED = 2.0
"""A style image has directed lines, such as hatching, where one axis has more than so many times the other's energy."""
EPSILON = 1e-12
BAND_PIXELS: Final = 1 << 22
"""Images with more pixels are taken in bands of rows, so that a few of the maps that are needed fit into memory."""
BAND_REACH_PX: Final = 6
"""Rows beside a band on which its gradient depends, and two more."""


@dataclass(frozen=True, slots=True)
class _Band:
    """What is measured in some rows of images: sums over their own pixels, and maps that the gradient is made of.

    `sums` (B, 4): total variation, that of the gray image, vertical and horizontal lines. `differences` (B, 3, h, W),
    and those of the gray image (B, 1, h, W), are of the band's own rows; `lines`, two of (B, 1, h, W), are those of all
    rows that it is computed from.
    """

    sums: Tensor
    differences: Tensor
    gray_differences: Tensor
    lines: tuple[Tensor, Tensor]


def variation_loss(images: Tensor, limits: Tensor, *, weight: float = 1.0, gradients: Tensor | None = None) -> Tensor:
    """Total variation, with the excess of color variation and of fine lines over their `limits`: (B,).

    `limits` is (1, 3) from `variation_limits`, or several such averaged, or (B, 3). `weight` times the gradient is
    added to `gradients` (B, 3, H, W). Large images are taken in bands of rows, which are measured again for the
    gradient.
    """
    rows = max(1, BAND_PIXELS // images.shape[3])
    spans = make_spans(images.shape[2], rows, stride=1, reach_px=BAND_REACH_PX)
    bands = (_measured(images, span) for span in spans)
    first = next(bands)
    sums = sum((band.sums for band in bands), first.sums)
    values, pixels = images[0].numel(), images.shape[2] * images.shape[3]
    total, gray_total = sums[:, 0].clamp_min(0) / values, sums[:, 1].clamp_min(0) / pixels
    energies = torch.cat(((total - gray_total).clamp_min(0)[:, None], sums[:, 2:] / pixels), dim=1)
    beyond, slopes = excess(energies, limits)
    scales = constants((COLOR_SCALE, LINES_SCALE, LINES_SCALE), images.device).to(images.dtype)
    if gradients is not None:
        factors = weight * scales * slopes
        for span in spans:
            band = first if len(spans) == 1 else _measured(images, span)
            _add_gradient(band, factors, weight, 2 / values, gradients[:, :, span.start : span.stop], span)
    return total + beyond @ scales


def variation_energies(images: Tensor) -> Tensor:
    """What `variation_loss` compares with its limits: color variation, vertical and horizontal lines, (B, 3)."""
    gray = images.mean(dim=1, keepdim=True)
    color = (total_variation(images) - total_variation(gray)).clamp_min(0)
    return torch.cat((color[:, None], line_energies(gray)), dim=1)


def _measured(images: Tensor, span: Span) -> _Band:
    part = images[:, :, span.first : span.last]
    own = span.inside(1)
    gray = part.mean(dim=1, keepdim=True)
    differences = _differences(part)[:, :, own]
    gray_differences = differences.mean(dim=1, keepdim=True)
    lines = _lines(gray, 3), _lines(gray, 2)
    sums = (
        _dot(part[:, :, own], differences) / -3,
        _dot(gray[:, :, own], gray_differences) / -3,
        *(_dot(it[:, :, own], it[:, :, own]) / 64**2 for it in lines),
    )
    return _Band(torch.stack(sums, dim=1), differences, gray_differences, lines)


def _add_gradient(band: _Band, factors: Tensor, weight: float, scale: float, gradients: Tensor, span: Span) -> None:
    """Add the gradient to a band's own rows. `factors` (B, 3) are the derivatives by color, vertical, horizontal."""
    # Color variation is total variation without that of the gray image, whose mean over colors it contains.
    color, *directions = factors[:, :, None, None, None].unbind(1)
    own = span.inside(1)
    gradients.addcmul_(band.differences, -scale / 3 * (weight + color))
    of_gray = band.gray_differences * (scale / 3 * color)
    for lines, axis, factor in zip(band.lines, (3, 2), directions, strict=True):
        of_gray.addcmul_(_lines_transposed(lines, axis)[:, :, own], scale / 64**2 * factor)
    gradients += of_gray


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """The products of two batches of maps, summed up for each sample: (B,)."""
    return torch.einsum("bn,bn->b", one.flatten(1), other.flatten(1))


def total_variation(images: Tensor) -> Tensor:
    """Sum of squared differences of neighboring pixels over 3 N, for N values: images (B, C, H, W) to (B,).

    The quadratic form (Mahendran and Vedaldi 2015, eq. 3 with beta = 2): it removes speckle and leaves broad edges. We
    depart from the paper by counting diagonal neighbors too, each of the four directions with a third. That leaves the
    value of smooth images as it is. With two neighbors alone the finest diagonal lines cost half as much again as
    horizontal and vertical ones, so that the fine detail that the style asks for comes along the axes.
    """
    return -_dot(images, _differences(images)).clamp_max(0) / (3 * images[0].numel())


def _differences(images: Tensor) -> Tensor:
    """The sums of the differences to a pixel's neighbors (minus the Laplacian of the graph of neighbors)."""
    height, width = images.shape[2:]
    counts = _neighbor_counts(height, width, images.device).to(images.dtype)
    return _square_sums(images).addcmul_(images, counts, value=-1)


def _square_sums(images: Tensor) -> Tensor:
    """Sums over 3 x 3 px; beyond the borders is 0."""
    for axis in (2, 3):
        pairs, sums = images.shape[axis] - 1, images.clone()
        sums.narrow(axis, 1, pairs).add_(images.narrow(axis, 0, pairs))
        sums.narrow(axis, 0, pairs).add_(images.narrow(axis, 1, pairs))
        images = sums
    return images


@lru_cache(maxsize=32)
def _neighbor_counts(height: int, width: int, device: torch.device) -> Tensor:
    """How many of the 3 x 3 px around a pixel are in the image, itself included: (1, 1, H, W)."""
    return _square_sums(torch.ones(1, 1, height, width, device=device))


def variation_limits(style_image: Tensor) -> Tensor:
    """What frames in the style of an image (1, 3, H, W) may have: color variation, vertical and horizontal lines.

    Lines are allowed as far as one axis has more than `DIRECTED` times the energy of the other. Returns (1, 3).
    """
    gray = style_image.mean(dim=1, keepdim=True)
    color = (total_variation(style_image) - total_variation(gray)).clamp_min(0)
    lines = line_energies(gray)
    directed = lines - DIRECTED * lines.flip(1)
    return torch.cat((COLOR_FRACTION * color[:, None], torch.maximum(LINES_FRACTION * lines, directed)), dim=1)


def line_energies(gray: Tensor) -> Tensor:
    """Energy of vertical and of horizontal lines one or two pixels wide, in images (B, 1, H, W): (B, 2).

    The mean square of the second difference across the lines, [-1, 2, -1] / 4, after the binomial filter [1, 4, 6, 4,
    1] / 16 along them. Its response is 1 for the finest lines, 1/2 for a period of 4 px, 0.1 for one of 10 px, and near
    0 for lines that are not along the axis. Border pixels are repeated outside: where the filters ended before the
    border, lines would gather there.
    """
    return torch.stack([_lines(gray, across).square().mean(dim=(1, 2, 3)) / 64**2 for across in (3, 2)], dim=1)


def _lines(gray: Tensor, across: int) -> Tensor:
    """The lines of images (B, 1, H, W) across an axis, times 64: 3 for vertical ones, 2 for horizontal ones."""
    margins = (1, 1, 2, 2) if across == 3 else (2, 2, 1, 1)
    return _line_filter(F.pad(gray, margins, mode="replicate"), across)


def _lines_transposed(lines: Tensor, across: int) -> Tensor:
    """The transposed map of `_lines`: its filter is symmetric, and repeated pixels give back what they received."""
    margins = (2, 2, 4, 4) if across == 3 else (4, 4, 2, 2)
    found = _line_filter(F.pad(lines, margins), across)
    for axis, margin in ((2, margins[2] // 2), (3, margins[0] // 2)):
        inside = found.shape[axis] - 2 * margin
        found.narrow(axis, margin, 1).add_(found.narrow(axis, 0, margin).sum(dim=axis, keepdim=True))
        last = found.narrow(axis, margin + inside, margin).sum(dim=axis, keepdim=True)
        found.narrow(axis, margin + inside - 1, 1).add_(last)
        found = found.narrow(axis, margin, inside)
    return found


def _line_filter(padded: Tensor, across: int) -> Tensor:
    """The second difference across lines and the binomial filter along them, times 64 and of the other sign.

    1 and 2 px of each side are used up.
    """
    found = padded
    for _ in range(2):
        length = found.shape[across] - 1
        found = found.narrow(across, 1, length) - found.narrow(across, 0, length)
    for _ in range(4):
        length = found.shape[5 - across] - 1
        found = found.narrow(5 - across, 0, length) + found.narrow(5 - across, 1, length)
    return found


def excess(energies: Tensor, limits: Tensor) -> tuple[Tensor, Tensor]:
    """Squared difference of the roots where an energy is above its limit, else 0; and its derivative.

    Far above the limit it is the energy itself; at the limit its gradient is 0, which a minimizer needs.
    """
    roots = (energies + EPSILON).sqrt()
    beyond = (roots - (limits + EPSILON).sqrt()).clamp_min(0)
    return beyond.square(), beyond / roots

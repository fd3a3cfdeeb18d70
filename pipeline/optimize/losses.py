"""The losses of the objective that compare with one frame: content, total variation and temporal.

Shapes: images (B, 3, H, W) float32 sRGB in [0, 1]; features (B, C, h, w) in the encoder's precision; results (B,)
float32. Nothing here reduces over the batch, so the gradient of a frame never depends on the other frames.

Every term is made dimensionless by its own target: 0 is a perfect match, and about 1 is the value of a gray image, for
every encoder, layer and size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

EPSILON = 1e-16
"""Keeps a division by the energy of an all-zero target finite."""


_LATER, _EARLIER, _ALL = slice(1, None), slice(None, -1), slice(None)
NEIGHBORS = (
    ((..., _ALL, _LATER), (..., _ALL, _EARLIER)),
    ((..., _LATER, _ALL), (..., _EARLIER, _ALL)),
    ((..., _LATER, _LATER), (..., _EARLIER, _EARLIER)),
    ((..., _LATER, _EARLIER), (..., _EARLIER, _LATER)),
)
"""The two images of neighboring pixels for each direction: horizontal, vertical and the two diagonals."""


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Mean squared feature difference over the mean square of the target (Gatys et al. 2015, eq. 1).

    We depart from the paper by the division, which makes the term dimensionless. `target` broadcasts over the batch.
    """
    difference = features.float() - target.float()
    energy = target.float().square().mean(dim=(1, 2, 3))
    return difference.square().mean(dim=(1, 2, 3)) / (energy + EPSILON)


def total_variation(images: Tensor) -> Tensor:
    """Mean squared difference of neighboring pixels, in squared pixel values: (B, C, H, W) to (B,).

    The quadratic form (Mahendran and Vedaldi 2015, eq. 3 with beta = 2): it removes speckle and leaves broad edges. We
    depart from the paper by counting diagonal neighbors too, each of the four directions with a third. That leaves the
    value of smooth images as it is. With two neighbors alone the finest diagonal lines cost half as much again as
    horizontal and vertical ones, so that the fine detail that the style asks for comes along the axes.
    """
    value: Tensor = _TotalVariation.apply(images)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return value


class _TotalVariation(torch.autograd.Function):
    """The gradient is added up with the value: autograd would fill a full image for every slice of every direction."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        value = images.new_zeros(images.shape[0])
        gradient = torch.zeros_like(images)
        for ahead, behind in NEIGHBORS:
            difference = images[ahead] - images[behind]
            weight = 1 / max(3 * difference[0].numel(), 1)
            value += weight * torch.linalg.vector_norm(difference, dim=(1, 2, 3)).square()
            gradient[ahead].add_(difference, alpha=2 * weight)
            gradient[behind].sub_(difference, alpha=2 * weight)
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (grad,) = grads
        (gradient,) = ctx.saved_tensors
        product: Tensor = gradient * grad[:, None, None, None]
        return product


def temporal_loss(images: Tensor, warped_previous: Tensor, confidence: Tensor) -> Tensor:
    """Confidence-weighted squared difference to the warped previous frame (Ruder et al. 2016, eq. 7).

    `confidence` is (B, 1, H, W) in [0, 1]; where it is 0 the value and the gradient are 0. We depart from the paper by
    dividing by the variance of the warped frame, which makes the term dimensionless.
    """
    variance = warped_previous.var(dim=(2, 3), correction=0).mean(dim=1)
    difference = (images - warped_previous).square() * confidence
    return difference.mean(dim=(1, 2, 3)) / (variance + 1e-3)

"""The kernels of the objective: each a short pure function that returns one value per sample.

Shapes: images (B, 3, H, W) float32 sRGB in [0, 1]; features (B, C, h, w) in the encoder's precision; results (B,)
float32. Nothing here reduces over the batch, so the gradient of a frame never depends on its neighbors. Statistics are
computed in float32 whatever the precision of the features, because sums over a half-precision feature map overflow.

Every term is made dimensionless by its own target: 0 is a perfect match, and about 1 is what a gray picture scores, for
every encoder, layer and size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

EPSILON = 1e-16
"""Keeps a division by the energy of an all-zero target finite."""

COVARIANCE_FLOOR = 1e-5
"""Added to the diagonal of covariances, relative to the target's mean variance: channels that never fire have none."""


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Mean squared feature difference over the mean square of the target (Gatys et al. 2015, eq. 1).

    We depart from the paper by the division, which makes the term dimensionless. `target` broadcasts over the batch.
    """
    difference = features.float() - target.float()
    energy = target.float().square().mean(dim=(1, 2, 3))
    return difference.square().mean(dim=(1, 2, 3)) / (energy + EPSILON)


def total_variation(images: Tensor) -> Tensor:
    """Mean squared difference of neighboring pixels, horizontal plus vertical, in squared pixel values.

    The quadratic form (Mahendran and Vedaldi 2015, eq. 3 with beta = 2): it removes speckle and leaves broad edges.
    """
    horizontal = (images[..., :, 1:] - images[..., :, :-1]).square().mean(dim=(1, 2, 3))
    vertical = (images[..., 1:, :] - images[..., :-1, :]).square().mean(dim=(1, 2, 3))
    return horizontal + vertical


def temporal_loss(images: Tensor, warped_previous: Tensor, confidence: Tensor) -> Tensor:
    """Reliability-weighted squared difference to the warped previous frame (Ruder et al. 2016, eq. 7).

    `confidence` is (B, 1, H, W) in [0, 1]; where it is 0 the value and the gradient are 0. We depart from the paper by
    dividing by the variance of the warped frame, which makes the term dimensionless.
    """
    variance = warped_previous.var(dim=(2, 3), correction=0).mean(dim=1)
    difference = (images - warped_previous).square() * confidence
    return difference.mean(dim=(1, 2, 3)) / (variance + 1e-3)


class _Moments(torch.autograd.Function):
    """Mean (B, C) and second moment E[x x^T] (B, C, C) of features over their positions, float32.

    Written by hand so that only the low-precision features are kept for the backward pass, and the float32 copy of a
    full-resolution map lives no longer than its matrix product, forward only.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(features)
        rows = _rows(features)
        count = rows.shape[1]
        return rows.mean(dim=1), rows.mT @ rows / count

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        grad_mean, grad_second = grads
        (features,) = ctx.saved_tensors
        batch, channels, height, width = features.shape
        count = height * width
        # In the features' precision: rounding the small matrix changes the gradient by less than a percent, where
        # features in bfloat16 change it by ten, and the full-resolution copies in float32 are what takes the time.
        shift, mixing = (
            grad.to(features.dtype) for grad in (grad_mean / count, (grad_second + grad_second.mT) / count)
        )
        rows = features.permute(0, 2, 3, 1).reshape(batch, count, channels)
        gradient = torch.baddbmm(shift[:, None, :], rows, mixing)
        return gradient.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _rows(features: Tensor) -> Tensor:
    """Features as float32 (B, h*w, C): a view when they are dense channels-last float32, else one copy, never two."""
    batch, channels, height, width = features.shape
    return features.permute(0, 2, 3, 1).float().reshape(batch, height * width, channels)


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (B, C) and second moment E[x x^T] (B, C, C) of features over all positions, float32, differentiable."""
    mean, second = _Moments.apply(features)  # type: ignore[no-untyped-call]
    return mean, second


class _SquareRootTrace(torch.autograd.Function):
    """tr(M^1/2) of symmetric positive semidefinite matrices (B, n, n), with the exact gradient 1/2 M^-1/2.

    By eigendecomposition. Autograd through `eigh` divides by differences of eigenvalues and returns NaN where two
    agree; the trace does not depend on the eigenvectors, so nothing of that is needed.
    """

    @staticmethod
    def forward(ctx: Any, matrices: Tensor) -> Tensor:
        # The decomposition refuses a whole batch for one NaN: samples that have gone wrong are reported as NaN alone.
        sound = torch.isfinite(matrices).all(dim=2).all(dim=1)[:, None, None]
        values, vectors = torch.linalg.eigh(torch.where(sound, matrices, torch.eye(matrices.shape[1]).to(matrices)))
        roots = values.clamp_min(0).sqrt()
        # Directions in which the target has no energy carry no gradient worth its rounding error.
        floor = roots[:, -1:] * 1e-4 + 1e-20
        ctx.save_for_backward(vectors, roots.clamp_min(floor))
        trace: Tensor = torch.where(sound[:, 0, 0], roots.sum(dim=1), torch.nan)
        return trace

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (grad,) = grads
        vectors, roots = ctx.saved_tensors
        gradient: Tensor = (vectors * (0.5 / roots)[:, None, :]) @ vectors.mT * grad[:, None, None]
        return gradient


@dataclass(frozen=True, slots=True)
class GramTarget:
    """What `gram_distance` compares with: the Gram matrix (1, C, C) and its squared Frobenius norm."""

    gram: Tensor
    energy: Tensor


def gram_target(features: Tensor) -> GramTarget:
    """Gram statistics of a painting's features (1, C, h, w)."""
    _, second = moments(features.detach())
    return GramTarget(second, second.square().sum(dim=(1, 2)))


def gram_distance(features: Tensor, target: GramTarget) -> Tensor:
    """Squared Frobenius distance of Gram matrices over the squared norm of the target's (Gatys et al. 2015, eq. 4).

    Gram matrices are means over positions, so that pictures of different size compare.
    """
    _, second = moments(features)
    return (second - target.gram).square().sum(dim=(1, 2)) / (target.energy + EPSILON)


@dataclass(frozen=True, slots=True)
class GaussianTarget:
    """What `wasserstein_distance` compares with: mean (1, C), covariance trace, covariance root (1, C, C)."""

    mean: Tensor
    trace: Tensor
    root: Tensor
    floor: Tensor
    energy: Tensor


def _precise(tensor: Tensor) -> Tensor:
    """Float64 where the device has it: the distance of near Gaussians is a small difference of large numbers."""
    return tensor if tensor.device.type == "mps" else tensor.double()


def gaussian_target(features: Tensor) -> GaussianTarget:
    """The Gaussian of a painting's features (1, C, h, w)."""
    mean, second = (_precise(moment) for moment in moments(features.detach()))
    covariance = second - mean[:, :, None] * mean[:, None, :]
    trace = covariance.diagonal(dim1=1, dim2=2).sum(dim=1)
    channels = mean.shape[1]
    floor = trace * (COVARIANCE_FLOOR / channels) + EPSILON
    covariance = covariance + floor[:, None, None] * torch.eye(channels, device=mean.device, dtype=mean.dtype)
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp_min(0).sqrt()[:, None, :]) @ vectors.mT
    energy = mean.square().sum(dim=1) + trace
    return GaussianTarget(mean, trace + channels * floor, root, floor, energy)


def wasserstein_distance(features: Tensor, target: GaussianTarget) -> Tensor:
    """Squared Wasserstein-2 distance between the Gaussians of two feature maps over the target's mean square.

    |m - m_t|^2 + tr(C + C_t - 2 (C_t^1/2 C C_t^1/2)^1/2) (Dowson and Landau 1982; as a style loss: Mroueh 2019,
    "Wasserstein Style Transfer"). We add the same small multiple of the identity to both covariances.
    """
    mean, second = (_precise(moment) for moment in moments(features))
    covariance = second - mean[:, :, None] * mean[:, None, :]
    channels = mean.shape[1]
    floor = target.floor[:, None, None] * torch.eye(channels, device=mean.device, dtype=mean.dtype)
    covariance = covariance + floor
    trace = covariance.diagonal(dim1=1, dim2=2).sum(dim=1)
    product = target.root @ covariance @ target.root
    overlap: Tensor = _SquareRootTrace.apply(0.5 * (product + product.mT))  # type: ignore[no-untyped-call]
    distance = (mean - target.mean).square().sum(dim=1) + trace + target.trace - 2 * overlap
    return (distance.clamp_min(0) / (target.energy + EPSILON)).float()


@dataclass(frozen=True, slots=True)
class StyleDistance:
    """A style loss is a pair of plain functions: statistics of a painting, and the distance of features to them."""

    statistics: Callable[[Tensor], Any]
    distance: Callable[[Tensor, Any], Tensor]


STYLE_LOSSES: dict[str, StyleDistance] = {
    "gram": StyleDistance(gram_target, gram_distance),
    "wasserstein": StyleDistance(gaussian_target, wasserstein_distance),
}

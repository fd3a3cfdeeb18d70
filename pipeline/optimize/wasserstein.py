"""The style loss "wasserstein": the Wasserstein distance between the Gaussians of the features.

It gives longer strokes and cleaner colors than Gram matrices, with the same layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.optimize.moments import Moments

COVARIANCE_FLOOR = 1e-5
"""Added to the diagonal of covariances, relative to the target's mean variance: channels that never fire have none."""
EPSILON = 1e-16
"""Keeps a division by the energy of an all-zero target finite."""


class _SquareRootTrace(torch.autograd.Function):
    """tr(M^1/2) of symmetric positive semidefinite matrices (B, n, n), with the exact gradient 1/2 M^-1/2.

    By eigendecomposition. Autograd through `eigh` divides by differences of eigenvalues and returns NaN where two
    agree; the trace does not depend on the eigenvectors, so nothing of that is needed.
    """

    @staticmethod
    def forward(ctx: Any, matrices: Tensor) -> Tensor:
        # The decomposition fails for the whole batch if one value is NaN: only the samples concerned become NaN.
        sound = torch.isfinite(matrices).all(dim=2).all(dim=1)[:, None, None]
        values, vectors = torch.linalg.eigh(torch.where(sound, matrices, torch.eye(matrices.shape[1]).to(matrices)))
        roots = values.clamp_min(0).sqrt()
        # In directions without energy in the target the gradient would be rounding error.
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
class GaussianStatistics:
    """A Gaussian: mean (1, C), trace and square root (1, C, C) of the covariance.

    `floor` (1,) was added to the covariance's diagonal; `energy` (1,) is the mean square of the features.
    """

    mean: Tensor
    trace: Tensor
    root: Tensor
    floor: Tensor
    energy: Tensor


def _precise(tensor: Tensor) -> Tensor:
    """Float64 where the device has it: the distance of near Gaussians is a small difference of large numbers."""
    return tensor if tensor.device.type == "mps" else tensor.double()


def statistics(moments: Moments) -> GaussianStatistics:
    """The Gaussian of a style image from the moments of its features (1, C)."""
    mean, second = (_precise(moment) for moment in (moments.mean, moments.second))
    covariance = second - mean[:, :, None] * mean[:, None, :]
    trace = covariance.diagonal(dim1=1, dim2=2).sum(dim=1)
    channels = mean.shape[1]
    floor = trace * (COVARIANCE_FLOOR / channels) + EPSILON
    covariance = covariance + floor[:, None, None] * torch.eye(channels, device=mean.device, dtype=mean.dtype)
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp_min(0).sqrt()[:, None, :]) @ vectors.mT
    energy = mean.square().sum(dim=1) + trace
    return GaussianStatistics(mean, trace + channels * floor, root, floor, energy)


def distances(moments: Sequence[Moments], targets: Sequence[GaussianStatistics]) -> Tensor:
    """Squared Wasserstein-2 distances between Gaussians of features over the targets' mean squares.

    For L pairs of moments (B, C) and targets: (B, L).
    |m - m_t|^2 + tr(C + C_t - 2 (C_t^1/2 C C_t^1/2)^1/2) (Dowson and Landau 1982; as a style loss: Mroueh 2019,
    "Wasserstein Style Transfer"). We add the same small multiple of the identity to both covariances.
    """
    return torch.stack([_distance(own, target) for own, target in zip(moments, targets, strict=True)], dim=1)


def _distance(moments: Moments, target: GaussianStatistics) -> Tensor:
    mean, second = (_precise(moment) for moment in (moments.mean, moments.second))
    covariance = second - mean[:, :, None] * mean[:, None, :]
    channels = mean.shape[1]
    floor = target.floor[:, None, None] * torch.eye(channels, device=mean.device, dtype=mean.dtype)
    covariance = covariance + floor
    trace = covariance.diagonal(dim1=1, dim2=2).sum(dim=1)
    product = target.root @ covariance @ target.root
    overlap: Tensor = _SquareRootTrace.apply(0.5 * (product + product.mT))  # type: ignore[no-untyped-call]
    squared = (mean - target.mean).square().sum(dim=1) + trace + target.trace - 2 * overlap
    return (squared.clamp_min(0) / (target.energy + EPSILON)).float()

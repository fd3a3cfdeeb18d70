"""The barycenter of Gaussians under the Wasserstein-2 distance: the Gaussian between them, by weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

MAX_STEPS: Final = 50
TOLERANCE: Final = 1e-7
"""The iteration ends when a step changes the covariance by less than this fraction."""


def barycenter(
    means: Sequence[Tensor], covariances: Sequence[Tensor], weights: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Mean (n,) and covariance (n, n) of the barycenter of Gaussians with these means and covariances, float64.

    The covariances are positive definite; the weights are positive, of any scale. The mean is the mean by weight. The
    covariance S solves S = sum_i w_i (S^1/2 C_i S^1/2)^1/2 (Agueh and Carlier 2011, eq. 6.2) and is found by the steps
    S <- M S M, where M is the mean by weight of the maps that transport S to each C_i (Alvarez-Esteban et al. 2016, "A
    fixed-point approach to barycenters in Wasserstein space"). From one of two covariances the first step is exact.
    """
    fractions = [weight / sum(weights) for weight in weights]
    mean = torch.stack([fraction * own for fraction, own in zip(fractions, means, strict=True)]).sum(dim=0)
    found = covariances[max(range(len(weights)), key=lambda number: weights[number])]
    for _ in range(MAX_STEPS if len(weights) > 2 else 1):
        step = _mean_transport(found, covariances, fractions)
        before, found = found, step @ found @ step
        found = 0.5 * (found + found.mT)
        if bool(torch.linalg.matrix_norm(found - before) < TOLERANCE * torch.linalg.matrix_norm(found)):
            break
    return mean, found


def _mean_transport(source: Tensor, targets: Sequence[Tensor], fractions: Sequence[float]) -> Tensor:
    """The mean by weight of the linear maps that transport a Gaussian to others with the same mean (n, n)."""
    values, vectors = torch.linalg.eigh(source)
    deviations = values.clamp_min(0).sqrt()
    root = (vectors * deviations) @ vectors.mT
    inverse = (vectors / deviations.clamp_min(torch.finfo(values.dtype).tiny)) @ vectors.mT
    total = torch.zeros_like(source)
    for target, fraction in zip(targets, fractions, strict=True):
        squares, turned = torch.linalg.eigh(root @ target @ root)
        total += fraction * (turned * squares.clamp_min(0).sqrt()) @ turned.mT
    transport: Tensor = inverse @ total @ inverse
    return transport

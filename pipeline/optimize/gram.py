"""The style loss "gram": the distance of Gram matrices (Gatys et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pipeline.optimize.moments import moments

EPSILON = 1e-16
"""Keeps a division by the energy of an all-zero target finite."""


@dataclass(frozen=True, slots=True)
class GramStatistics:
    """The Gram matrix (1, C, C) and its squared Frobenius norm."""

    gram: Tensor
    energy: Tensor


def statistics(features: Tensor) -> GramStatistics:
    """Statistics of a style image's features (1, C, h, w)."""
    _, second = moments(features.detach())
    return GramStatistics(second, second.square().sum(dim=(1, 2)))


def distance(features: Tensor, target: GramStatistics) -> Tensor:
    """Squared Frobenius distance of Gram matrices over the squared norm of the target's (Gatys et al. 2015, eq. 4).

    Gram matrices are means over positions, so that images of different size can be compared.
    """
    _, second = moments(features)
    return (second - target.gram).square().sum(dim=(1, 2)) / (target.energy + EPSILON)

"""The style loss "gram": the distance of Gram matrices (Gatys et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.optimize.moments import Moments

EPSILON = 1e-16
"""Keeps a division by the energy of an all-zero target finite."""


@dataclass(frozen=True, slots=True)
class GramStatistics:
    """The Gram matrix (1, C, C) and its squared Frobenius norm."""

    gram: Tensor
    energy: Tensor


def statistics(moments: Moments) -> GramStatistics:
    """Statistics of a style image from the moments of its features (1, C)."""
    return GramStatistics(moments.second, moments.second.square().sum(dim=(1, 2)))


def distances(moments: Sequence[Moments], targets: Sequence[GramStatistics]) -> Tensor:
    """Squared Frobenius distances of Gram matrices over the squared norms of the targets' (Gatys et al. 2015, eq. 4).

    For L pairs of moments (B, C) and targets: (B, L). Gram matrices are means over positions, so that images of
    different size can be compared.
    """
    found = [
        (own.second - target.gram).square().sum(dim=(1, 2)) / (target.energy + EPSILON)
        for own, target in zip(moments, targets, strict=True)
    ]
    return torch.stack(found, dim=1)

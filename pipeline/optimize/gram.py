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


def blend(moments: Sequence[Moments], weights: Sequence[float]) -> Moments:
    """The moments between those of style images (1, C): their mean by weight, as of one image made of parts of them."""
    fractions = [weight / sum(weights) for weight in weights]
    mean = torch.stack([fraction * own.mean for fraction, own in zip(fractions, moments, strict=True)])
    second = torch.stack([fraction * own.second for fraction, own in zip(fractions, moments, strict=True)])
    return Moments(mean.sum(dim=0), second.sum(dim=0), moments[0].positions)


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

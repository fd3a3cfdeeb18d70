"""The style term: how far the moments of frames, or of their regions, are from those of the style images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pipeline.encoders.passes import Cotangent
from pipeline.encoders.patches import RegionMaps
from pipeline.optimize.guided_moments import GuidedMoments
from pipeline.optimize.moments import Moments
from pipeline.optimize.style_losses import style_loss
from pipeline.runtime.device import constants

if TYPE_CHECKING:
    from pipeline.config.losses import LossSettings


@dataclass(frozen=True, slots=True)
class StyleTarget:
    """The statistics of one style image by layer, its weight, and its limits (1, 3) of the total variation term."""

    weight: float
    statistics: Mapping[str, Any]
    variation_limits: Tensor


def mean_variation_limits(styles: Sequence[StyleTarget]) -> Tensor:
    """The limits (1, 3) of the total variation term: the mean over style images by weight."""
    limits = torch.cat([target.variation_limits for target in styles])
    weights = constants(tuple(target.weight for target in styles), limits.device)
    return (weights / weights.sum() @ limits)[None]


def style_term(
    settings: LossSettings, styles: Sequence[StyleTarget], found: Mapping[str, Moments], weight: float
) -> tuple[Tensor, dict[str, Cotangent]]:
    """The style term (B,), the mean over style images by weight, and its weighted cotangents by layer.

    With N positions, mean m and second moment S: the derivative at features f is (dm + f (dS + dS^T)) / N.
    """
    layers = active_layers(settings.style.layers)
    total = sum(target.weight for target in styles)
    fractions = tuple(target.weight / total * fraction for target in styles for fraction in layers.values())
    with torch.enable_grad():
        leaves = [moment.requires_grad_(True) for name in layers for moment in (found[name].mean, found[name].second)]
        distances = style_loss(settings.style.loss).distances(
            [found[name] for _ in styles for name in layers],
            [target.statistics[name] for target in styles for name in layers],
        )
        style = distances @ constants(fractions, distances.device)
        grads = torch.autograd.grad(style.sum(), leaves, materialize_grads=True)
    cotangents = {}
    for number, name in enumerate(layers):
        mean, second = (grad * (weight / found[name].positions) for grad in grads[2 * number : 2 * number + 2])
        cotangents[name] = Cotangent(mixing=second + second.mT, shift=mean)
    return style.detach(), cotangents


def guided_style_term(
    settings: LossSettings,
    regions: Sequence[Sequence[StyleTarget]],
    maps: Mapping[str, RegionMaps],
    found: Mapping[str, GuidedMoments],
    weight: float,
    total: float,
) -> tuple[Tensor, dict[str, Cotangent]]:
    """The style term (B,) of S regions: the sum of their distances, each times the fraction of the frame that it is.

    So the pull on a pixel does not depend on the size of its region. `maps` are those of the layers;
    images count by their weights over `total`. In a region with the map T, whose sum is N, the derivative at features f
    is T (dm + f (dS + dS^T)) / N.
    """
    layers = active_layers(settings.style.layers)
    pairs = [(region, target, name) for region, targets in enumerate(regions) for target in targets for name in layers]
    fractions = torch.stack(
        [found[name].fractions[:, region] * (target.weight / total * layers[name]) for region, target, name in pairs],
        dim=1,
    )
    with torch.enable_grad():
        leaves = [moment.requires_grad_(True) for name in layers for moment in (found[name].mean, found[name].second)]
        distances = style_loss(settings.style.loss).distances(
            [found[name].of_region(region) for region, _, name in pairs],
            [target.statistics[name] for _, target, name in pairs],
        )
        style = (distances * fractions).sum(dim=1)
        grads = torch.autograd.grad(style.sum(), leaves, materialize_grads=True)
    cotangents = {}
    for number, name in enumerate(layers):
        by_mean, by_second = grads[2 * number : 2 * number + 2]
        # Empty regions have no gradient to divide: their fraction is 0.
        scale = weight / torch.where(found[name].fractions == 0, 1, found[name].sums)
        mixing = (by_second + by_second.mT) * scale[:, :, None, None]
        cotangents[name] = Cotangent(mixing=mixing, shift=by_mean * scale[:, :, None], maps=maps[name])
    return style.detach(), cotangents


def active_layers(layers: Mapping[str, float]) -> dict[str, float]:
    """Layers with a weight above 0, their weights normalized to a sum of 1."""
    total = sum(layers.values())
    return {name: weight / total for name, weight in layers.items() if weight > 0}

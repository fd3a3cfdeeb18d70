"""The objective of one frame: content, style, total variation, temporal and light terms, summed per sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pipeline.optimize.light import LightTarget, light_loss
from pipeline.optimize.losses import content_loss, temporal_loss
from pipeline.optimize.minimum import Evaluation
from pipeline.optimize.moments import moments
from pipeline.optimize.style_losses import style_loss
from pipeline.optimize.variation import variation_limits, variation_loss

if TYPE_CHECKING:
    from pipeline.config.settings import LossSettings
    from pipeline.encoders.network import Encoder

TERMS = ("content", "style", "tv", "temporal", "light")
"""The columns of `Evaluation.terms`: dimensionless and unweighted (style: the mean over style images by weight)."""

CONTENT_SCALE = 0.7
STYLE_SCALE = 1.0
TV_SCALE = 10.0
TEMPORAL_SCALE = 1.0
LIGHT_SCALE = 2.5
"""Multiply the user's weights, so that with the field's usual numbers (content 1, style 100) the result has the strokes
of the style image and the content stays recognizable: chosen by eye, see scripts/bench/stills.py."""


@dataclass(frozen=True, slots=True)
class StyleTarget:
    """The statistics of one style image by layer, its weight, and its limits (1, 3) of the total variation term."""

    weight: float
    statistics: Mapping[str, Any]
    variation_limits: Tensor


@dataclass(frozen=True, slots=True)
class Objective:
    """Maps images (B, 3, H, W) in [0, 1] to losses, gradients and terms; those of one frame depend on no other.

    `content` holds the target features (B, C, h, w) by layer. `warped_previous` (B, 3, H, W) and `confidence`
    (B, 1, H, W) switch the temporal term on; `temporal_factor` scales its weight. `light` are the targets of the light
    term, whose values are added up (none: off).
    """

    encoder: Encoder
    settings: LossSettings
    content: Mapping[str, Tensor]
    styles: Sequence[StyleTarget]
    content_factor: float = 1.0
    warped_previous: Tensor | None = None
    confidence: Tensor | None = None
    temporal_factor: float = 1.0
    light: Sequence[LightTarget] = ()

    def subset(self, samples: Sequence[int]) -> Objective:
        """The objective of some of the frames."""
        chosen = list(samples)
        return replace(
            self,
            content={
                name: features[chosen].contiguous(memory_format=torch.channels_last)
                for name, features in self.content.items()
            },
            warped_previous=None if self.warped_previous is None else self.warped_previous[chosen],
            confidence=None if self.confidence is None else self.confidence[chosen],
            light=[target.subset(chosen) for target in self.light],
        )

    def __call__(self, images: Tensor) -> Evaluation:
        images = images.detach().requires_grad_(True)
        content_layers = active_layers(self.settings.content.layers)
        style_layers = active_layers(self.settings.style.layers)
        features = self.encoder(images, tuple({**content_layers, **style_layers}))
        zero = images.new_zeros(images.shape[0])
        content = sum(
            (weight * content_loss(features[name], self.content[name]) for name, weight in content_layers.items()), zero
        )
        style_weight = sum(style.weight for style in self.styles)
        found = {name: moments(features[name]) for name in style_layers}
        distances = style_loss(self.settings.style.loss).distances(
            [found[name] for _ in self.styles for name in style_layers],
            [target.statistics[name] for target in self.styles for name in style_layers],
        )
        fractions = [
            target.weight / style_weight * weight for target in self.styles for weight in style_layers.values()
        ]
        style = distances @ distances.new_tensor(fractions)
        limits = sum(
            (target.weight / style_weight * target.variation_limits for target in self.styles), images.new_zeros((1, 3))
        )
        variation = variation_loss(images, limits)
        temporal = zero
        if self.warped_previous is not None and self.confidence is not None:
            temporal = temporal_loss(images, self.warped_previous, self.confidence)
        light = sum((light_loss(images, target) for target in self.light), zero)
        terms = torch.stack((content, style, variation, temporal, light), dim=1)
        weights = images.new_tensor(
            [
                CONTENT_SCALE * self.settings.content.weight * self.content_factor,
                STYLE_SCALE * style_weight,
                TV_SCALE * self.settings.tv.weight,
                TEMPORAL_SCALE * self.settings.temporal.weight * self.temporal_factor,
                LIGHT_SCALE * self.settings.light.weight,
            ]
        )
        losses = terms @ weights
        (gradients,) = torch.autograd.grad(losses.sum(), images)
        return Evaluation(losses.detach(), gradients, terms.detach())


def active_layers(layers: Mapping[str, float]) -> dict[str, float]:
    """Layers with a weight above 0, their weights normalized to a sum of 1."""
    total = sum(layers.values())
    return {name: weight / total for name, weight in layers.items() if weight > 0}


def content_targets(encoder: Encoder, settings: LossSettings, images: Tensor) -> dict[str, Tensor]:
    """Features of the content frames (B, 3, H, W) in [0, 1] at the content layers."""
    with torch.no_grad():
        return encoder(images, tuple(active_layers(settings.content.layers)))


def style_target(encoder: Encoder, settings: LossSettings, style_image: Tensor, weight: float) -> StyleTarget:
    """Statistics of one style image (1, 3, H, W) in [0, 1] at the style layers."""
    layers = tuple(active_layers(settings.style.layers))
    statistics = style_loss(settings.style.loss).statistics
    with torch.no_grad():
        features = encoder(style_image, layers)
        found = {name: statistics(moments(features[name])) for name in layers}
    return StyleTarget(weight, found, variation_limits(style_image))

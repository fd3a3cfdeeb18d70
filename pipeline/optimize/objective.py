"""The objective of one frame: content, style, total variation, temporal and light terms, summed per sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pipeline.optimize.feature_terms import FeatureTerms, feature_moments, whole_features
from pipeline.optimize.light import LightTarget, light_loss
from pipeline.optimize.losses import ContentTarget, TemporalTarget, temporal_loss
from pipeline.optimize.minimum import Evaluation
from pipeline.optimize.moments import Moments
from pipeline.optimize.regions import KeptPixels, RegionTerms
from pipeline.optimize.style_losses import style_loss
from pipeline.optimize.style_terms import StyleTarget, active_layers
from pipeline.optimize.variation import variation_limits, variation_loss
from pipeline.runtime.device import constants

if TYPE_CHECKING:
    from pipeline.config.losses import LossSettings
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
class Objective:
    """Maps images (B, 3, H, W) in [0, 1] to losses, gradients and terms; those of one frame depend on no other.

    `content_factor` and `temporal_factor` scale the weights of two terms. `temporal` is the target of the temporal term
    (None: off), `light` are those of the light term, whose values are added up (none: off). With `kept` the images are
    hidden ones, and what is evaluated is what they show.
    """

    features: FeatureTerms
    content_factor: float = 1.0
    temporal: TemporalTarget | None = None
    temporal_factor: float = 1.0
    light: Sequence[LightTarget] = ()
    kept: KeptPixels | None = None

    @classmethod
    def of(
        cls,
        encoder: Encoder,
        settings: LossSettings,
        contents: Tensor,
        styles: Sequence[StyleTarget],
        *,
        content_factor: float = 1.0,
        temporal: TemporalTarget | None = None,
        temporal_factor: float = 1.0,
        light: Sequence[LightTarget] = (),
        tile_px: int | None = None,
        regions: RegionTerms | None = None,
        kept: KeptPixels | None = None,
    ) -> Objective:
        """The objective of content frames (B, 3, H, W) in [0, 1]; features in tiles of `tile_px`, None: whole."""
        targets = content_targets(encoder, settings, contents, tile_px)
        features = FeatureTerms(encoder, settings, targets, styles, tile_px, regions)
        return cls(features, content_factor, temporal, temporal_factor, light, kept)

    def subset(self, samples: Sequence[int]) -> Objective:
        """The objective of some of the frames."""
        return replace(
            self,
            features=self.features.subset(samples),
            temporal=None if self.temporal is None else self.temporal.subset(samples),
            light=[target.subset(samples) for target in self.light],
            kept=self.kept and self.kept.subset(samples),
        )

    def __call__(self, images: Tensor) -> Evaluation:
        images = images.detach() if self.kept is None else self.kept.shown(images.detach())
        settings = self.features.settings
        style_weight = sum(style.weight for style in self.features.styles)
        content_scale = CONTENT_SCALE * settings.content.weight * self.content_factor
        style_scale = STYLE_SCALE * style_weight
        tv_scale = TV_SCALE * settings.tv.weight
        temporal_scale = TEMPORAL_SCALE * settings.temporal.weight * self.temporal_factor
        light_scale = LIGHT_SCALE * settings.light.weight
        content, style, gradients = self.features(images, content_scale, style_scale)
        variation = variation_loss(images, self.features.variation_limits, weight=tv_scale, gradients=gradients)
        temporal = light = torch.zeros_like(variation)
        if self.temporal is not None:
            temporal = temporal_loss(images, self.temporal, weight=temporal_scale, gradients=gradients)
        for target in self.light:
            light = light + light_loss(images, target, weight=light_scale, gradients=gradients)
        if self.kept is not None:
            gradients = gradients * (1 - self.kept.kept)
        terms = torch.stack((content, style, variation, temporal, light), dim=1)
        weights = (content_scale, style_scale, tv_scale, temporal_scale, light_scale)
        return Evaluation(terms @ constants(weights, images.device), gradients, terms)


def content_targets(
    encoder: Encoder, settings: LossSettings, images: Tensor, tile_px: int | None = None
) -> dict[str, ContentTarget]:
    """Features of the content frames (B, 3, H, W) in [0, 1] at the content layers, in tiles of `tile_px` if given."""
    layers = tuple(active_layers(settings.content.layers))
    return {name: ContentTarget.of(whole) for name, whole in whole_features(encoder, images, layers, tile_px).items()}


def style_target(
    encoder: Encoder, settings: LossSettings, style_image: Tensor, weight: float, tile_px: int | None = None
) -> StyleTarget:
    """Statistics of one style image (1, 3, H, W) in [0, 1] at the style layers."""
    moments = style_moments(encoder, settings, style_image, tile_px)
    return StyleTarget(weight, style_statistics(settings, moments), variation_limits(style_image))


def style_moments(
    encoder: Encoder, settings: LossSettings, style_image: Tensor, tile_px: int | None = None
) -> dict[str, Moments]:
    """Moments of the features of one style image (1, 3, H, W) in [0, 1] at the style layers."""
    return feature_moments(encoder, style_image, tuple(active_layers(settings.style.layers)), tile_px)


def style_statistics(settings: LossSettings, moments: Mapping[str, Moments]) -> dict[str, Any]:
    """What the style loss compares frames with, by layer, from the moments at the style layers."""
    statistics = style_loss(settings.style.loss).statistics
    return {name: statistics(own) for name, own in moments.items()}

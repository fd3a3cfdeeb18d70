"""The terms of the objective that compare features, content and style, with their gradient.

Every style loss is a function of the moments of the features. So a frame can be taken in tiles: the moments are added
up over all tiles first; then each tile gives its part of the gradient, from the derivatives with respect to the moments
of the whole. The result is that of the whole frame, and the memory is that of one tile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pipeline.encoders.passes import Cotangent
from pipeline.encoders.steps import layer_stride
from pipeline.optimize.losses import ContentTarget, content_loss
from pipeline.optimize.moments import Moments, MomentSums
from pipeline.optimize.style_losses import style_loss
from pipeline.optimize.tiles import Tile, make_tiles
from pipeline.runtime.device import constants

if TYPE_CHECKING:
    from pipeline.config.losses import LossSettings
    from pipeline.encoders.network import Encoder, FeaturePass


@dataclass(frozen=True, slots=True)
class StyleTarget:
    """The statistics of one style image by layer, its weight, and its limits (1, 3) of the total variation term."""

    weight: float
    statistics: Mapping[str, Any]
    variation_limits: Tensor


@dataclass(frozen=True, slots=True)
class FeatureTerms:
    """The content and the style term of frames, and the gradient of their weighted sum.

    `tile_px` is the side of the tiles in which they are computed; None: the whole frame at once.
    """

    encoder: Encoder
    settings: LossSettings
    content: Mapping[str, ContentTarget]
    styles: Sequence[StyleTarget]
    tile_px: int | None = None

    @property
    def variation_limits(self) -> Tensor:
        """The limits (1, 3) of the total variation term: the mean over style images by weight."""
        limits = torch.cat([target.variation_limits for target in self.styles])
        weights = constants(tuple(target.weight for target in self.styles), limits.device)
        return (weights / weights.sum() @ limits)[None]

    def subset(self, samples: Sequence[int]) -> FeatureTerms:
        """The terms of some of the frames."""
        return replace(self, content={name: target.subset(samples) for name, target in self.content.items()})

    def __call__(self, images: Tensor, content_weight: float, style_weight: float) -> tuple[Tensor, Tensor, Tensor]:
        """The content term (B,), the style term (B,), and the gradient (B, 3, H, W) of their weighted sum."""
        style_layers = active_layers(self.settings.style.layers)
        layers = needed_layers(self.settings)
        tiles = image_tiles(images, self.encoder, layers, self.tile_px)
        if len(tiles) == 1:
            found = self.encoder.forward_pass(images, layers)
            style, cotangents = self._style(_moments([(found, None)], style_layers), style_weight)
            content, dense = self._content(found, images, content_weight, None)
            return content, style, found.gradient(_merged(cotangents, dense, None))
        forward = (
            (self.encoder.forward_pass(tile.of(images), tuple(style_layers), keep=False), tile) for tile in tiles
        )
        style, cotangents = self._style(_moments(forward, style_layers), style_weight)
        content, gradients = torch.zeros_like(style), torch.zeros_like(images)
        for tile in tiles:
            found = self.encoder.forward_pass(tile.of(images), layers)
            part, dense = self._content(found, images, content_weight, tile)
            content += part
            tile.of(gradients).add_(found.gradient(_merged(cotangents, dense, tile)))
        return content, style, gradients

    def _content(
        self, found: FeaturePass, images: Tensor, weight: float, tile: Tile | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The content term (B,) of a tile (None: of the whole), and its weighted gradients by layer."""
        values, gradients = images.new_zeros(len(images)), {}
        for name, fraction in active_layers(self.settings.content.layers).items():
            target = self.content[name]
            features, wanted = found.features[name], target.features
            if tile is not None:
                (rows, columns), own = tile.inside(layer_stride(name)), tile.own(layer_stride(name))
                features, wanted = features[:, :, rows, columns], wanted[:, :, own[0], own[1]]
            value, gradient = content_loss(features, wanted, target.energy, target.features[0].numel())
            values = values + fraction * value
            gradients[name] = (gradient * (weight * fraction)).to(features.dtype)
        return values, gradients

    def _style(self, found: Mapping[str, Moments], weight: float) -> tuple[Tensor, dict[str, Cotangent]]:
        """The style term (B,), the mean over style images by weight, and its weighted cotangents by layer.

        With N positions, mean m and second moment S: the derivative at features f is (dm + f (dS + dS^T)) / N.
        """
        layers = active_layers(self.settings.style.layers)
        total = sum(target.weight for target in self.styles)
        fractions = tuple(target.weight / total * fraction for target in self.styles for fraction in layers.values())
        with torch.enable_grad():
            leaves = [
                moment.requires_grad_(True) for name in layers for moment in (found[name].mean, found[name].second)
            ]
            distances = style_loss(self.settings.style.loss).distances(
                [found[name] for _ in self.styles for name in layers],
                [target.statistics[name] for target in self.styles for name in layers],
            )
            style = distances @ constants(fractions, distances.device)
            grads = torch.autograd.grad(style.sum(), leaves, materialize_grads=True)
        cotangents = {}
        for number, name in enumerate(layers):
            mean, second = (grad * (weight / found[name].positions) for grad in grads[2 * number : 2 * number + 2])
            cotangents[name] = Cotangent(mixing=second + second.mT, shift=mean)
        return style.detach(), cotangents


def needed_layers(settings: LossSettings) -> tuple[str, ...]:
    """The layers whose features the content and the style term need."""
    return tuple({**active_layers(settings.content.layers), **active_layers(settings.style.layers)})


def active_layers(layers: Mapping[str, float]) -> dict[str, float]:
    """Layers with a weight above 0, their weights normalized to a sum of 1."""
    total = sum(layers.values())
    return {name: weight / total for name, weight in layers.items() if weight > 0}


def image_tiles(images: Tensor, encoder: Encoder, layers: Sequence[str], tile_px: int | None) -> list[Tile]:
    """The tiles of images (B, 3, H, W) for features at these layers; one for the whole without a `tile_px`."""
    height, width = images.shape[-2:]
    stride, reach = max(layer_stride(layer) for layer in layers), encoder.reach_px(layers)
    if tile_px is None or reach is None:
        return make_tiles(height, width, max(height, width), stride=stride, reach_px=0)
    return make_tiles(height, width, tile_px, stride=stride, reach_px=reach)


def whole_features(encoder: Encoder, images: Tensor, layers: Sequence[str], tile_px: int | None) -> dict[str, Tensor]:
    """Features of images at these layers, computed tile by tile, without a gradient."""
    tiles = image_tiles(images, encoder, layers, tile_px)
    if len(tiles) == 1:
        return encoder(images.detach(), layers)
    whole: dict[str, Tensor] = {}
    for tile in tiles:
        for name, found in encoder(tile.of(images).detach(), layers).items():
            stride = layer_stride(name)
            if name not in whole:
                size = (*found.shape[:2], images.shape[-2] // stride, images.shape[-1] // stride)
                whole[name] = found.new_empty(size).contiguous(memory_format=torch.channels_last)
            (rows, columns), (own_rows, own_columns) = tile.inside(stride), tile.own(stride)
            whole[name][:, :, own_rows, own_columns] = found[:, :, rows, columns]
    return whole


def feature_moments(
    encoder: Encoder, images: Tensor, layers: Sequence[str], tile_px: int | None = None
) -> dict[str, Moments]:
    """Moments of the features of images at these layers, computed tile by tile."""
    tiles = image_tiles(images, encoder, layers, tile_px)
    passes = ((encoder.forward_pass(tile.of(images).detach(), layers, keep=False), tile) for tile in tiles)
    return _moments(passes, layers)


def _moments(passes: Iterable[tuple[FeaturePass, Tile | None]], layers: Iterable[str]) -> dict[str, Moments]:
    """The moments of features at these layers, over the tiles from which they come (None: the whole)."""
    sums = {name: MomentSums() for name in layers}
    for found, tile in passes:
        for name, added in sums.items():
            features = found.features[name]
            if tile is not None:
                rows, columns = tile.inside(layer_stride(name))
                features = features[:, :, rows, columns]
            added.add(features)
    return {name: added.moments() for name, added in sums.items()}


def _merged(style: Mapping[str, Cotangent], content: Mapping[str, Tensor], tile: Tile | None) -> dict[str, Cotangent]:
    """The cotangents of both terms by layer, restricted to a tile's own positions."""
    merged = {}
    for name in {**style, **content}:
        part = None if tile is None else tile.inside(layer_stride(name))
        merged[name] = replace(style.get(name, Cotangent()), dense=content.get(name), part=part)
    return merged

"""The terms of the objective that compare features, content and style, with their gradient.

Every style loss is a function of the moments of the features. So a frame can be taken in tiles: the moments are added
up over all tiles first; then each tile gives its part of the gradient, from the derivatives with respect to the moments
of the whole. The result is that of the whole frame, and the memory is that of one tile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pipeline.encoders.passes import Cotangent
from pipeline.encoders.patches import RegionMaps
from pipeline.encoders.steps import layer_stride
from pipeline.optimize.guided_moments import GuidedMoments, GuidedSums
from pipeline.optimize.losses import ContentTarget, content_loss
from pipeline.optimize.moments import Moments, MomentSums
from pipeline.optimize.regions import RegionTerms
from pipeline.optimize.style_terms import (
    StyleTarget,
    active_layers,
    guided_style_term,
    mean_variation_limits,
    style_term,
)
from pipeline.optimize.tiles import Tile, make_tiles
from pipeline.runtime.one_thread import on_one_thread

if TYPE_CHECKING:
    from pipeline.config.losses import LossSettings
    from pipeline.encoders.network import Encoder, FeaturePass


@dataclass(frozen=True, slots=True)
class FeatureTerms:
    """The content and the style term of frames, and the gradient of their weighted sum.

    `tile_px` is the side of the tiles in which they are computed; None: the whole frame at once. With `regions` these
    have the styles, and `styles` says only what their weights are relative to.
    """

    encoder: Encoder
    settings: LossSettings
    content: Mapping[str, ContentTarget]
    styles: Sequence[StyleTarget]
    tile_px: int | None = None
    regions: RegionTerms | None = None

    @property
    def variation_limits(self) -> Tensor:
        """The limits (1, 3) of the total variation term, or (B, 3) with regions."""
        return mean_variation_limits(self.styles) if self.regions is None else self.regions.variation_limits

    def subset(self, samples: Sequence[int]) -> FeatureTerms:
        """The terms of some of the frames."""
        content = {name: target.subset(samples) for name, target in self.content.items()}
        return replace(self, content=content, regions=self.regions and self.regions.subset(samples))

    def __call__(self, images: Tensor, content_weight: float, style_weight: float) -> tuple[Tensor, Tensor, Tensor]:
        """The content term (B,), the style term (B,), and the gradient (B, 3, H, W) of their weighted sum."""
        style_layers = active_layers(self.settings.style.layers)
        layers = needed_layers(self.settings)
        tiles = image_tiles(images, self.encoder, layers, self.tile_px)
        if len(tiles) == 1:
            found = self.encoder.forward_pass(images, layers)
            style, cotangents = self._style([(found, None)], style_weight)
            content, dense = self._content(found, images, content_weight, None)
            return content, style, found.gradient(_merged(cotangents, dense, None))
        forward = (
            (self.encoder.forward_pass(tile.of(images), tuple(style_layers), keep=False), tile) for tile in tiles
        )
        style, cotangents = self._style(forward, style_weight)
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
            weights = None if self.regions is None else self.regions.content_maps.get(name)
            if weights is not None and tile is not None:
                weights = weights[:, :, own[0], own[1]]
            value, gradient = content_loss(features, wanted, target.energy, target.features[0].numel(), weights)
            values = values + fraction * value
            gradients[name] = (gradient * (weight * fraction)).to(features.dtype)
        return values, gradients

    def _style(
        self, passes: Iterable[tuple[FeaturePass, Tile | None]], weight: float
    ) -> tuple[Tensor, dict[str, Cotangent]]:
        """The style term (B,) over the tiles from which features come, and its weighted cotangents by layer."""
        layers = active_layers(self.settings.style.layers)
        if self.regions is None:
            term = partial(style_term, self.settings, self.styles, _moments(passes, layers), weight)
        else:
            maps = self.regions.style_maps
            total = sum(target.weight for target in self.styles)
            found = _guided_moments(passes, maps)
            term = partial(guided_style_term, self.settings, self.regions.styles, maps, found, weight, total)
        return on_one_thread(term) if self.encoder.device.type == "cpu" else term()


def needed_layers(settings: LossSettings) -> tuple[str, ...]:
    """The layers whose features the content and the style term need."""
    return tuple({**active_layers(settings.content.layers), **active_layers(settings.style.layers)})


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


def _guided_moments(
    passes: Iterable[tuple[FeaturePass, Tile | None]], maps: Mapping[str, RegionMaps]
) -> dict[str, GuidedMoments]:
    """The moments of features within regions, whose maps are given by layer; else like `_moments`."""
    sums = {name: GuidedSums() for name in maps}
    for found, tile in passes:
        for name, added in sums.items():
            features, own = found.features[name], maps[name]
            if tile is not None:
                (rows, columns), part = tile.inside(layer_stride(name)), tile.own(layer_stride(name))
                features, own = features[:, :, rows, columns], own.part(*part)
            added.add(features, own)
    return {name: added.moments() for name, added in sums.items()}


def _merged(style: Mapping[str, Cotangent], content: Mapping[str, Tensor], tile: Tile | None) -> dict[str, Cotangent]:
    """The cotangents of both terms by layer, restricted to a tile's own positions."""
    merged = {}
    for name in {**style, **content}:
        part = None if tile is None else tile.inside(layer_stride(name))
        cotangent = style.get(name, Cotangent())
        maps = cotangent.maps
        if tile is not None and maps is not None:
            maps = maps.part(*tile.own(layer_stride(name)))
        merged[name] = replace(cotangent, dense=content.get(name), part=part, maps=maps)
    return merged

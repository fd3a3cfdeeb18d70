"""Regions of frames in the objective: their maps at every layer, and the pixels that are kept.

A region has a map in [0, 1]; the maps of all regions of a frame add up to 1. At a layer, a position counts for a region
as far as the region covers the position's own square of the image, times the square of how far it covers what the
position sees around it. So features that mix two regions hardly count, and no palette leaks over the border (the
"inside" guidance of Gatys et al. 2017, section 4.2, with soft edges instead of an erosion, which thin regions would not
survive).

Shapes: images (B, 3, H, W), maps (B, R, H, W), both float32 in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.encoders.patches import RegionMaps
from pipeline.encoders.steps import layer_stride
from pipeline.optimize.style_terms import StyleTarget, active_layers, mean_variation_limits
from pipeline.optimize.variation import variation_energies
from pipeline.runtime.device import constants
from pipeline.runtime.transfers import take

if TYPE_CHECKING:
    from pipeline.config.losses import LossSettings
    from pipeline.encoders.network import Encoder

SEEN_FRACTION: Final = 0.25
"""Of a layer's reach: the part of it that most of a feature comes from (Luo et al. 2016, "Understanding the Effective
Receptive Field in Deep Convolutional Neural Networks")."""
FAINT: Final = 1 / 512
"""Half a level of a mask of 8 bits: blurred masks come this close to 0 and 1 without ever being so."""
HIDDEN_BELOW: Final = 0.05
"""Where less than so much of a pixel is stylized, it is not divided by that."""


@dataclass(frozen=True, slots=True)
class RegionTarget:
    """What a region is compared with: its style images (none: it keeps the content's pixels), and the factor on the
    weight of the content."""

    styles: Sequence[StyleTarget]
    content_weight: float = 1.0


@dataclass(frozen=True, slots=True)
class RegionTerms:
    """The regions of B frames as the content and the style term see them.

    `styles` are those of the S regions that have some; `style_maps` their maps by style layer; `content_maps`
    (B, 1, h, w) factors on the content term by content layer, none if all are 1; `variation_limits` (B, 3).
    """

    styles: Sequence[Sequence[StyleTarget]]
    style_maps: Mapping[str, RegionMaps]
    content_maps: Mapping[str, Tensor]
    variation_limits: Tensor

    @classmethod
    def of(
        cls,
        encoder: Encoder,
        settings: LossSettings,
        contents: Tensor,
        maps: Tensor,
        targets: Sequence[RegionTarget],
    ) -> RegionTerms:
        """The regions of contents (B, 3, H, W), one target for each of the R maps."""
        styled = [region for region, target in enumerate(targets) if target.styles]
        own_maps = torch.stack([maps[:, region] for region in styled], dim=1)
        factors = constants(tuple(target.content_weight for target in targets), maps.device)
        by_content = torch.einsum("brhw,r->bhw", maps, factors)[:, None]
        fractions = maps.mean(dim=(2, 3))
        own = variation_energies(contents)
        limits = [mean_variation_limits(it.styles).expand_as(own) if it.styles else own for it in targets]
        return cls(
            styles=[targets[region].styles for region in styled],
            style_maps={
                name: RegionMaps.of(layer_maps(own_maps, name, encoder))
                for name in active_layers(settings.style.layers)
            },
            content_maps={}
            if all(target.content_weight == 1 for target in targets)
            else {name: _squares(by_content, name) for name in active_layers(settings.content.layers)},
            variation_limits=torch.einsum("br,brn->bn", fractions, torch.stack(limits, dim=1)),
        )

    def subset(self, samples: Sequence[int]) -> RegionTerms:
        """Those of some of the frames."""
        return replace(
            self,
            style_maps={name: maps.subset(samples) for name, maps in self.style_maps.items()},
            content_maps={name: take(maps, samples) for name, maps in self.content_maps.items()},
            variation_limits=take(self.variation_limits, samples),
        )


def layer_maps(maps: Tensor, layer: str, encoder: Encoder) -> Tensor:
    """Maps (B, R, H, W) of regions at a layer: (B, R, h, w), exactly 0 and 1 where they are so but for `FAINT`."""
    covered = _squares(maps, layer)
    cells = max(1, math.ceil(SEEN_FRACTION * (encoder.reach_px((layer,)) or 0) / layer_stride(layer)))
    seen = F.avg_pool2d(covered, 2 * cells + 1, stride=1, padding=cells, count_include_pad=False)
    found = covered * seen.square()
    return found.where(found >= FAINT, 0).where(found <= 1 - FAINT, 1)


def _squares(maps: Tensor, layer: str) -> Tensor:
    """The means of maps over the square of the image that belongs to each position of a layer."""
    stride = layer_stride(layer)
    return maps if stride == 1 else F.avg_pool2d(maps, stride)


@dataclass(frozen=True, slots=True)
class KeptPixels:
    """Where frames keep the pixels of their contents (B, 3, H, W): `kept` (B, 1, H, W).

    What is minimized is `hidden`; what is compared, and stored, is `shown`: `hidden` blended with the content. So where
    `kept` is 1 no gradient arrives, and the pixels are exactly those of the content.
    """

    contents: Tensor
    kept: Tensor

    def shown(self, hidden: Tensor) -> Tensor:
        """The images that hidden images stand for."""
        return torch.lerp(hidden, self.contents, self.kept).where(self.kept < 1, self.contents)

    def hidden(self, shown: Tensor) -> Tensor:
        """Images in [0, 1] that are shown as given, as far as there are such."""
        free = (1 - self.kept).clamp_min(HIDDEN_BELOW)
        return (self.contents + (shown - self.contents) / free).clamp(0, 1)

    def subset(self, samples: Sequence[int]) -> KeptPixels:
        """Those of some of the frames."""
        return KeptPixels(take(self.contents, samples), take(self.kept, samples))

"""The regions of a style: what each is compared with, the pixels that are kept, and the colors of light in each.

Maps (B, R + 1, H, W) of regions are float32 in [0, 1] and add up to 1; the first is that of what is in no region, where
the style itself holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.media.image.arrays import size_within
from pipeline.media.image.recolor import region_color_maps
from pipeline.optimize.regions import KeptPixels, RegionTarget, RegionTerms
from pipeline.runtime.transfers import download, upload
from pipeline.stylers.scales import Size, resize
from pipeline.stylers.style_targets import COLORS_SIDE_PX, StyleTargets, style_colors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.settings import StylizeSettings
    from pipeline.encoders.network import Encoder
    from pipeline.optimize.style_terms import StyleTarget
    from pipeline.types import StyleColors

JOIN_SIDE_PX: Final = 256
JOIN_REACH_PX: Final = 5
"""So far from a join pixels are held faster, in px of frames whose longer side is at most `JOIN_SIDE_PX`."""
JOIN_HOLD: Final = 4.0
"""How much is added to 1, the factor on the temporal term, along a join. Two styles are compared there, neither with
its full weight, and the edge between their colors shows every step."""


class RegionStyles:
    """The styles of the regions of a style; `colors` are those of `StyleColors.regions`."""

    def __init__(
        self,
        settings: StylizeSettings,
        rest: StyleTargets,
        images: Sequence[Sequence[NDArray[np.uint8]]],
        encoder: Encoder,
        device: torch.device,
    ) -> None:
        """`rest` are the targets of what is in no region; `images` of each region are uint8 (H, W, 3) sRGB."""
        self._encoder = encoder
        self._targets: list[StyleTargets | None] = [rest]
        colors: list[StyleColors | None] = []
        for region, own in zip(settings.regions, images, strict=True):
            if region.style is None:
                self._targets.append(None)
                colors.append(None)
            else:
                own_settings = settings.model_copy(update={"style": region.style})
                self._targets.append(StyleTargets(own_settings, own, encoder, device))
                colors.append(style_colors(region.style, own))
        self.colors = tuple(colors)

    def terms(self, contents: Tensor, maps: Tensor, tile_px: int | None, settings: StylizeSettings) -> RegionTerms:
        """The regions of contents (B, 3, H, W) as the objective sees them.

        `settings` are those of the style with the weights of these frames.
        """
        size = contents.shape[-2], contents.shape[-1]
        parts = [(1.0, settings.style), *((region.content_weight, region.style) for region in settings.regions)]
        targets = []
        for targets_of, (factor, style) in zip(self._targets, parts, strict=True):
            styles: Sequence[StyleTarget] = ()
            if targets_of is not None and style is not None:
                styles = targets_of(size, tile_px, [image.weight for image in style.images])
            targets.append(RegionTarget(styles, factor))
        return RegionTerms.of(self._encoder, settings.losses, contents, maps, targets)

    def kept(self, contents: Tensor, maps: Tensor) -> KeptPixels | None:
        """Where regions without style keep the pixels of the contents; None if there are none."""
        kept = [maps[:, position] for position, styles in enumerate(self._targets) if styles is None]
        return KeptPixels(contents, torch.stack(kept, dim=1).sum(dim=1, keepdim=True)) if kept else None


def join_hold(maps: Tensor) -> Tensor:
    """The factor (B, 1, H, W) on the temporal term by the maps of regions: 1 inside them, `1 + JOIN_HOLD` on joins."""
    height, width = maps.shape[-2:]
    small_width, small_height = size_within(width, height, JOIN_SIDE_PX)
    around = F.avg_pool2d(
        resize_maps(maps, (small_height, small_width)),
        2 * JOIN_REACH_PX + 1,
        stride=1,
        padding=JOIN_REACH_PX,
        count_include_pad=False,
    )
    mixed = (2 * (1 - around.square().sum(dim=1, keepdim=True))).clamp(0, 1)  # 1 where two regions have a half each
    return 1 + JOIN_HOLD * resize_maps(mixed, (height, width))


def resize_maps(maps: Tensor, size: Size) -> Tensor:
    """Maps at another size: linear, over areas when shrinking, so that they still add up to 1."""
    if tuple(maps.shape[-2:]) == size:
        return maps
    shrinks = size[0] < maps.shape[-2] or size[1] < maps.shape[-1]
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False, antialias=shrinks)


def recolored(contents: Tensor, maps: Tensor, style: StyleColors) -> Tensor:
    """Contents (B, 3, H, W) with the colors of each region mapped to those of its style, not clipped."""
    width, height = size_within(contents.shape[-1], contents.shape[-2], COLORS_SIDE_PX)
    small, small_maps = resize(contents, (height, width)), resize_maps(maps, (height, width))
    result = torch.zeros_like(contents)
    measured = zip(contents, maps, *download(small, small_maps), strict=True)
    for sample, (content, own, colors, weights) in enumerate(measured):
        if not np.isfinite(colors).all():
            result[sample] = content  # its loss will not be finite, which is reported
            continue
        found = region_color_maps(colors.transpose(1, 2, 0), weights, style)
        for color_map, part in zip(found, own, strict=True):
            matrix, offset = (
                upload(it.astype(np.float32), content.device) for it in (color_map.matrix, color_map.offset)
            )
            result[sample] += part * (torch.einsum("cd,dhw->chw", matrix, content) + offset[:, None, None])
    return result

"""The statistics of a style's images at the size of a frame, computed once for each size, and blends of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

from pipeline.media.image.arrays import resize as resize_rgb
from pipeline.media.image.arrays import size_within
from pipeline.media.image.recolor import color_gaussian
from pipeline.optimize.moments import Moments
from pipeline.optimize.objective import style_moments, style_statistics
from pipeline.optimize.style_losses import style_loss
from pipeline.optimize.style_terms import StyleTarget
from pipeline.optimize.variation import variation_limits
from pipeline.stylers.scales import Size, resize, style_image_size
from pipeline.types import StyleColors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.settings import StylizeSettings
    from pipeline.config.style import StyleSettings
    from pipeline.encoders.network import Encoder

COLORS_SIDE_PX: Final = 256
"""The colors of an image are those of the image at this size: what is finer than a stroke is left out."""

FRACTION_DIGITS: Final = 4
"""Blends are made for fractions of the weights of so many digits, which no eye tells apart."""
KEPT_BLENDS: Final = 16


@dataclass(frozen=True, slots=True)
class _Measured:
    """The target of one style image, with weight 1, and its moments by layer where they are needed for blends."""

    target: StyleTarget
    moments: Mapping[str, Moments]


class StyleTargets:
    """What the style loss compares frames with: `targets(size)` for frames of (height, width) px."""

    def __init__(
        self,
        settings: StylizeSettings,
        style_images: Sequence[NDArray[np.uint8]],
        encoder: Encoder,
        device: torch.device,
    ) -> None:
        """`style_images` are uint8 (H, W, 3) sRGB, one for each of `settings.style.images`."""
        self._settings = settings
        self._encoder = encoder
        self._device = device
        # Kept as uint8 in main memory: as float tensors on the device, two of 24 megapixels would take 600 MB there.
        self._style_images = tuple(style_images)
        self._found: dict[tuple[Size, int | None, int], _Measured] = {}
        self._blends: dict[tuple[Size, int | None, tuple[float, ...]], StyleTarget] = {}

    def __call__(
        self, size: Size, tile_px: int | None = None, weights: Sequence[float] | None = None
    ) -> tuple[StyleTarget, ...]:
        """One target for each style image with a weight above 0; features in tiles of `tile_px`, None: whole.

        `weights` are those of the images, by default those of the settings. Where the settings blend statistics there
        is one target between all of them, with the sum of their weights.
        """
        weights = tuple(image.weight for image in self._settings.style.images) if weights is None else weights
        used = {number: weight for number, weight in enumerate(weights) if weight > 0}
        if self._settings.style.blend == "statistics" and len(used) > 1:
            return (self._blend(size, tile_px, weights),)
        return tuple(
            replace(self._measure(size, tile_px, number).target, weight=weight) for number, weight in used.items()
        )

    def _measure(self, size: Size, tile_px: int | None, number: int) -> _Measured:
        """One style image, as frames of this size are compared with it."""
        key = size, tile_px, number
        if key not in self._found:
            image, rgb = self._settings.style.images[number], self._style_images[number]
            own = (rgb.shape[0], rgb.shape[1])
            scale = image.scale or self._settings.style.scale
            compared = style_image_size(own, size, scale, min_side_px=self._encoder.min_side_px)
            resized = resize(image_tensor(rgb, self._device), compared)
            losses = self._settings.losses
            moments = style_moments(self._encoder, losses, resized, tile_px)
            target = StyleTarget(1.0, style_statistics(losses, moments), variation_limits(resized))
            self._found[key] = _Measured(target, moments if self._settings.style.blend == "statistics" else {})
        return self._found[key]

    def _blend(self, size: Size, tile_px: int | None, weights: Sequence[float]) -> StyleTarget:
        """The target between the style images with a weight above 0; the latest ones are kept."""
        total = sum(weights)
        fractions = tuple(round(weight / total, FRACTION_DIGITS) for weight in weights)
        key = size, tile_px, fractions
        if key not in self._blends:
            while len(self._blends) >= KEPT_BLENDS:
                del self._blends[next(iter(self._blends))]
            used = {number: fraction for number, fraction in enumerate(fractions) if fraction > 0}
            found = [self._measure(size, tile_px, number) for number in used]
            parts = list(used.values())
            losses = self._settings.losses
            blend = style_loss(losses.style.loss).blend
            moments = {name: blend([own.moments[name] for own in found], parts) for name in found[0].moments}
            limits = torch.stack([part * own.target.variation_limits for part, own in zip(parts, found, strict=True)])
            self._blends[key] = StyleTarget(1.0, style_statistics(losses, moments), limits.sum(dim=0) / sum(parts))
        return replace(self._blends[key], weight=total)


def with_weights(colors: StyleColors, values: Mapping[str, float], prefix: str = "") -> StyleColors:
    """The colors with the weights of style images that curves give at a frame, by dotted key behind `prefix`."""
    weights = (values.get(f"{prefix}style.images.{number}.weight", own) for number, own in enumerate(colors.weights))
    regions = (
        None if own is None else with_weights(own, values, f"{prefix}regions.{number}.")
        for number, own in enumerate(colors.regions)
    )
    return replace(colors, weights=tuple(weights), regions=tuple(regions))


def style_colors(settings: StyleSettings, style_images: Sequence[NDArray[np.uint8]]) -> StyleColors:
    """The colors of the style images, uint8 (H, W, 3) sRGB, with the weights of the settings."""
    gaussians = []
    for rgb in style_images:
        width, height = size_within(rgb.shape[1], rgb.shape[0], COLORS_SIDE_PX)
        gaussians.append(color_gaussian(resize_rgb(rgb, width, height)))
    return StyleColors(tuple(gaussians), tuple(image.weight for image in settings.images))


def image_tensor(rgb: NDArray[np.uint8], device: torch.device) -> Tensor:
    """uint8 (H, W, 3) as float32 (1, 3, H, W) in [0, 1] on a device."""
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].to(device).float() / 255

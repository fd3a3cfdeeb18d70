"""The statistics of a style's images at the size of a frame, computed once for each size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

from pipeline.media.image.arrays import resize as resize_rgb
from pipeline.media.image.arrays import size_within
from pipeline.media.image.recolor import color_gaussian
from pipeline.optimize.objective import style_target
from pipeline.optimize.style_terms import StyleTarget
from pipeline.stylers.scales import Size, resize, style_image_size
from pipeline.types import StyleColors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.settings import StylizeSettings
    from pipeline.config.style import StyleSettings
    from pipeline.encoders.network import Encoder

COLORS_SIDE_PX: Final = 256
"""The colors of an image are those of the image at this size: what is finer than a stroke is left out."""


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
        self._targets: dict[tuple[Size, int | None], tuple[StyleTarget, ...]] = {}

    def __call__(self, size: Size, tile_px: int | None = None) -> tuple[StyleTarget, ...]:
        """One target for each style image with a weight above 0; features in tiles of `tile_px`, None: whole."""
        key = size, tile_px
        if key not in self._targets:
            style = self._settings.style
            targets = []
            for image, rgb in zip(style.images, self._style_images, strict=True):
                if image.weight == 0:
                    continue
                own = (rgb.shape[0], rgb.shape[1])
                scale = image.scale or style.scale
                compared = style_image_size(own, size, scale, min_side_px=self._encoder.min_side_px)
                resized = resize(image_tensor(rgb, self._device), compared)
                targets.append(style_target(self._encoder, self._settings.losses, resized, image.weight, tile_px))
            self._targets[key] = tuple(targets)
        return self._targets[key]


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

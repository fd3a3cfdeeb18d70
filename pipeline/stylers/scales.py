"""Sizes, curves and noise of coarse-to-fine stylization: pure functions.

Sizes are (height, width) in px.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from pipeline.config.settings import ColdSettings

Size = tuple[int, int]


def cold_scales(size: Size, settings: ColdSettings, *, min_side_px: int = 1) -> list[Size]:
    """Sizes from the coarsest to the full one, `scale_step` apart.

    The longer side of the coarsest is at least `min_scale_px`, the shorter one at least `min_side_px`, which the
    encoder needs; a frame that is smaller has one scale.
    """
    height, width = size
    steps = max(0, math.floor(math.log(max(size) / settings.min_scale_px) / math.log(settings.scale_step) + 1e-9))
    factors = [settings.scale_step**-k for k in range(steps, 0, -1)]
    coarse = [(max(1, round(height * factor)), max(1, round(width * factor))) for factor in factors]
    return [*(scale for scale in coarse if min(scale) >= min_side_px), size]


def resample_curve(curve: Sequence[float], count: int) -> list[float]:
    """`count` values along a curve from its first to its last value, by linear interpolation; the last one for 1."""
    if count == 1:
        return [curve[-1]]
    return [float(value) for value in np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(curve)), curve)]


def style_image_size(style_image: Size, frame: Size, scale: float, *, min_side_px: int = 1) -> Size:
    """Size at which a style image is compared with a frame: longer sides equal, times `scale`.

    Never larger than the style image itself, because enlarging it would teach the frame blur. The shorter side is at
    least `min_side_px`, which the encoder needs.
    """
    factor = min(1.0, max(scale * max(frame) / max(style_image), min_side_px / min(style_image)))
    return max(1, round(style_image[0] * factor)), max(1, round(style_image[1] * factor))


def resize(images: Tensor, size: Size) -> Tensor:
    """Images (B, 3, H, W) at another size: bicubic, with a low-pass when shrinking; the same tensor if equal."""
    height, width = images.shape[-2:]
    if (height, width) == size:
        return images
    shrinks = size[0] < height or size[1] < width
    result = F.interpolate(images, size=size, mode="bicubic", align_corners=False, antialias=shrinks)
    return result.clamp_(0, 1)


def seeded_noise(seeds: Sequence[int], level: int, size: Size) -> Tensor:
    """Standard normal noise (B, 3, H, W), one seed per sample, different at every level (-1 or more).

    Drawn on the CPU, so that a seed gives the same noise on every device.
    """
    samples = []
    for seed in seeds:
        generator = torch.Generator().manual_seed((seed + 0x9E3779B97F4A7C15 * (level + 2)) % 2**63)
        samples.append(torch.randn((3, *size), generator=generator))
    return torch.stack(samples)

"""What the stylers without a network share: colors of the style images, and frames as flat regions in those colors.

Colors are Oklab unless stated otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
import torch

from pipeline.media.image.arrays import to_uint8
from pipeline.media.image.oklab import oklab_from_srgb
from pipeline.media.image.palette import main_colors
from pipeline.types import FrameStats, StylizedBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pipeline.types import FrameBatch

LIGHTNESS_WEIGHT: Final = 1.3
"""Shapes are seen by lightness: it counts this much more than hue when a color is replaced."""
_SAMPLES: Final = 20_000
_CONTRAST: Final = 1.25  # the mean of a cluster is duller than its colors: the entries are moved apart by this much
_CHROMA_GAIN: Final = 1.7  # chroma of the content is raised by this, so that hues decide rather than grayness


def style_palette(style_images: Sequence[NDArray[np.uint8]], colors: int, seed: int) -> NDArray[np.float32]:
    """The main colors of the style images, float32 (colors, 3) Oklab from dark to light: k-means, seeded.

    `style_images` are uint8 (H, W, 3) sRGB.
    """
    random = np.random.default_rng(seed)
    each = max(1, _SAMPLES // len(style_images))
    samples = [image.reshape(-1, 3)[random.integers(0, image.size // 3, each)] for image in style_images]
    return main_colors(oklab_from_srgb(np.concatenate(samples)), colors, random, _CONTRAST)


def fit_to_palette(lab: NDArray[np.float32], palette: NDArray[np.float32]) -> NDArray[np.float32]:
    """Oklab colors with more chroma, and lightness in the palette's range: dark style images give dark frames."""
    low, high = palette[0, 0], palette[-1, 0]
    result = lab * np.array([1, _CHROMA_GAIN, _CHROMA_GAIN], np.float32)
    result[..., 0] = low + lab[..., 0] * (high - low)
    return result


def smooth_regions(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame, uint8 (H, W, 3), without texture but with its edges, and with rounded shapes."""
    radius = max(2, round(max(rgb.shape[:2]) / 250))
    for _ in range(3):
        rgb = np.asarray(cv2.bilateralFilter(rgb, 2 * radius + 1, 30, radius), np.uint8)
    return np.asarray(cv2.medianBlur(rgb, 2 * radius + 1), np.uint8)


def stylize_frames(
    batch: FrameBatch,
    stylize: Callable[
        [NDArray[np.uint8], NDArray[np.uint8] | None, NDArray[np.float32] | None, int], NDArray[np.uint8]
    ],
) -> StylizedBatch:
    """Apply `stylize(content, warped previous, confidence, frame index)` to every frame of a batch.

    Previous and confidence are None in a cold one. Images are uint8 (H, W, 3) sRGB, confidence float32 (H, W) in
    [0, 1]. The reported loss is the mean squared difference from the content.
    """
    results = []
    for position, content in enumerate(batch.content):
        previous, confidence = None, None
        if batch.warped_previous is not None:
            previous = to_uint8(batch.warped_previous[position])
            confidence = np.ones(previous.shape[:2], np.float32)
            if batch.confidence is not None:
                confidence = batch.confidence[position, 0].cpu().numpy()
        index = batch.indices[position] if batch.indices else 0
        results.append(stylize(to_uint8(content), previous, confidence, index))
    images = torch.from_numpy(np.stack(results)).permute(0, 3, 1, 2).to(batch.content.device, torch.float32) / 255
    losses = ((images - batch.content) ** 2).mean(dim=(1, 2, 3)).tolist()
    return StylizedBatch(images.contiguous(), tuple(FrameStats(evaluations=1, loss=loss) for loss in losses))

"""The palette styler: a photo in flat shapes with the colors of a painting, like gouache or a silk-screen print.

The palette comes from the paintings alone, and what happens to a pixel depends on its surroundings alone, so nothing
flickers by itself; where a pixel lies between two colors of the palette the previous frame decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
import torch

from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab
from pipeline.types import FrameStats, StylizedBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.types import FrameBatch

_SAMPLES: Final = 20_000
_ROUNDS: Final = 30
_LIGHTNESS: Final = 1.3  # shapes are seen by lightness: it counts this much more than hue when a color is replaced
_VIVID: Final = 2.0  # chroma counts this much more when colors are gathered: accents keep a color of their own
_SPREAD: Final = 1.25  # means are duller than the paint they stand for: moved apart by this much
_CHROMA: Final = 1.7  # the photo's chroma is raised by this before its colors are replaced: hues decide, not grayness
_SOFTNESS: Final = 0.006  # Oklab distance over which one color passes into the next: smooth contours instead of stairs
_HOLD: Final = 0.03  # advantage, in Oklab distance, of the color that a pixel had before
_CHUNK: Final = 1 << 22  # distances at a time: memory


class PaletteStyler:
    """Paints a frame in `colors` (2 to 256) colors of the paintings, which are uint8 (h, w, 3) sRGB pictures.

    The same paintings, number and seed give the same palette and the same frames.
    """

    def __init__(self, style_images: Sequence[NDArray[np.uint8]], colors: int, seed: int) -> None:
        self.palette = style_palette(style_images, colors, seed)
        """float32 (colors, 3) Oklab, from dark to light."""

    def stylize(self, batch: FrameBatch) -> StylizedBatch:
        """Paint every frame; `warped_previous` holds the colors of a warm one in place as far as it is reliable."""
        painted = []
        for number, content in enumerate(batch.content):
            held, trust = None, None
            if batch.warped_previous is not None:
                held = pixels(batch.warped_previous[number])
                trust = None if batch.confidence is None else batch.confidence[number, 0].cpu().numpy()
            painted.append(self.paint(pixels(content), held, trust))
        return as_batch(batch, painted)

    def paint(
        self,
        rgb: NDArray[np.uint8],
        previous: NDArray[np.uint8] | None = None,
        trust: NDArray[np.float32] | None = None,
    ) -> NDArray[np.uint8]:
        """Paint one frame, uint8 (H, W, 3) sRGB, after `previous` (same size), trusted by `trust` (H, W; None: 1)."""
        color = toned(oklab_from_srgb(flattened(rgb)), self.palette).reshape(-1, 3)
        result = np.empty_like(color)
        before = None if previous is None else oklab_from_srgb(previous).reshape(-1, 3)
        bonus = np.full(len(color), _HOLD, np.float32) if trust is None else np.float32(_HOLD) * trust.reshape(-1)
        step = max(1, _CHUNK // len(self.palette))
        for part in (slice(start, start + step) for start in range(0, len(color), step)):
            distance = distances(color[part], self.palette, _LIGHTNESS)
            if before is not None:
                old = distances(before[part], self.palette).argmin(axis=1)
                distance[np.arange(len(old)), old] -= bonus[part]
            result[part] = blended(distance, self.palette, _SOFTNESS)
        return srgb_from_oklab(result).reshape(rgb.shape)


def style_palette(style_images: Sequence[NDArray[np.uint8]], colors: int, seed: int) -> NDArray[np.float32]:
    """The main colors of the paintings, float32 (colors, 3) Oklab from dark to light: k-means, seeded."""
    random = np.random.default_rng(seed)
    each = max(1, _SAMPLES // len(style_images))
    gain = np.array([1, _VIVID, _VIVID], np.float32)
    samples = gain * np.concatenate(
        [oklab_from_srgb(image.reshape(-1, 3)[random.integers(0, image.size // 3, each)]) for image in style_images]
    )
    # k-means++: each start is drawn with the squared distance from those before, so rare accents get their color.
    centers = samples[:1]
    while len(centers) < colors:
        chance = distances(samples, centers).min(axis=1).astype(np.float64) ** 2 + 1e-12
        centers = np.vstack([centers, samples[random.choice(len(samples), p=chance / chance.sum())]])
    for _ in range(_ROUNDS):
        nearest = distances(samples, centers).argmin(axis=1)
        count = np.bincount(nearest, minlength=colors)
        sums = np.stack([np.bincount(nearest, samples[:, axis], colors) for axis in range(3)], axis=1)
        moved = np.where(count[:, np.newaxis] > 0, sums / np.maximum(count, 1)[:, np.newaxis], centers)
        centers = moved.astype(np.float32)
    mean = samples.mean(axis=0)
    centers = (mean + np.float32(_SPREAD) * (centers - mean)) / gain
    centers[:, 0] = np.clip(centers[:, 0], *np.percentile(samples[:, 0], (1, 99)))
    centers = oklab_from_srgb(srgb_from_oklab(centers))  # back into what can be shown
    return centers[np.argsort(centers[:, 0], kind="stable")]


def distances(color: NDArray[np.float32], palette: NDArray[np.float32], lightness: float = 1.0) -> NDArray[np.float32]:
    """Oklab distances (n, k) between colors (n, 3) and a palette (k, 3); L counts `lightness` times."""
    scale = np.array([lightness, 1, 1], np.float32)
    a, b = color * scale, palette * scale
    squared = (a**2).sum(axis=1)[:, np.newaxis] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    return np.asarray(np.sqrt(np.maximum(squared, 0)), np.float32)


def blended(distance: NDArray[np.float32], palette: NDArray[np.float32], softness: float) -> NDArray[np.float32]:
    """The nearest color of the palette by `distance` (n, k), passing into the next within about `softness`."""
    share = np.exp((distance.min(axis=1, keepdims=True) - distance) / np.float32(softness / 4))
    return np.asarray((share @ palette) / share.sum(axis=1, keepdims=True), np.float32)


def toned(lab: NDArray[np.float32], palette: NDArray[np.float32]) -> NDArray[np.float32]:
    """Oklab colors with lightness moved into the palette's range, so that a dark painting gives a dark print."""
    low, high = palette[0, 0], palette[-1, 0]
    result = lab * np.array([1, _CHROMA, _CHROMA], np.float32)
    result[..., 0] = low + lab[..., 0] * (high - low)
    return result


def flattened(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture (H, W, 3) without texture but with its edges, and with rounded shapes, as a brush leaves them."""
    radius = max(2, round(max(rgb.shape[:2]) / 250))
    for _ in range(3):
        rgb = np.asarray(cv2.bilateralFilter(rgb, 2 * radius + 1, 30, radius), np.uint8)
    return np.asarray(cv2.medianBlur(rgb, 2 * radius + 1), np.uint8)


def pixels(image: torch.Tensor) -> NDArray[np.uint8]:
    """A picture tensor (3, H, W) in [0, 1] as uint8 (H, W, 3)."""
    return np.ascontiguousarray((image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())


def as_batch(batch: FrameBatch, painted: Sequence[NDArray[np.uint8]]) -> StylizedBatch:
    """Painted frames as a StyledBatch on the batch's device, with the mean squared difference to the photo as loss."""
    images = torch.from_numpy(np.stack(painted)).permute(0, 3, 1, 2).to(batch.content.device, torch.float32) / 255
    losses = ((images - batch.content) ** 2).mean(dim=(1, 2, 3)).tolist()
    return StylizedBatch(images.contiguous(), tuple(FrameStats(evaluations=1, loss=loss) for loss in losses))

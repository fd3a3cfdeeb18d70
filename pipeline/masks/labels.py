"""The regions of a picture in which each region has a color of its own, and a soft mask of one of them.

Between two regions a drawing program mixes their colors. So the color of a pixel between regions is explained as a
mixture of two of the region colors around it, and the mask is the fraction of one of them. The distance to the region
color alone would not do: the middle between black and white is gray, which may be the color of a third region.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.media.image.oklab import oklab_from_srgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLAT_LEVELS: Final = 6
"""A pixel is inside a region if the levels in its 3x3 neighborhood differ by no more."""
SAME_COLOR: Final = 0.07
"""Distance in Oklab up to which two colors belong to one region."""
MIN_FRACTION: Final = 0.001
"""A region has at least this fraction of the picture."""
MAX_LABELS: Final = 32
NEAR_FRACTION: Final = 0.01
"""Regions within this fraction of the longer side may be mixed in a pixel."""
MIN_NEAR_PX: Final = 4
_MAX_COLORS: Final = 20_000
_PLACES: Final = np.array([1 << 16, 1 << 8, 1], np.uint32)


def dominant_colors(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The colors of the regions of a picture, uint8 (H, W, 3) sRGB: uint8 (N, 3), the largest region first.

    At most `MAX_LABELS`; of a picture without flat areas all pixels count.
    """
    flat = _flat(picture)
    if flat.mean() < 0.1:
        flat = np.ones_like(flat)
    packed, counts = np.unique(picture[flat].astype(np.uint32) @ _PLACES, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MAX_COLORS]
    colors, counts = (packed[order, None] // _PLACES % 256).astype(np.uint8), counts[order]
    lab = oklab_from_srgb(colors)
    left = np.ones(len(colors), np.bool_)
    found: list[tuple[int, NDArray[np.uint8]]] = []
    while left.any() and len(found) < MAX_LABELS:
        first = int(left.argmax())
        region = left & (np.linalg.norm(lab - lab[first], axis=1) < SAME_COLOR)
        left &= ~region
        size = int(counts[region].sum())
        if size >= MIN_FRACTION * flat.size:
            found.append((size, colors[first]))
    found.sort(key=lambda region: -region[0])
    return np.array([color for _, color in found], np.uint8).reshape(-1, 3)


def nearest_label(labels: NDArray[np.uint8], color: tuple[int, int, int]) -> int | None:
    """Index of the region color that is meant by `color`, both sRGB; None if there is none within 1.5 `SAME_COLOR`."""
    if not len(labels):
        return None
    away = np.linalg.norm(oklab_from_srgb(labels) - oklab_from_srgb(np.array(color, np.uint8)), axis=-1)
    nearest = int(away.argmin())
    return nearest if away[nearest] < 1.5 * SAME_COLOR else None


def label_mask(picture: NDArray[np.uint8], labels: NDArray[np.uint8], label: int) -> NDArray[np.float32]:
    """The soft mask of one region: float32 (H, W) in [0, 1]. The masks of all regions add up to 1.

    `picture` is uint8 (H, W, 3) sRGB, `labels` are its `dominant_colors`. Colors are mixed in sRGB, as drawing programs
    do. Where no region is near, all of them are candidates.
    """
    palette = labels.astype(np.float32)
    away = np.stack([np.square(picture - color).sum(axis=-1) for color in palette])
    hard = np.where(_flat(picture), away.argmin(axis=0), -1)
    mask: NDArray[np.float32] = (hard == label).astype(np.float32)
    mixed = np.nonzero(hard < 0)
    radius = max(MIN_NEAR_PX, round(NEAR_FRACTION * max(picture.shape[:2])))
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    near = np.stack([cv2.dilate((hard == index).astype(np.uint8), window)[mixed] > 0 for index in range(len(labels))])
    near |= ~near.any(axis=0)
    colors = picture[mixed].astype(np.float32)
    # A pure color is the mixture of itself with nothing, which also holds where only one region is near.
    best = np.where(near, away[:, mixed[0], mixed[1]], np.inf)
    fraction = (best.argmin(axis=0) == label).astype(np.float32)
    misfit = best.min(axis=0)
    for first, second in combinations(range(len(labels)), 2):
        span = palette[first] - palette[second]
        part = np.clip((colors - palette[second]) @ span / (span @ span), 0, 1)
        off = np.square(colors - palette[second] - part[:, None] * span).sum(axis=1)
        better = near[first] & near[second] & (off < misfit)
        misfit[better] = off[better]
        amount = part if first == label else 1 - part if second == label else np.zeros_like(part)
        fraction[better] = amount[better]
    mask[mixed] = fraction
    return mask


def _flat(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each pixel's 3x3 neighborhood has one color, up to `FLAT_LEVELS`; bool (H, W)."""
    square = np.ones((3, 3), np.uint8)
    spread = cv2.morphologyEx(picture, cv2.MORPH_GRADIENT, square)
    flat: NDArray[np.bool_] = spread.max(axis=-1) <= FLAT_LEVELS
    return flat

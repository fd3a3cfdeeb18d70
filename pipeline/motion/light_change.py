"""How the broad light of the content changed between two frames, in the colors of the style.

A stylized frame that is moved along the flow has the light of the moment at which it was stylized. The difference
between the blurred recolored content of now and of then, along the same flow, takes it to the light of the current
frame and leaves its strokes alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.media.image.arrays import size_within
from pipeline.media.image.recolor import recolored_regions, region_color_maps, style_map

if TYPE_CHECKING:
    from pipeline.types import ColorGaussian, StyleColors

LIGHT_SIDE_PX: Final = 240
"""Light is compared on frames of this size."""
LIGHT_SIGMA: Final = 0.02
"""Standard deviation of the blur, of the longer side: strokes are finer, light and shade are broader."""
MIN_VALID: Final = 0.05
"""Added to the blurred weights: the change fades to 0 where nothing around corresponds."""


@dataclass(frozen=True, slots=True)
class LightPair:
    """Two content frames at one small size (h, w), the other one moved to where its content is in the current one.

    `current` and `moved` are float32 (h, w, 3) sRGB in [0, 1]; `valid` (h, w) in [0, 1] says where both show the same;
    `current_colors` and `other_colors` are the Gaussians of the whole frames, each of which has its own recoloring.
    """

    current: NDArray[np.float32]
    moved: NDArray[np.float32]
    valid: NDArray[np.float32]
    current_colors: ColorGaussian
    other_colors: ColorGaussian


def light_size(height: int, width: int) -> tuple[int, int]:
    """Width and height in px at which the light of frames of this size is compared."""
    return size_within(width, height, LIGHT_SIDE_PX)


def small_maps(regions: NDArray[np.float32], size_px: tuple[int, int]) -> NDArray[np.float32]:
    """Maps (R + 1, H, W) of regions at a smaller (width, height)."""
    return np.stack([np.asarray(cv2.resize(it, size_px, interpolation=cv2.INTER_AREA), np.float32) for it in regions])


def light_change(
    pair: LightPair, style_colors: StyleColors, regions: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """What must be added to a stylized frame that was moved along the flow, at the small size: float32 (h, w, 3).

    Where the two frames do not show the same, the change is that of the surroundings, so that an object that enters
    throws no halo of its color. With the maps of `regions` (R + 1, H, W) of any size each has its own recoloring.
    """
    if regions is None:
        now = style_map(pair.current_colors, style_colors)(pair.current)
        then = style_map(pair.other_colors, style_colors)(pair.moved)
    else:
        maps = small_maps(regions, (pair.valid.shape[1], pair.valid.shape[0]))
        now, then = (
            recolored_regions(image, maps, region_color_maps(image, maps, style_colors))
            for image in (pair.current, pair.moved)
        )
    sigma = LIGHT_SIGMA * max(pair.valid.shape)
    difference = cv2.GaussianBlur((now - then) * pair.valid[..., None], (0, 0), sigma)
    weight = cv2.GaussianBlur(pair.valid, (0, 0), sigma)
    return np.asarray(difference / (weight + np.float32(MIN_VALID))[..., None], np.float32)

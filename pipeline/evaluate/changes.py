"""Areas in which the content has changed: whether the stylized frame shows what is there now.

A frame that begins with the previous stylized one can keep what is no longer there, or show what has come only
faintly. The same frame stylized independently does not know what was there before, and is what it is compared with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.light import blurred

if TYPE_CHECKING:
    from torch import Tensor

RGB = NDArray[np.uint8]
Area = NDArray[np.bool_]

LAG_FRAMES: Final = 12
"""Content is compared with that of so many frames before."""
LEAST_DIFFERENCE: Final = 0.06
"""Content has changed where it differs by more than this, of the range."""
CONTENT_SIGMA: Final = 0.008
"""Standard deviation of the blur of differences of the content, of the longer side: noise is no change."""
COLOR_SIGMA: Final = 0.02
"""Standard deviation of the blur of stylized frames whose colors are compared: strokes differ in all of them."""
LEAST_FRACTION: Final = 0.002
"""Changed areas that are smaller than this fraction of the frame are not measured."""

LAYER: Final = "relu4_2"
"""The features in which content is compared."""


class ColorDifference(NamedTuple):
    """Mean absolute difference of blurred images in levels of 0 to 255, in an area and in the rest of the frame.

    `outside` is None if the area is the whole frame.
    """

    inside: float
    outside: float | None


def content_difference(content: RGB, other: RGB, sigma: float = CONTENT_SIGMA) -> NDArray[np.float32]:
    """Mean absolute difference of two contents, uint8 (H, W, 3), as (H, W) in [0, 1]; blurred by `sigma`."""
    return blurred(np.abs(content.astype(np.float32) - other).mean(axis=2) / 255, sigma)


def changed_area(content: RGB, earlier: RGB) -> Area | None:
    """Where the content has changed, (H, W). None if that is less than 0.2 percent of the frame."""
    area: Area = content_difference(content, earlier) > LEAST_DIFFERENCE
    return area if area.mean() >= LEAST_FRACTION else None


def color_difference(stylized: RGB, independent: RGB, area: Area) -> ColorDifference:
    """Difference of a stylized frame to the independent one where the content has changed, and where it has not."""
    one, other = (blurred(image.astype(np.float32), COLOR_SIGMA) for image in (stylized, independent))
    difference = np.abs(one - other).mean(axis=2)
    outside = None if area.all() else float(difference[~area].mean())
    return ColorDifference(float(difference[area].mean()), outside)


def feature_error(features: Tensor, target: Tensor, area: Area) -> float | None:
    """Squared difference of features (C, h, w), summed over the channels, mean over an area of the image (H, W).

    A position counts if more than half of it is in the area; None if there is none.
    """
    import torch

    height, width = features.shape[-2:]
    covered = cv2.resize(area.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0.5
    if not covered.any():
        return None
    squared = (features.float() - target.float()).square().sum(dim=0).cpu()
    return float(squared[torch.from_numpy(covered)].mean())

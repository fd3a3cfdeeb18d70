"""Several aligned photos of one scene as one: their mean, or the best of each (exposure fusion, focus stacking)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.media.image.depth import rounded

if TYPE_CHECKING:
    from pipeline.types import Fuse, Pixels

_MERTENS: Final = {"exposure": (1.0, 1.0, 1.0), "focus": (4.0, 0.0, 0.0)}
"""Exponents of contrast, saturation and well-exposedness in the weight of a pixel; sharpness is contrast alone."""


def fused(images: Sequence[Pixels], how: Fuse) -> Pixels:
    """Aligned images of one size, (H, W, 3) sRGB uint8 or uint16, as one of the same depth.

    `"mean"` averages encoded values, which removes noise. `"exposure"` and `"focus"` are Mertens, Kautz and Van Reeth
    2007, "Exposure fusion", equations 1 to 7: Laplacian pyramids are blended with weights of contrast, saturation and
    well-exposedness, for focus of contrast alone. Sums of pyramids overshoot [0, 1] at strong edges: there the result
    is kept within the values that the images themselves have at the pixel and around it. One image stays as it is.
    """
    if len(images) == 1:
        return images[0]
    top = np.float32(np.iinfo(images[0].dtype).max)
    if how in _MERTENS:
        levels = [np.multiply(image, np.float32(255) / top, dtype=np.float32) for image in images]
        merged = np.asarray(cv2.createMergeMertens(*_MERTENS[how]).process(levels), np.float32)
        around = np.ones((3, 3), np.uint8)
        low = cv2.erode(np.minimum.reduce(levels), around) / np.float32(255)
        high = cv2.dilate(np.maximum.reduce(levels), around) / np.float32(255)
        result = np.clip(merged, low, high) * top
    else:
        result = np.zeros(images[0].shape, np.float32)
        for image in images:
            cv2.accumulate(image, result)
        result /= len(images)
    return rounded(result, images[0].dtype)

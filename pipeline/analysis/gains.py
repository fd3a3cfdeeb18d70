"""Leveling a burst: by what every photo is multiplied, in linear light, to have the exposure of the anchor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import cv2
import numpy as np

from pipeline.media.image.transfer import linear_from_srgb
from pipeline.types import GAIN_UNIT, Gains

if TYPE_CHECKING:
    from numpy.typing import NDArray

    RGB = NDArray[np.uint8]

SIDE_PX: Final = 400
"""Longer side of the aligned photos that are compared: small enough that noise is averaged."""
_DARKEST, _BRIGHTEST = 10, 240
"""Levels of 255 outside of which a pixel is taken for clipped; the anchor's and the photo's."""
_MIN_PIXELS: Final = 200
_MAX_STOPS: Final = 8.0
_LUMA: Final = np.array([0.2126, 0.7152, 0.0722], np.float32)


def gains_to(anchor: RGB, photo: RGB, level: Literal["exposure", "full"]) -> Gains:
    """Gains for R, G and B that take a photo to its anchor, aligned uint8 (H, W, 3) sRGB of one size.

    The median of the ratio over all pixels that neither of them clips: what moves has no say unless it is half of the
    frame. `"exposure"` gives one gain for all channels, from luminance. No gain where too few pixels can be compared.
    """
    usable = np.ones(anchor.shape[:2], bool)
    for image in (anchor, photo):
        usable &= (image.min(axis=2) >= _DARKEST) & (image.max(axis=2) <= _BRIGHTEST)
    # The edge of what is clipped, or not shown by both, is a mixture.
    usable = cv2.erode(usable.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    if int(usable.sum()) < _MIN_PIXELS:
        return (0, 0, 0)
    own, there = (linear_from_srgb(np.divide(each[usable], 255, dtype=np.float32)) for each in (photo, anchor))
    if level == "exposure":
        own, there = (each @ _LUMA for each in (own, there))
    stops = np.median(np.log2(there) - np.log2(own), axis=0).clip(-_MAX_STOPS, _MAX_STOPS)
    found = np.rint(GAIN_UNIT * np.broadcast_to(stops, 3)).astype(int)
    return tuple(found.tolist())

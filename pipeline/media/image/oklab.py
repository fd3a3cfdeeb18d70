"""Oklab, a color space in which lightness and color are separate and equal distances look about equal.

Björn Ottosson, "A perceptual color space for image processing" (2020), with the sRGB matrices of his 2021 revision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.media.image.transfer import linear_from_srgb, srgb_from_linear

if TYPE_CHECKING:
    from numpy.typing import NDArray

LMS_FROM_RGB: Final = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
)
LAB_FROM_LMS: Final = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
)
_RGB_FROM_LMS: Final = np.linalg.inv(LMS_FROM_RGB.astype(np.float64)).astype(np.float32)
_LMS_FROM_LAB: Final = np.linalg.inv(LAB_FROM_LMS.astype(np.float64)).astype(np.float32)

_LEVELS: Final = np.arange(256) / 255.0
_LINEAR: Final = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)
_STEPS: Final = np.linspace(0.0, 1.0, 1 << 16)
# sRGB's steepest slope, 12.92 at black, moves 0.05 levels per entry: rounding by this table is practically exact.
_LEVEL_OF: Final = np.rint(
    255.0 * np.where(_STEPS <= 0.0031308, _STEPS * 12.92, 1.055 * _STEPS ** (1 / 2.4) - 0.055)
).astype(np.uint8)
_GAMUT_STEPS: Final = 8
"""Halvings of the interval that chroma is searched in: exact to 1/256."""


def oklab_from_srgb(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (..., 3) sRGB to float32 (..., 3) Oklab: lightness L in [0, 1], a and b about -0.4 to 0.4, 0 for gray."""
    return oklab_from_linear(_LINEAR[rgb])


def oklab_from_linear(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (..., 3) linear RGB, not negative, to float32 (..., 3) Oklab."""
    return np.asarray(np.cbrt(light @ LMS_FROM_RGB.T) @ LAB_FROM_LMS.T, np.float32)


def linear_from_8_bit(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (..., 3) sRGB to float32 (..., 3) linear RGB in [0, 1]."""
    return np.asarray(_LINEAR[rgb], np.float32)


def srgb_from_oklab(lab: NDArray[np.float32]) -> NDArray[np.uint8]:
    """float32 (..., 3) Oklab to uint8 (..., 3) sRGB.

    A color outside the sRGB gamut keeps its lightness and hue and loses as much chroma as necessary: clipping the
    channels would change its hue and lightness instead.
    """
    rgb = np.clip(_in_gamut(lab, linear_from_oklab), 0, 1)
    entries = np.rint(rgb * np.float32(len(_LEVEL_OF) - 1)).astype(np.uint16)
    return np.asarray(_LEVEL_OF[entries].reshape(lab.shape), np.uint8)


def oklab_from_image(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """`oklab_from_srgb` for float32 (H, W, 3) sRGB; what is outside [0, 1] is clipped."""
    lms = cv2.transform(linear_from_srgb(image), LMS_FROM_RGB)
    return np.asarray(cv2.transform(cv2.pow(lms, 1 / 3), LAB_FROM_LMS), np.float32)


def image_from_oklab(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """`srgb_from_oklab` without rounding: float32 (H, W, 3) sRGB in [0, 1]."""
    return srgb_from_linear(_in_gamut(lab, _fast_linear_from_oklab).reshape(lab.shape))


def _in_gamut(
    lab: NDArray[np.float32], linear: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """float32 (..., 3) Oklab to linear RGB (N, 3) within 1e-4 of [0, 1], at the same lightness and hue, by `linear`."""
    colors = lab.reshape(-1, 3)
    rgb = linear(colors)
    outside = np.flatnonzero(((rgb < -1e-4) | (rgb > 1 + 1e-4)).any(axis=1))
    if outside.size:
        color = colors[outside].copy()
        color[:, 0] = np.clip(color[:, 0], 0, 1)
        low, high = np.zeros((outside.size, 1), np.float32), np.ones((outside.size, 1), np.float32)
        for _ in range(_GAMUT_STEPS):
            middle = (low + high) / 2
            candidate = linear(np.hstack([color[:, :1], color[:, 1:] * middle]))
            inside = ((candidate >= -1e-4) & (candidate <= 1 + 1e-4)).all(axis=1, keepdims=True)
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        rgb[outside] = linear(np.hstack([color[:, :1], color[:, 1:] * low]))
    return rgb


def linear_from_oklab(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (..., 3) Oklab to linear RGB, outside [0, 1] for colors that sRGB does not have."""
    return np.asarray((lab @ _LMS_FROM_LAB.T) ** 3 @ _RGB_FROM_LMS.T, np.float32)


def _fast_linear_from_oklab(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same for (N, 3), several times faster, and other in the last bits."""
    lms = cv2.transform(np.ascontiguousarray(lab)[:, np.newaxis], _LMS_FROM_LAB)
    return np.asarray(cv2.transform(lms * lms * lms, _RGB_FROM_LMS)[:, 0], np.float32)

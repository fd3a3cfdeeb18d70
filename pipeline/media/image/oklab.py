"""Oklab, a color space in which lightness and color are separate and equal distances look about equal.

Björn Ottosson, "A perceptual color space for image processing" (2020), with the sRGB matrices of his 2021 revision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

from pipeline.media.image.transfer import (
    STEPS,
    encoded,
    linear_from_pixels,
    linear_from_srgb,
    srgb_from_linear,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.types import Pixels

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
_LMS_FROM_COLOR: Final = np.asarray(_LMS_FROM_LAB * np.array([0, 1, 1]), np.float32)

# sRGB's steepest slope, 12.92 at black, moves 0.05 levels per entry: rounding by this table is practically exact.
_LEVEL_OF: Final = np.rint(255.0 * encoded(STEPS)).astype(np.uint8)
_GAMUT_STEPS: Final = 8
"""Halvings of the interval that chroma is searched in: exact to 1/256."""
_GAMUT_MARGIN: Final = 1e-4


def oklab_from_srgb(rgb: Pixels) -> NDArray[np.float32]:
    """uint8 or uint16 (..., 3) sRGB to float32 (..., 3) Oklab.

    Lightness L is in [0, 1]; a and b are about -0.4 to 0.4, and 0 for gray.
    """
    return oklab_from_linear(linear_from_pixels(rgb))


def oklab_from_linear(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (..., 3) linear RGB, not negative, to float32 (..., 3) Oklab."""
    return np.asarray(np.cbrt(light @ LMS_FROM_RGB.T) @ LAB_FROM_LMS.T, np.float32)


def srgb_from_oklab(lab: NDArray[np.float32]) -> NDArray[np.uint8]:
    """float32 (..., 3) Oklab to uint8 (..., 3) sRGB.

    A color outside the sRGB gamut keeps its lightness and hue and loses as much chroma as necessary: clipping the
    channels would change its hue and lightness instead.
    """
    if not lab.size:
        return np.empty(lab.shape, np.uint8)
    rgb = _in_gamut(lab.reshape(-1, 3))
    entries = cv2.addWeighted(rgb, len(_LEVEL_OF) - 1, rgb, 0, 0, dtype=cv2.CV_16U)  # rounded to nearest, and clipped
    return np.asarray(cv2.LUT(entries, _LEVEL_OF), np.uint8).reshape(lab.shape)


def oklab_from_image(image: Pixels | NDArray[np.float32]) -> NDArray[np.float32]:
    """`oklab_from_srgb` for (H, W, 3) sRGB: float32, where what is outside [0, 1] is clipped, uint8 or uint16.

    Other in the last bits, and faster.
    """
    return np.asarray(cv2.transform(_lms_roots(image), LAB_FROM_LMS), np.float32)


def lightness_from_image(image: Pixels | NDArray[np.float32]) -> NDArray[np.float32]:
    """L of `oklab_from_image`, float32 (H, W)."""
    return np.asarray(cv2.transform(_lms_roots(image), LAB_FROM_LMS[:1]), np.float32)


def image_from_oklab(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """`srgb_from_oklab` without rounding: float32 (H, W, 3) sRGB in [0, 1]. Other in the last bits, and faster."""
    rgb = _linear_image(lab)
    outside = _outside(rgb)
    if outside.size:
        rgb.reshape(-1, 3)[outside] = _less_chroma(lab.reshape(-1, 3).take(outside, axis=0))
    return srgb_from_linear(rgb)


def _lms_roots(image: Pixels | NDArray[np.float32]) -> NDArray[np.float32]:
    known: Any = image
    light = linear_from_srgb(known) if image.dtype == np.float32 else linear_from_pixels(known)
    lms = np.asarray(cv2.transform(light, LMS_FROM_RGB), np.float32)
    return np.cbrt(lms, out=lms)


def _outside(rgb: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which pixels of linear RGB (..., 3) are outside the gamut by more than 1e-4."""
    return np.flatnonzero(cv2.inRange(rgb, (-_GAMUT_MARGIN,) * 3, (1 + _GAMUT_MARGIN,) * 3) == 0)


def _in_gamut(colors: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (N, 3) Oklab to linear RGB within 1e-4 of [0, 1], at the same lightness and hue."""
    rgb = linear_from_oklab(colors)
    outside = _outside(rgb[:, np.newaxis])
    if outside.size:
        color = colors[outside].copy()
        color[:, 0] = np.clip(color[:, 0], 0, 1)
        low, high = np.zeros((outside.size, 1), np.float32), np.ones((outside.size, 1), np.float32)
        for _ in range(_GAMUT_STEPS):
            middle = (low + high) / 2
            candidate = linear_from_oklab(np.hstack([color[:, :1], color[:, 1:] * middle]))
            inside = ((candidate >= -_GAMUT_MARGIN) & (candidate <= 1 + _GAMUT_MARGIN)).all(axis=1, keepdims=True)
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        rgb[outside] = linear_from_oklab(np.hstack([color[:, :1], color[:, 1:] * low]))
    return rgb


def _linear_image(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """`linear_from_oklab` of an image (H, W, 3)."""
    lms = np.asarray(cv2.transform(lab, _LMS_FROM_LAB), np.float32)
    return np.asarray(cv2.transform(cv2.pow(lms, 3), _RGB_FROM_LMS), np.float32)


def _less_chroma(colors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The search of `_in_gamut` for colors (N, 3): each channel is a polynomial of third degree in the chroma."""
    color = colors[np.newaxis]  # one row: OpenCV is slow with one column
    light = color[0, :, 0].clip(0, 1)
    lms = np.asarray(cv2.transform(color, _LMS_FROM_COLOR), np.float32)
    powers = (lms, lms * lms, lms * lms * lms)
    second, third, fourth = (np.ascontiguousarray(cv2.transform(power, _RGB_FROM_LMS)[0].T) for power in powers)
    first, second, third = light * light * light, 3 * light * light * second, 3 * light * third
    first -= np.float32(0.5)
    fraction = np.zeros_like(light)
    for step in range(1, _GAMUT_STEPS + 1):
        tried = fraction + np.float32(0.5**step)
        value = fourth * tried
        for part in (third, second):
            value += part
            value *= tried
        value += first
        inside = np.abs(value, out=value).max(axis=0) <= np.float32(0.5 + _GAMUT_MARGIN)
        fraction += np.float32(0.5**step) * inside
    color = color * cv2.cvtColor(fraction[np.newaxis], cv2.COLOR_GRAY2RGB)
    cv2.insertChannel(light[np.newaxis], color, 0)
    return np.asarray(_linear_image(color)[0], np.float32)


def linear_from_oklab(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (..., 3) Oklab to linear RGB, outside [0, 1] for colors that sRGB does not have."""
    return np.asarray((lab @ _LMS_FROM_LAB.T) ** 3 @ _RGB_FROM_LMS.T, np.float32)

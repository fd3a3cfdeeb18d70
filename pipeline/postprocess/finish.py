"""Finishing: pure functions of a stored frame, applied when the video is written. Changing them renders nothing again.

The colors of the photo, sharpness and film grain; and Oklab, the color space in which lightness and color are apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.settings import FinishSettings

# Björn Ottosson, "A perceptual color space for image processing" (2020), with the sRGB matrices of his 2021 revision.
_LMS_FROM_RGB: Final = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
)
_LAB_FROM_LMS: Final = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
)
_RGB_FROM_LMS: Final = np.linalg.inv(_LMS_FROM_RGB.astype(np.float64)).astype(np.float32)
_LMS_FROM_LAB: Final = np.linalg.inv(_LAB_FROM_LMS.astype(np.float64)).astype(np.float32)

_CODES: Final = np.arange(256) / 255.0
_LINEAR: Final = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)
_STEPS: Final = np.linspace(0.0, 1.0, 1 << 16)
# sRGB's steepest slope, 12.92 at black, moves 0.05 codes per entry: rounding by this table is as good as exact.
_CODE_OF: Final = np.rint(
    255.0 * np.where(_STEPS <= 0.0031308, _STEPS * 12.92, 1.055 * _STEPS ** (1 / 2.4) - 0.055)
).astype(np.uint8)

_LUMA: Final = np.array([[0.2126, 0.7152, 0.0722]], np.float32)  # BT.709
_GAMUT_STEPS: Final = 8  # halvings: chroma right to 1/256
_GRAIN_SIGMA_PX: Final = 0.7
_LIGHT_SIGMA: Final = 0.03  # of the longer side: broader than strokes, narrower than sky and ground
_LIGHT_RANGE: Final = (0.2, 2.0)  # of lightness: nothing goes black, and nothing glows
_LIGHT_COLOR: Final = 0.6  # share of the light's color: all of it would wash the painting's palette out


def finish(
    stylized: NDArray[np.uint8], content: NDArray[np.uint8], settings: FinishSettings, *, index: int, seed: int
) -> NDArray[np.uint8]:
    """Finish one stored frame; both pictures and the result are uint8 (H, W, 3) sRGB of one size.

    In this order: the photo's broad light (`settings.match_light`, 0 to 1), the photo's colors
    (`settings.preserve_color`, 0 to 1), sharpening (`settings.sharpen`), grain (`settings.grain`, standard deviation
    where the picture is middle gray, in pixel values of [0, 1]). The result depends on nothing but the arguments;
    `seed` and the frame's `index` choose the grain. With everything 0 it is `stylized` itself. Raises ValueError
    when the sizes differ.
    """
    if stylized.shape != content.shape:
        raise ValueError(f"painted frame {stylized.shape} and photo {content.shape} differ in size")
    if settings.match_light == settings.preserve_color == settings.sharpen == settings.grain == 0:
        return stylized
    if settings.match_light > 0:
        stylized = _in_light_of(stylized, content, settings.match_light)
    if settings.preserve_color > 0:
        stylized = _with_colors_of(stylized, content, settings.preserve_color)
    if settings.sharpen == settings.grain == 0:
        return stylized
    picture = stylized.astype(np.float32) / np.float32(255)
    if settings.sharpen > 0:
        picture = _sharpened(picture, settings.sharpen)
    if settings.grain > 0:
        picture = _grained(picture, settings.grain, np.random.default_rng((seed, index)))
    return np.asarray(np.rint(np.clip(picture, 0, 1) * 255), np.uint8)


def oklab_from_srgb(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (..., 3) sRGB to float32 (..., 3) Oklab: lightness L in [0, 1], a and b about -0.4 to 0.4, 0 for gray."""
    lms = _LINEAR[rgb] @ _LMS_FROM_RGB.T
    return np.asarray(np.cbrt(lms) @ _LAB_FROM_LMS.T, np.float32)


def srgb_from_oklab(lab: NDArray[np.float32]) -> NDArray[np.uint8]:
    """float32 (..., 3) Oklab to uint8 (..., 3) sRGB.

    A color that sRGB does not have keeps lightness and hue and loses as much chroma as it must: clipping the channels
    instead would turn its hue and change its lightness.
    """
    flat = lab.reshape(-1, 3)
    rgb = _linear_from_oklab(flat)
    outside = np.flatnonzero(((rgb < -1e-4) | (rgb > 1 + 1e-4)).any(axis=1))
    if outside.size:
        color = flat[outside].copy()
        color[:, 0] = np.clip(color[:, 0], 0, 1)
        low, high = np.zeros((outside.size, 1), np.float32), np.ones((outside.size, 1), np.float32)
        for _ in range(_GAMUT_STEPS):
            middle = (low + high) / 2
            tried = _linear_from_oklab(np.hstack([color[:, :1], color[:, 1:] * middle]))
            inside = ((tried >= -1e-4) & (tried <= 1 + 1e-4)).all(axis=1, keepdims=True)
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        rgb[outside] = _linear_from_oklab(np.hstack([color[:, :1], color[:, 1:] * low]))
    entries = np.rint(np.clip(rgb, 0, 1) * np.float32(len(_CODE_OF) - 1)).astype(np.uint16)
    return np.asarray(_CODE_OF[entries].reshape(lab.shape), np.uint8)


def _linear_from_oklab(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((lab @ _LMS_FROM_LAB.T) ** 3 @ _RGB_FROM_LMS.T, np.float32)


def _in_light_of(stylized: NDArray[np.uint8], content: NDArray[np.uint8], amount: float) -> NDArray[np.uint8]:
    """The painting with (as far as `amount` says) the photo's low-pass lightness, and part of its low-pass color.

    Lightness is scaled, so that strokes keep their contrast; color is shifted, so that gray paint can take on a hue.
    """
    lab, light = oklab_from_srgb(stylized), oklab_from_srgb(content)
    sigma_px = max(1.0, _LIGHT_SIGMA * max(stylized.shape[:2]))
    broad_lab, broad_light = cv2.GaussianBlur(lab, (0, 0), sigma_px), cv2.GaussianBlur(light, (0, 0), sigma_px)
    # The small constant keeps black on black at a ratio of 1.
    ratio = ((broad_light[..., :1] + 0.03) / (broad_lab[..., :1] + 0.03)) ** np.float32(amount)
    lit = lab * np.clip(ratio, *_LIGHT_RANGE)
    lit[..., 1:] += np.float32(_LIGHT_COLOR * amount) * (broad_light - broad_lab)[..., 1:]
    return srgb_from_oklab(lit)


def _with_colors_of(stylized: NDArray[np.uint8], content: NDArray[np.uint8], amount: float) -> NDArray[np.uint8]:
    """The lightness of the painting with (as far as `amount` says) the chroma of the photo."""
    lab = oklab_from_srgb(stylized)
    lab[..., 1:] += np.float32(amount) * (oklab_from_srgb(content)[..., 1:] - lab[..., 1:])
    return srgb_from_oklab(lab)


def _sharpened(picture: NDArray[np.float32], amount: float) -> NDArray[np.float32]:
    """Unsharp masking of luma alone (colored edges would fringe), with a radius that grows with the picture."""
    luma = cv2.transform(picture, _LUMA)
    sigma_px = max(0.8, max(picture.shape[:2]) / 1000)
    detail = luma - cv2.GaussianBlur(luma, (0, 0), sigma_px)
    return picture + np.float32(amount) * detail[..., np.newaxis]


def _grained(picture: NDArray[np.float32], deviation: float, random: np.random.Generator) -> NDArray[np.float32]:
    """Grain as of film: in luma, a little soft, strongest in the middle tones and none in black and white."""
    noise = random.standard_normal(picture.shape[:2], np.float32)
    kernel = cv2.getGaussianKernel(5, _GRAIN_SIGMA_PX)
    # Smoothing white noise with a separable kernel leaves sum(k^2) of its standard deviation: undone here.
    noise = cv2.sepFilter2D(noise, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT) / np.float32((kernel**2).sum())
    luma = cv2.transform(picture, _LUMA)
    strength = np.float32(4 * deviation) * luma * (1 - luma)
    return picture + (strength * noise)[..., np.newaxis]

"""The effect `grade`: white balance, contrast, curves, saturation, a LUT and a vignette, in this order.

First the light is made neutral, then tones are shaped, then colors: what a later step sees does not depend on how
strongly an earlier color cast was. A LUT is a look, made for a corrected picture. The vignette is last, as a lens would
darken the finished look; grain comes after the grade and is neither colored nor darkened by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial, reduce
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.config.grade import CurveSettings
from pipeline.media.image.bands import in_bands
from pipeline.media.image.oklab import image_from_oklab, oklab_from_image
from pipeline.media.image.transfer import linear_from_srgb, looked_up, srgb_from_linear
from pipeline.postprocess.curve import ENTRIES, curve_table
from pipeline.postprocess.effect import LUMA, FrameContext, in_channels, luma_of, shifted
from pipeline.postprocess.lut import apply_lut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.grade import GradeSettings
    from pipeline.postprocess.lut import Lut

    Image = NDArray[np.float32]

WARMTH: Final = 0.5
"""Stops between red and green, and between green and blue, at the warmest temperature."""
TINT: Final = 0.35
"""Stops between green and the other channels at the largest tint."""
_STEPS: Final = np.linspace(0, 1, ENTRIES, dtype=np.float32)


def grade(image: Image, amount: GradeSettings, context: FrameContext) -> Image:
    """The image graded; each step is left out where its settings are neutral. Raises ValueError if a LUT is missing."""
    steps: list[Callable[[Image], Image]] = []
    tones = _tones(amount.gray_point, amount.temperature, amount.tint, amount.contrast, amount.pivot)
    if tones is not None:
        steps.append(partial(looked_up, tones))
    if amount.curves != CurveSettings():
        steps.append(partial(curves, settings=amount.curves))
    if amount.saturation != 1:
        steps.append(partial(saturation, amount=amount.saturation))
    if amount.lut is not None and amount.lut_amount:
        if context.lut is None:
            raise ValueError(f"the LUT {amount.lut} is not loaded")
        steps.append(partial(_look, lut=context.lut, amount=amount.lut_amount))
    across, down = _distances(*image.shape[:2])

    def graded(band: Image, down: Image) -> Image:
        band = reduce(lambda before, step: step(before), steps, band)
        return vignette(band, amount.vignette, across, down) if amount.vignette else band

    return in_bands(graded, image, down) if steps or amount.vignette else image


@lru_cache(maxsize=4)
def _tones(gray_point: str | None, temperature: float, tint: float, amount: float, pivot: float) -> Image | None:
    """White balance and contrast as a table, (65536,) or (65536, 3); None if both are neutral."""
    tones = _STEPS
    if gray_point is not None or temperature or tint:
        tones = white_balance(tones[:, np.newaxis], channel_gains(gray_point, temperature, tint))
    if amount != 1:
        tones = contrast(tones, amount, pivot)
    return None if tones is _STEPS else tones


def channel_gains(gray_point: str | None, temperature: float, tint: float) -> NDArray[np.float64]:
    """Gains of linear R, G, B, (3,), that keep the luminance of gray; `gray_point` is like "#8a8f99"."""
    stops = np.array(
        [WARMTH * temperature + TINT * tint / 2, -TINT * tint / 2, -WARMTH * temperature + TINT * tint / 2]
    )
    gains = 2.0**stops
    if gray_point is not None:
        levels = np.array([[int(gray_point[at : at + 2], 16) for at in (1, 3, 5)]], np.float32) / 255
        # Half a level keeps the gains of black, which has no color, finite.
        linear = np.asarray(linear_from_srgb(np.maximum(levels, np.float32(0.5 / 255)))[0], np.float64)
        gains = gains * linear.mean() / linear
    return np.asarray(gains / (LUMA[0] @ gains), np.float64)


def white_balance(values: Image, gains: NDArray[np.float64]) -> Image:
    """Values in [0, 1], (..., 3) or (..., 1), with three channels scaled in linear light (von Kries, in sRGB)."""
    return srgb_from_linear(linear_from_srgb(values) * gains.astype(np.float32))


def contrast(values: Image, amount: float, pivot: float) -> Image:
    """Values in [0, 1] with a slope of `amount` at the pivot, which keeps its value.

    Above 1 the odds x / (1 - x) are raised to this power relative to those of the pivot: black and white stay, and
    nothing clips. Below 1 the distance to the pivot is scaled, which makes black lighter, as faded prints are.
    """
    x = np.clip(values, 0, 1)
    if amount < 1:
        x -= np.float32(pivot)
        x *= np.float32(amount)
        x += np.float32(pivot)
        return x
    light = np.asarray(cv2.pow(x / np.float32(pivot), amount), np.float32)
    shade = np.asarray(cv2.pow((1 - x) / np.float32(1 - pivot), amount), np.float32)
    light *= np.float32(pivot)
    shade *= np.float32(1 - pivot)
    shade += light
    light /= shade
    return light


def curves(image: Image, settings: CurveSettings) -> Image:
    """The image with its luma, then its channels, by curves; that of luma shifts all channels alike, so hues stay."""
    if settings.luma:
        luma = luma_of(image)
        image = shifted(image, looked_up(curve_table(settings.luma), luma) - luma)
    for position, points in enumerate((settings.red, settings.green, settings.blue)):
        if points:
            image = image.copy()
            channel = np.asarray(cv2.extractChannel(image, position), np.float32)
            cv2.insertChannel(looked_up(curve_table(points), channel), image, position)
    return image


def saturation(image: Image, amount: float) -> Image:
    """The image with its chroma in Oklab scaled; colors that sRGB does not have keep lightness and hue."""
    return image_from_oklab(
        np.asarray(cv2.transform(oklab_from_image(image), np.diag([1, amount, amount])), np.float32)
    )


def _look(image: Image, lut: Lut, amount: float) -> Image:
    return np.asarray(cv2.addWeighted(image, 1 - amount, apply_lut(image, lut), amount, 0), np.float32)


def _distances(height: int, width: int) -> tuple[Image, Image]:
    """How far the columns (W,) and the rows (H,) of an image are from its center, in halves of its diagonal."""
    diagonal = np.float32(math.hypot(width, height))
    across, down = (np.linspace(-1, 1, side, dtype=np.float32) * (side / diagonal) for side in (width, height))
    return across, down


def vignette(image: Image, amount: float, across: Image, down: Image) -> Image:
    """The image (H, W, 3) darkened by `amount` r^3 at the distance r from the center, 1 in the corners.

    `across` (W,) and `down` (H,) are the distances of its columns and rows, in halves of the diagonal.
    """
    squared = across * across + (down * down)[:, np.newaxis]
    squared *= np.float32(amount) * np.sqrt(squared)
    result = in_channels(1 - squared)
    result *= image
    return result

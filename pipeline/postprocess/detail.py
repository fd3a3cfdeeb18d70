"""The effects `sharpen`, unsharp masking, and `detail`, which brings back detail of the content.

`detail` works on luma. The content and the image are split into bands by guided filters of growing radius (He, Sun and
Tang, "Guided image filtering", 2013), each guided by its own input, so that strong edges stay in the base. Where the
content has detail in a band, by its energy e in a small neighborhood, it replaces that of the image; where it is
smooth, as a sky is, strokes stay. With the amount m and the details d_C of the content and d_S of the image,

    S' = S + w (m d_C - min(m, 1) d_S),   w = m^2 e / (m^2 e + QUIET^2)

An edge that the image has is so not drawn twice, which would be a halo. The choice by energy is that of Burt and
Kolczynski, "Enhanced image capture through fusion" (1993), without the energy of the image: strong strokes would win
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.media.image.bands import in_bands
from pipeline.media.image.depth import as_float
from pipeline.postprocess.effect import FrameContext, luma_of, shifted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.finish import DetailSettings

    Image = NDArray[np.float32]

RADII: Final = {"fine": 0.0015, "medium": 0.006, "coarse": 0.024}
"""Radius of the window of each guided filter, of the longer side."""
SMOOTH: Final = 0.2
"""Standard deviation of luma in a window that is half smoothed: most texture is detail, the largest edges are not."""
SMALL_RADIUS_PX: Final = 4
"""Radius of the windows in the smaller copies in which larger ones are worked on."""
QUIET: Final = 0.02
"""Deviation of luma of a band at which the content prevails by half: the noise of a clear sky does not replace strokes.
Chosen by eye, as SMOOTH."""


def sharpen(image: Image, amount: float, context: FrameContext) -> Image:  # noqa: ARG001 - all effects are called alike
    """Unsharp masking of luma alone (colored edges would fringe), with a radius that grows with the frame."""
    luma = luma_of(image)
    sigma_px = max(0.8, max(image.shape[:2]) / 1000)
    detail = luma - cv2.GaussianBlur(luma, (0, 0), sigma_px)
    return shifted(image, np.float32(amount) * detail)


def fuse_detail(image: Image, amount: DetailSettings, context: FrameContext) -> Image:
    """The image with detail of the content, by the amounts of the settings."""
    luma, content = luma_of(image), in_bands(lambda band: luma_of(as_float(band)), context.content)
    shift = np.zeros_like(luma)
    strengths = [getattr(amount, name) for name in RADII]
    while strengths and not strengths[-1]:  # coarser bands are not needed
        strengths.pop()
    for strength, fraction in zip(strengths, RADII.values(), strict=False):
        radius_px = max(1, round(fraction * max(luma.shape)))
        own, other = (_by_windows(_detail, base, radius_px, windows=2) for base in (luma, content))
        luma -= own
        content -= other
        if strength:
            energy = _by_windows(_energy, other, 2 * radius_px)
            shift += in_bands(partial(_change, strength=strength), own, other, energy)
    return shifted(image, shift)


def _detail(luma: Image, radius_px: int) -> Image:
    """What the guided filter of luma (H, W) by itself takes away.

    With the mean m and the variance v in a window the filter makes a x + (1 - a) m of luma x, a = v / (v + SMOOTH^2),
    with the coefficients averaged over all windows around a pixel: what it takes away is (1 - a) x - (1 - a) m. Those
    of large windows are found in a smaller copy: He and Sun, "Fast guided filter" (2015).
    """
    small, small_px = _reduced(luma, radius_px)
    mean, squares = _mean(small, small_px), small * small
    factor = _mean(squares, small_px)
    factor -= np.multiply(mean, mean, out=squares)
    factor += np.float32(SMOOTH**2)
    np.divide(np.float32(SMOOTH**2), factor, out=factor)  # now 1 - a
    mean *= factor
    detail = _enlarged(_mean(factor, small_px), luma)
    detail *= luma
    detail -= _enlarged(_mean(mean, small_px), luma)
    return detail


def _energy(detail: Image, radius_px: int) -> Image:
    """The mean square of detail (H, W) over windows."""
    small, small_px = _reduced(detail * detail, radius_px)
    return _enlarged(_mean(small, small_px), detail)


def _change(own: Image, other: Image, energy: Image, strength: float) -> Image:
    """What is added to luma (H, W) for its own detail and the other one, that of the content, with its energy."""
    change = np.asarray(cv2.addWeighted(other, strength, own, -min(strength, 1), 0), np.float32)
    change *= energy
    change /= energy + np.float32((QUIET / strength) ** 2)
    return change


def _by_windows(function: Callable[[Image, int], Image], image: Image, radius_px: int, windows: int = 1) -> Image:
    """`function` of an image and a radius, which takes so many means over windows one after the other.

    It is called for bands where the windows are small enough for the image itself, and else makes a smaller copy.
    """
    if _ratio(radius_px) > 1:
        return function(image, radius_px)
    return in_bands(lambda band: function(band, radius_px), image, halo=windows * radius_px)


def _ratio(radius_px: int) -> int:
    """How many times smaller the copy is in which windows of a radius are worked on."""
    return max(1, radius_px // SMALL_RADIUS_PX)


def _reduced(image: Image, radius_px: int) -> tuple[Image, int]:
    """A smaller copy of an image, in which the radius of a window is about `SMALL_RADIUS_PX`, and that radius."""
    ratio = _ratio(radius_px)
    if ratio == 1:
        return image, radius_px
    height, width = image.shape
    size = -(-width // ratio), -(-height // ratio)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32), round(radius_px / ratio)


def _enlarged(image: Image, like: Image) -> Image:
    """A smaller copy, back at the size of `like`; not a new array if it has that size."""
    if image.shape == like.shape:
        return image
    return np.asarray(cv2.resize(image, like.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _mean(image: Image, radius_px: int) -> Image:
    """Mean over square windows; the image is continued by its mirror image."""
    kernel = np.full(2 * radius_px + 1, 1 / (2 * radius_px + 1), np.float32)
    return np.asarray(cv2.sepFilter2D(image, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT), np.float32)

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

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.media.image.bands import in_bands
from pipeline.media.image.depth import as_float
from pipeline.postprocess.effect import FrameContext, luma_of, shifted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.finish import DetailSettings

RADII: Final = {"fine": 0.0015, "medium": 0.006, "coarse": 0.024}
"""Radius of the window of each guided filter, of the longer side."""
SMOOTH: Final = 0.2
"""Standard deviation of luma in a window that is half smoothed: most texture is detail, the largest edges are not."""
SMALL_RADIUS_PX: Final = 4
"""Radius of the windows in the smaller copies in which larger ones are worked on."""
QUIET: Final = 0.02
"""Deviation of luma of a band at which the content prevails by half: the noise of a clear sky does not replace strokes.
Chosen by eye, as SMOOTH."""


def sharpen(image: NDArray[np.float32], amount: float, context: FrameContext) -> NDArray[np.float32]:  # noqa: ARG001 - all effects are called alike
    """Unsharp masking of luma alone (colored edges would fringe), with a radius that grows with the frame."""
    luma = luma_of(image)
    sigma_px = max(0.8, max(image.shape[:2]) / 1000)
    detail = luma - cv2.GaussianBlur(luma, (0, 0), sigma_px)
    return shifted(image, np.float32(amount) * detail)


def fuse_detail(image: NDArray[np.float32], amount: DetailSettings, context: FrameContext) -> NDArray[np.float32]:
    """The image with detail of the content, by the amounts of the settings."""
    luma, content = luma_of(image), in_bands(lambda band: luma_of(as_float(band)), context.content)
    shift = np.zeros_like(luma)
    strengths = [getattr(amount, name) for name in RADII]
    while strengths and not strengths[-1]:  # coarser bands are not needed
        strengths.pop()
    for strength, fraction in zip(strengths, RADII.values(), strict=False):
        radius_px = max(1, round(fraction * max(luma.shape)))
        base, content_base = _smoothed(luma, radius_px), _smoothed(content, radius_px)
        if strength:
            own, other = np.subtract(luma, base, out=luma), np.subtract(content, content_base, out=content)
            other *= np.float32(strength)
            weight = _energy(other, 2 * radius_px)
            weight /= weight + np.float32(QUIET**2)
            own *= np.float32(min(strength, 1))
            other -= own
            other *= weight
            shift += other
        luma, content = base, content_base
    return shifted(image, shift)


def _smoothed(luma: NDArray[np.float32], radius_px: int) -> NDArray[np.float32]:
    """The guided filter of luma (H, W) by itself.

    The coefficients of large windows are found in a smaller copy: He and Sun, "Fast guided filter" (2015).
    """
    small, small_px = _reduced(luma, radius_px)
    mean = _mean(small, small_px)
    slope = _mean(small * small, small_px)
    slope -= mean * mean
    np.maximum(slope, 0, out=slope)  # now the variance
    slope /= slope + np.float32(SMOOTH**2)
    mean -= slope * mean
    smoothed = _enlarged(_mean(slope, small_px), luma)
    smoothed *= luma
    smoothed += _enlarged(_mean(mean, small_px), luma)
    return smoothed


def _energy(detail: NDArray[np.float32], radius_px: int) -> NDArray[np.float32]:
    """The mean square of detail (H, W) over windows."""
    small, small_px = _reduced(detail * detail, radius_px)
    return _enlarged(_mean(small, small_px), detail)


def _reduced(image: NDArray[np.float32], radius_px: int) -> tuple[NDArray[np.float32], int]:
    """A smaller copy of an image (H, W), in which the radius of a window has `SMALL_RADIUS_PX`, and that radius."""
    ratio = max(1, radius_px // SMALL_RADIUS_PX)
    if ratio == 1:
        return image, radius_px
    height, width = image.shape
    size = -(-width // ratio), -(-height // ratio)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32), round(radius_px / ratio)


def _enlarged(image: NDArray[np.float32], like: NDArray[np.float32]) -> NDArray[np.float32]:
    """A smaller copy, back at the size of `like`; not a new array if it has that size."""
    if image.shape == like.shape:
        return image
    return np.asarray(cv2.resize(image, like.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _mean(image: NDArray[np.float32], radius_px: int) -> NDArray[np.float32]:
    """Mean over square windows; the image is continued by its mirror image."""
    side_px = 2 * radius_px + 1
    return np.asarray(cv2.blur(image, (side_px, side_px), borderType=cv2.BORDER_REFLECT), np.float32)

"""Whether the camera is static, and whether anything at all moves: decided from two frames alone.

In front of a static camera everything that has structure stays in place. So the frame is divided into tiles, each tile
with structure in both directions gets the displacement that explains its change best (Lucas and Kanade 1981, "An
iterative image registration technique"; one step, because only displacements near zero matter), and tiles that are
displaced by no more than a few hundredths of a pixel are static. Camera noise averages out over a tile, and changing
light is removed first: neither is motion.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.motion.consistency import positions

Luma = NDArray[np.uint8]
Plane = NDArray[np.float32]

QUICK_SIDE_PX = 320
"""`is_static` halves frames until their longer side is at most this."""

TILES_ACROSS = 13
"""Tiles along the longer side."""

STRUCTURE = 0.5
"""A tile can be located if the smaller eigenvalue of its mean gradient tensor reaches so many (levels / px)^2."""

STATIC_PX = 0.06
"""A static tile is displaced by less. With noise of 8 levels 3 of 4 tiles are, in a pan by 0.12 px none."""

DRIFT_PX = 0.02
"""The median displacement of static tiles is smaller: noise has no common direction, a slow pan has one."""

CAMERA_STATIC_FRACTION, STATIC_FRACTION = 0.3, 0.6
"""Fraction of the structured tiles that must be static: for a static camera, and for a frame in which nothing moves."""

CHANGED_RATIO, CHANGED_CONTRAST, CHANGED_LEVELS2 = 10.0, 0.002, 2.0
"""A pixel has changed if the mean squared difference around it exceeds so many times the median, which is noise, plus
this fraction of the local contrast, which changing light scales, plus so many squared levels."""

CHANGED_FRACTION = 0.005
"""Half a percent of a static frame may change: that is a bird, not an object that must be warped along its motion."""

LIGHT_WIDTH = 0.1
"""Differences wider than a tenth of the longer side are changes of light."""

BLUR_PX, WINDOW_PX = 1.0, 7

OBJECT_PX, OBJECT_GAIN = 25, 2.0
"""A small window moves if its flow explains it better than no motion, by this factor."""

AREA_PX, AREA_GAIN = 65, 1.2
"""So does a large window by its mean flow: that finds faint clouds, while noise has no mean motion."""

EXPLAIN_BLUR_PX, EXPLAIN_LEVELS2 = 1.5, 0.02
"""Both are compared on slightly blurred luma, and must differ by at least so many squared levels."""


def is_static(previous: NDArray[np.uint8], current: NDArray[np.uint8]) -> bool:
    """Whether the camera is static and nothing moves between two frames, so that stylized pixels can stay in place.

    The frames are uint8 (H, W, 3) sRGB of one size; ValueError otherwise. Decided on small luma within some
    milliseconds, and from the two frames alone. Noise and changing light count as static. A cut, a camera that moves by
    more than about 1/10000 of the longer side (0.12 px at 1280), and anything that changes more than half a percent of
    the frame do not, whether or not a flow could follow it.
    """
    if previous.shape != current.shape or previous.ndim != 3 or previous.shape[2] != 3:
        raise ValueError(f"two frames of one size (H, W, 3) expected, not {previous.shape} and {current.shape}")
    before, after = (halved(luma_of(frame), QUICK_SIDE_PX) for frame in (previous, current))
    return static_fraction(before, after) >= STATIC_FRACTION and _changed_fraction(before, after) <= CHANGED_FRACTION


def camera_is_static(before: Luma, after: Luma) -> bool:
    """Whether the camera is static between two frames, uint8 (H, W) luma, though parts of the scene may move."""
    return static_fraction(before, after) >= CAMERA_STATIC_FRACTION


def zero_where_static(flow: Plane, target: Luma, start: Luma) -> Plane:
    """The flow (H, W, 2) from `start` to `target`, exactly zero where it explains them no better than no motion."""
    common = np.asarray(cv2.blur(flow, (AREA_PX, AREA_PX)), np.float32)
    zero = np.zeros_like(flow)
    # Blurred first: interpolation between pixels averages noise, which would look like a better fit.
    there, here = (cv2.GaussianBlur(luma.astype(np.float32), (0, 0), EXPLAIN_BLUR_PX) for luma in (target, start))

    def misfit(motion: NDArray[np.float32], window_px: int) -> NDArray[np.float32]:
        moved = cv2.remap(there, *positions(motion), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.blur(np.square(moved - here), (window_px, window_px)), np.float32)

    objects_static = misfit(zero, OBJECT_PX) <= misfit(flow, OBJECT_PX) * OBJECT_GAIN + EXPLAIN_LEVELS2
    areas_static = misfit(zero, AREA_PX) <= misfit(common, AREA_PX) * AREA_GAIN + EXPLAIN_LEVELS2
    return np.where((objects_static & areas_static)[..., None], np.float32(0), flow)


def static_fraction(before: Luma, after: Luma) -> float:
    """Fraction of the structured tiles that stay in place, in [0, 1]; 1 if no tile has structure."""
    first, second = _without_light(before, after)
    middle, change = (first + second) / 2, second - first
    across = cv2.Sobel(middle, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(middle, cv2.CV_32F, 0, 1, scale=1 / 8)
    xx, xy, yy = (_tile_means(product) for product in (across * across, across * down, down * down))
    xt, yt, tt = (_tile_means(product * change) for product in (across, down, change))
    power = _tile_means(middle * middle)
    smaller = (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)
    structured = smaller > STRUCTURE
    if not structured.any():
        return 1.0
    determinant = np.where(structured, xx * yy - xy * xy, 1)
    u, v = (xy * yt - yy * xt) / determinant, (xy * xt - xx * yt) / determinant
    # A tile that has changed by half of its own contrast shows something else, whatever its displacement.
    static = structured & (np.hypot(u, v) < STATIC_PX) & (tt < power / 2)
    if static.any() and np.hypot(np.median(u[static]), np.median(v[static])) > DRIFT_PX:
        return 0.0
    return float(static.sum() / structured.sum())


def _changed_fraction(before: Luma, after: Luma) -> float:
    """Fraction of the pixels that have changed by more than noise and light explain, in [0, 1]."""
    first, second = _without_light(before, after)
    window = (WINDOW_PX, WINDOW_PX)
    change = cv2.blur(np.square(second - first), window)
    contrast = cv2.blur(np.square((first + second) / 2), window)
    explained = CHANGED_RATIO * np.median(change) + CHANGED_CONTRAST * contrast + CHANGED_LEVELS2
    return float((change > explained).mean())


def _without_light(before: Luma, after: Luma) -> tuple[Plane, Plane]:
    """Both frames less their local mean, with the same contrast, slightly blurred: float32 (H, W), in levels."""
    width = max(3, round(LIGHT_WIDTH * max(before.shape)))
    centered = []
    for luma in (before, after):
        smooth = np.asarray(cv2.GaussianBlur(luma.astype(np.float32), (0, 0), BLUR_PX), np.float32)
        centered.append(smooth - np.asarray(cv2.blur(smooth, (width, width)), np.float32))
    contrasts = [float(np.sqrt(np.square(plane).mean())) + 0.5 for plane in centered]
    common = float(np.sqrt(contrasts[0] * contrasts[1]))
    first, second = (plane * np.float32(common / contrast) for plane, contrast in zip(centered, contrasts, strict=True))
    return first, second


def _tile_means(plane: NDArray[Any]) -> NDArray[np.float64]:
    """Means of a plane (H, W) over its tiles, (rows, columns)."""
    side_px = ceil(max(plane.shape) / TILES_ACROSS)
    rows, columns = (max(1, round(length / side_px)) for length in plane.shape)
    return np.asarray(cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_AREA), np.float64)


def luma_of(frame: NDArray[np.uint8]) -> Luma:
    """Luma uint8 (H, W) of a frame uint8 (H, W, 3) sRGB."""
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def halved(image: NDArray[np.uint8], max_side_px: int) -> NDArray[np.uint8]:
    """The image (H, W, ...), halved until its longer side is at most `max_side_px`; half pixels are rounded up."""
    while max(image.shape[:2]) > max_side_px:
        height, width = image.shape[:2]
        half = ((width + 1) // 2, (height + 1) // 2)
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
    return image

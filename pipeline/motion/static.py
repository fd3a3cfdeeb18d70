"""Whether the camera stands on a tripod, and whether anything at all moves: decided from two pictures alone.

A tripod holds what has structure. So the picture is cut into tiles, each tile with structure in both directions gets
the displacement that explains its change best (Lucas and Kanade 1981, "An iterative image registration technique"; one
step, since only rest matters), and tiles that stay in place to a few hundredths of a pixel are held. Camera noise
averages out over a tile, and changing light is taken away before: neither is motion.
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
"""`is_static` halves pictures until their longer side is at most this."""

TILES_ACROSS = 13
"""Tiles along the longer side."""

STRUCTURE = 0.5
"""A tile can be located if the smaller eigenvalue of its mean gradient tensor reaches so many (levels / px)^2."""

STATIC_PX = 0.06
"""A held tile is displaced by less. With noise of 8 levels 3 of 4 tiles are, in a pan by 0.12 px none."""

DRIFT_PX = 0.02
"""And held tiles have no common direction, or a slow pan would be called rest: noise points everywhere."""

CAMERA_STATIC_FRACTION, STATIC_FRACTION = 0.3, 0.6
"""The camera rests if so much of the structure is held; in a picture in which nothing moves it is at least so much."""

CHANGED_RATIO, CHANGED_CONTRAST, CHANGED_LEVELS2 = 10.0, 0.002, 2.0
"""A place has changed if its mean squared difference exceeds so many times the median, which is noise, plus so much of
the place's own contrast, because local light scales it, plus so many squared levels."""

CHANGED_FRACTION = 0.005
"""Half a percent of the picture may change: that is a bird, not an object whose paint must be carried along."""

LIGHT_PX = 0.1
"""Differences wider than a tenth of the longer side are light."""

BLUR_PX, WINDOW_PX = 1.0, 7

OBJECT_PX, OBJECT_GAIN = 25, 2.0
"""A small window moves if its motion explains it better than rest, by this factor."""

AREA_PX, AREA_GAIN = 65, 1.2
"""So does a large one by its mean motion: that finds faint clouds, while noise has no mean motion."""

EXPLAIN_BLUR_PX, EXPLAIN_LEVELS2 = 1.5, 0.02
"""Both are judged on slightly blurred luma, and by at least so many squared levels."""


def is_static(previous: NDArray[np.uint8], current: NDArray[np.uint8]) -> bool:
    """Whether the camera stands still and nothing moves between two frames, so that the paint can stay where it is.

    The frames are uint8 (H, W, 3) sRGB of one size. A quick look on small luma, some milliseconds; it depends on
    nothing but the two pictures. Noise and changing light are rest. Not rest are a cut, a camera that moves by more
    than about 1/10000 of the longer side (0.12 px at 1280), and anything that changes more than half a percent of the
    picture, may it be followed or not: whoever wants to know must compute the flow.
    """
    if previous.shape != current.shape or previous.ndim != 3 or previous.shape[2] != 3:
        raise ValueError(f"two frames of one size (H, W, 3) expected, not {previous.shape} and {current.shape}")
    before, after = (halved(luma_of(frame), QUICK_SIDE_PX) for frame in (previous, current))
    return static_fraction(before, after) >= STATIC_FRACTION and _changed_fraction(before, after) <= CHANGED_FRACTION


def camera_is_static(before: Luma, after: Luma) -> bool:
    """Whether the camera stands still between two pictures, uint8 (H, W) luma, though parts of the scene may move."""
    return static_fraction(before, after) >= CAMERA_STATIC_FRACTION


def zero_where_static(flow: Plane, goal: Luma, start: Luma) -> Plane:
    """The flow (H, W, 2) from `start` to `goal`, exactly zero where it explains the picture no better than rest."""
    common = np.asarray(cv2.blur(flow, (AREA_PX, AREA_PX)), np.float32)
    rest = np.zeros_like(flow)
    # Blurred first: interpolation between pixels averages noise, which would look like an explanation.
    there, here = (cv2.GaussianBlur(luma.astype(np.float32), (0, 0), EXPLAIN_BLUR_PX) for luma in (goal, start))

    def misfit(motion: NDArray[np.float32], window_px: int) -> NDArray[np.float32]:
        moved = cv2.remap(there, *positions(motion), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.blur(np.square(moved - here), (window_px, window_px)), np.float32)

    objects_rest = misfit(rest, OBJECT_PX) <= misfit(flow, OBJECT_PX) * OBJECT_GAIN + EXPLAIN_LEVELS2
    areas_rest = misfit(rest, AREA_PX) <= misfit(common, AREA_PX) * AREA_GAIN + EXPLAIN_LEVELS2
    return np.where((objects_rest & areas_rest)[..., None], np.float32(0), flow)


def static_fraction(before: Luma, after: Luma) -> float:
    """How much of the structure of a picture stays in place, in [0, 1]; 1 where there is no structure to see it by."""
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
    # What has changed by half of its own contrast is not the same thing in the same place.
    held = structured & (np.hypot(u, v) < STATIC_PX) & (tt < power / 2)
    if held.any() and np.hypot(np.median(u[held]), np.median(v[held])) > DRIFT_PX:
        return 0.0
    return float(held.sum() / structured.sum())


def _changed_fraction(before: Luma, after: Luma) -> float:
    """How much of the picture has changed by more than its noise and its light explain, in [0, 1]."""
    first, second = _without_light(before, after)
    window = (WINDOW_PX, WINDOW_PX)
    change = cv2.blur(np.square(second - first), window)
    contrast = cv2.blur(np.square((first + second) / 2), window)
    explained = CHANGED_RATIO * np.median(change) + CHANGED_CONTRAST * contrast + CHANGED_LEVELS2
    return float((change > explained).mean())


def _without_light(before: Luma, after: Luma) -> tuple[Plane, Plane]:
    """Both pictures around their local mean, with the same contrast, slightly blurred: float32 (H, W), in levels."""
    width = max(3, round(LIGHT_PX * max(before.shape)))
    flat = []
    for luma in (before, after):
        smooth = np.asarray(cv2.GaussianBlur(luma.astype(np.float32), (0, 0), BLUR_PX), np.float32)
        flat.append(smooth - np.asarray(cv2.blur(smooth, (width, width)), np.float32))
    contrasts = [float(np.sqrt(np.square(picture).mean())) + 0.5 for picture in flat]
    common = float(np.sqrt(contrasts[0] * contrasts[1]))
    first, second = (picture * np.float32(common / contrast) for picture, contrast in zip(flat, contrasts, strict=True))
    return first, second


def _tile_means(plane: NDArray[Any]) -> NDArray[np.float64]:
    side_px = ceil(max(plane.shape) / TILES_ACROSS)
    rows, columns = (max(1, round(length / side_px)) for length in plane.shape)
    return np.asarray(cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_AREA), np.float64)


def luma_of(frame: NDArray[np.uint8]) -> Luma:
    """Luma uint8 (H, W) of a frame uint8 (H, W, 3) sRGB."""
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def halved(picture: NDArray[np.uint8], max_side_px: int) -> NDArray[np.uint8]:
    """The picture (H, W, ...) at half size, again and again, until its longer side is at most `max_side_px`."""
    while max(picture.shape[:2]) > max_side_px:
        height, width = picture.shape[:2]
        half = ((width + 1) // 2, (height + 1) // 2)
        picture = np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_AREA), np.uint8)
    return picture

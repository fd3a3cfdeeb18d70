"""Dense inverse search both ways (Kroeger et al. 2016, arXiv:1603.03590), and whether anything moves at all."""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.flow.consistency import consistent, positions, reliability
from pipeline.types import Motion

Preset = Literal["ultrafast", "fast", "medium"]
PRESETS: dict[str, int] = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}

MAX_SIDE_PX = 1280
"""Frames longer than this are halved before the search."""

SMALLEST_SIDE_PX = 16
"""The search refuses pictures whose longer side is below 12 px."""

STILL_PX, DRIFT_PX = 0.1, 0.03
"""A camera on a tripod: the median of the trusted motions' lengths, and the length of their median, stay below these.

Noise of 1 to 8 levels makes a median length of 0.02 to 0.07 px, in all directions; a slow pan has one direction.
"""

STATIC_PX = 0.25
"""A static pair of frames: 95 percent of the trusted pixels move less than this."""

SPARSE = 4
"""A median over every fourth row and column is as good as over all."""

OBJECT_PX, OBJECT_GAIN = 25, 2.0
"""A small window moves if its motion explains it better than rest, by this factor."""

AREA_PX, AREA_GAIN = 65, 1.2
"""So does a large one by its mean motion: that finds faint clouds, while noise has no mean motion."""

BLUR_PX, LEVELS2 = 1.5, 0.02
"""Both are judged on slightly blurred luma, and by at least so many squared levels."""


def estimate_motion(
    previous: NDArray[np.uint8],
    current: NDArray[np.uint8],
    *,
    from_index: int,
    to_index: int,
    preset: Preset = "medium",
    max_side_px: int = MAX_SIDE_PX,
) -> Motion:
    """How the picture moved between two frames, uint8 (H, W, 3) sRGB of the same size; flow in px of that size.

    The search runs on luma, at half resolution (repeatedly) while the longer side exceeds `max_side_px`. The result
    depends on nothing but the arguments: the search cuts its work into the same stripes however many threads there are.

    Where the camera stands still, everything that resting explains as well as moving is given exactly no motion: in
    flat areas the search follows the noise, and the paint would swim along.
    """
    if previous.shape != current.shape or previous.ndim != 3 or previous.shape[2] != 3:
        raise ValueError(f"two frames of one size (H, W, 3) expected, not {previous.shape} and {current.shape}")
    if preset not in get_args(Preset):
        raise ValueError(f"unknown preset {preset!r}, expected one of {', '.join(get_args(Preset))}")
    before, after = (_shrunk(_luma(frame), max_side_px) for frame in (previous, current))
    backward = _search(after, before, preset)
    forward = _search(before, after, preset)
    if _camera_rests(backward, consistent(backward, forward)):
        backward = _at_rest_where_nothing_moves(backward, before, after)
        forward = _at_rest_where_nothing_moves(forward, after, before)
    backward, forward = (_enlarged(flow, *current.shape[:2]) for flow in (backward, forward))
    return Motion(from_index, to_index, backward, reliability(backward, forward))


def is_static(motion: Motion) -> bool:
    """Whether nothing moves: 95 percent of the trusted pixels by less than a quarter of a pixel, and not all one way.

    False where less than half of the picture can be trusted: a cut is not a tripod shot.
    """
    trusted = motion.reliability > 0.5
    if trusted.mean() < 0.5:
        return False
    vectors = motion.backward_flow[trusted]
    longest = np.percentile(np.hypot(vectors[:, 0], vectors[:, 1]), 95)
    return bool(longest < STATIC_PX and _drift_px(vectors) < DRIFT_PX)


def _search(start: NDArray[np.uint8], goal: NDArray[np.uint8], preset: Preset) -> NDArray[np.float32]:
    """Flow from `start` to `goal`, both (H, W) luma, in px. A new searcher each time, so threads share nothing."""
    height, width = start.shape
    missing = (0, max(0, SMALLEST_SIDE_PX - height), 0, max(0, SMALLEST_SIDE_PX - width))
    padded = [cv2.copyMakeBorder(luma, *missing, cv2.BORDER_REPLICATE) for luma in (start, goal)]
    flow: NDArray[np.float32] = cv2.DISOpticalFlow.create(PRESETS[preset]).calc(*padded, None)  # type: ignore[call-overload]
    return np.ascontiguousarray(flow[:height, :width])


def _luma(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def _shrunk(luma: NDArray[np.uint8], max_side_px: int) -> NDArray[np.uint8]:
    while max(luma.shape) > max(max_side_px, SMALLEST_SIDE_PX):
        height, width = luma.shape
        half = ((width + 1) // 2, (height + 1) // 2)
        luma = np.asarray(cv2.resize(luma, half, interpolation=cv2.INTER_AREA), np.uint8)
    return luma


def _enlarged(flow: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """The flow of a shrunk frame for the frame itself: resampled, and its displacements scaled axis by axis."""
    if flow.shape[:2] == (height, width):
        return flow
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    larger: NDArray[np.float32] = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * scale
    return larger


def _camera_rests(flow: NDArray[np.float32], trusted: NDArray[np.bool_]) -> bool:
    if trusted.mean() < 0.5:
        return False
    vectors = flow[::SPARSE, ::SPARSE][trusted[::SPARSE, ::SPARSE]]
    return bool(np.median(np.hypot(vectors[:, 0], vectors[:, 1])) < STILL_PX and _drift_px(vectors) < DRIFT_PX)


def _drift_px(vectors: NDArray[np.float32]) -> float:
    """Length of the median of motion vectors (n, 2): noise points everywhere, a camera one way."""
    return float(np.hypot(np.median(vectors[:, 0]), np.median(vectors[:, 1])))


def _at_rest_where_nothing_moves(
    flow: NDArray[np.float32], goal: NDArray[np.uint8], start: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """The flow from `start` to `goal`, exactly zero where it explains the picture no better than rest."""
    common = np.asarray(cv2.blur(flow, (AREA_PX, AREA_PX)), np.float32)
    rest = np.zeros_like(flow)
    # Blurred first: interpolation between pixels averages noise, which would look like an explanation.
    there, here = (cv2.GaussianBlur(luma.astype(np.float32), (0, 0), BLUR_PX) for luma in (goal, start))

    def misfit(motion: NDArray[np.float32], window_px: int) -> NDArray[np.float32]:
        moved = cv2.remap(there, *positions(motion), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.blur(np.square(moved - here), (window_px, window_px)), np.float32)

    objects_rest = misfit(rest, OBJECT_PX) <= misfit(flow, OBJECT_PX) * OBJECT_GAIN + LEVELS2
    areas_rest = misfit(rest, AREA_PX) <= misfit(common, AREA_PX) * AREA_GAIN + LEVELS2
    return np.where((objects_rest & areas_rest)[..., None], np.float32(0), flow)

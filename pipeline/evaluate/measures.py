"""The measures: short pure functions of pictures, uint8 (H, W, 3) sRGB.

Motion is measured on the photographed frames with Farneback's method (2003, "Two-frame motion estimation based on
polynomial expansion"), which no render moves its paint along. Its solver has a constant that pulls faint structure
towards rest: clouds that drift 4 px per frame came out at 0.2 px, and a frozen sky looked steady. So it gets luma of
even local contrast, and flat areas move with what is around them. A search for the best of all whole shifts agrees with
that to half a pixel (sunset_rpi), and a known pan is found to 0.04 px instead of 0.8.

The earlier frame is moved by OpenCV's Lanczos kernel: `motion.warp`, which the render itself uses, would flatter
it. On marple8 (320 px) Lanczos finds 4 percent more error in our frames than that, and 0 to 2 percent less in the
baselines; a linear kernel, which blurs, finds 7 to 13 percent less in these, and twice as much in ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.motion.consistency import flow_confidence, positions
from pipeline.motion.textureless import propagate_into_textureless
from pipeline.types import Motion

RGB = NDArray[np.uint8]

LUMA = np.array([[0.2126, 0.7152, 0.0722]], np.float32)
"""BT.709, on gamma-encoded values."""

LONG_FRAMES = 10
"""Distance of the pictures that the long temporal error compares."""

LEAST_TRUSTED = 0.05
"""Pairs of frames with less trusted area than this (a cut, a flash) have no temporal error."""

PYRAMID_SCALE, LEVELS, WINDOW_PX, ITERATIONS = 0.5, 5, 31, 5
POLYNOMIAL_PX, POLYNOMIAL_SIGMA_PX = 5, 1.1
"""With the Gaussian window: of 16 choices the one that explains marple8 best (squared error 0.00021 of the moved photo
on the 84 percent of it that it trusts; 0.00023 by dense inverse search)."""

GRAIN_PX, SURROUNDINGS_PX = 0.8, 10.0
"""Standard deviations of the blurs that take away grain, and structure."""
EVEN_LEVELS, FAINTEST_LEVELS = 40, 0.5

MOST_FRAMES = 400
"""A slope is taken of at most so many frames, evenly chosen: it looks at every pair."""


def measure_motion(earlier: RGB, current: RGB, *, from_index: int, to_index: int) -> Motion:
    """Motion between two photographed frames of one size, by Farneback's method, with its confidence."""
    before, after = (np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) for frame in (earlier, current))
    even_before, even_after = even_contrast(before), even_contrast(after)
    backward, forward = _farneback(even_after, even_before), _farneback(even_before, even_after)
    backward, forward = (
        propagate_into_textureless(flow, flow_confidence(flow, other), luma)
        for flow, other, luma in ((backward, forward, after), (forward, backward, before))
    )
    return Motion(from_index, to_index, backward, flow_confidence(backward, forward))


def even_contrast(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma (H, W) less its surroundings, over the standard deviation there: faint and strong structure look alike."""
    quiet = cv2.GaussianBlur(luma.astype(np.float32), (0, 0), GRAIN_PX)
    detail = quiet - cv2.GaussianBlur(quiet, (0, 0), SURROUNDINGS_PX)
    deviation = np.sqrt(cv2.GaussianBlur(np.square(detail), (0, 0), SURROUNDINGS_PX))
    return np.asarray(np.clip(128 + EVEN_LEVELS * detail / (deviation + FAINTEST_LEVELS), 0, 255), np.uint8)


def _farneback(start: NDArray[np.uint8], goal: NDArray[np.uint8]) -> NDArray[np.float32]:
    flow = cv2.calcOpticalFlowFarneback(
        start,
        goal,
        np.zeros((*start.shape, 2), np.float32),
        PYRAMID_SCALE,
        LEVELS,
        WINDOW_PX,
        ITERATIONS,
        POLYNOMIAL_PX,
        POLYNOMIAL_SIGMA_PX,
        cv2.OPTFLOW_FARNEBACK_GAUSSIAN,
    )
    return np.asarray(flow, np.float32)


def temporal_error(earlier: RGB, current: RGB, motion: Motion) -> float | None:
    """How much a picture differs from the earlier one moved along the content's motion (Ruder et al. 2016).

    With x the current picture and y the earlier one, values in [0, 1], w the motion from the earlier content frame to
    the current one and c in [0, 1] its confidence (0 where w leads out of the frame, at disocclusions and at motion
    boundaries):

        E = sum_p c(p) * mean_rgb (x(p) - y(p + w(p)))^2 / sum_p c(p)

    Ruder, Dosovitskiy and Brox 2016 (arXiv:1604.08610), eq. 7, taken as a measure: their D, the number of values,
    counts here the trusted ones only, so that clips with more disocclusion do not look steadier. A tenth of the values'
    range off everywhere is 0.01. The *short* error is that of neighboring frames, the *long* one of frames 10 apart,
    whose motion is measured directly between them.

    The error is None where less than 5 percent of the area can be trusted.
    """
    moved = cv2.remap(
        _values(earlier), *positions(motion.backward_flow), cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE
    )
    squared = np.square(_values(current) - moved.clip(0, 1)).mean(axis=2)
    trusted = float(motion.confidence.mean())
    if trusted < LEAST_TRUSTED:
        return None
    return float((squared * motion.confidence).mean()) / trusted


def sharpness(rgb: RGB) -> float:
    """Mean squared Laplacian (four neighbors) of luma in [0, 1]: 0 for a flat picture, 16 for a checkerboard."""
    return float(np.square(cv2.Laplacian(cv2.transform(_values(rgb), LUMA), cv2.CV_32F, ksize=1)).mean())


def mean_luma(rgb: RGB) -> float:
    """Mean luma in levels, 0 to 255."""
    red, green, blue = cv2.mean(rgb)[:3]
    return float(LUMA[0] @ (red, green, blue))


def drift_per_100_frames(frames: Sequence[int], values: Sequence[float]) -> float | None:
    """Change of a value per 100 frames: the median slope of all pairs (Theil 1950, Sen 1968), which a flash or a cloud
    does not sway. None for fewer than two frames. `frames` are strictly increasing indices.
    """
    if len(frames) < 2:
        return None
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), MOST_FRAMES)).round().astype(int))
    at, found = np.asarray(frames, float)[chosen], np.asarray(values, float)[chosen]
    first, second = np.triu_indices(len(at), 1)
    return 100 * float(np.median((found[second] - found[first]) / (at[second] - at[first])))


def _values(rgb: RGB) -> NDArray[np.float32]:
    return rgb.astype(np.float32) / np.float32(255)

"""The measures: short pure functions of images, uint8 (H, W, 3) sRGB.

Motion is measured on the content frames with Farneback's method (2003, "Two-frame motion estimation based on polynomial
expansion"), which no render warps its frames along. Its solver has a constant that biases faint structure towards no
motion: clouds that drift 4 px per frame were measured at 0.2 px, and a frozen sky had a low error. So it gets luma of
normalized local contrast, and textureless areas get the motion around them. A search for the best of all whole shifts
agrees with that to half a pixel (sunset_rpi), and a known pan is found to 0.04 px instead of 0.8.

The previous frame is warped by OpenCV's Lanczos kernel: `motion.warp`, which the render itself uses, would favor the
render. On marple8 (320 px) Lanczos finds 4 percent more error in our frames than that, and 0 to 2 percent less in the
baselines; a linear kernel, which blurs, finds 7 to 13 percent less in these, and twice as much in ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

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
"""Distance of the frames that the long temporal error compares."""

MIN_CONFIDENCE = 0.05
"""Pairs of frames whose motion has a lower mean confidence (a cut, a flash) have no temporal error."""

PYRAMID_SCALE, LEVELS, WINDOW_PX, ITERATIONS = 0.5, 5, 31, 5
POLYNOMIAL_PX, POLYNOMIAL_SIGMA_PX = 5, 1.1
"""With the Gaussian window: of 16 choices the one that explains marple8 best (squared error 0.00021 of the warped frame
on the 84 percent of it that are confident; 0.00023 by dense inverse search)."""

NOISE_PX, SURROUNDINGS_PX = 0.8, 10.0
"""Standard deviations of the blurs that remove noise, and structure."""
CONTRAST_LEVELS, FAINTEST_LEVELS = 40, 0.5

DETAIL_CYCLES_PER_PX, AXIS_ANGLE_RAD = (0.2, 0.48), 0.0314
LEAST_SIDE_PX, LEAST_ENERGY = 32, 1e-6
"""Of images whose weave is measured; the energy is that of rounding errors in a constant image."""

MOST_FRAMES = 400
"""A slope is taken of at most so many frames, evenly chosen, because its cost grows with the number of pairs."""


def measure_motion(previous: RGB, current: RGB, *, from_index: int, to_index: int) -> Motion:
    """Motion between two content frames of one size, by Farneback's method, with its confidence."""
    before, after = (np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) for frame in (previous, current))
    start, end = normalize_contrast(before), normalize_contrast(after)
    backward, forward = _farneback(end, start), _farneback(start, end)
    backward, forward = (
        propagate_into_textureless(flow, flow_confidence(flow, other), luma)
        for flow, other, luma in ((backward, forward, after), (forward, backward, before))
    )
    return Motion(from_index, to_index, backward, flow_confidence(backward, forward))


def normalize_contrast(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma (H, W) less its local mean, over its local standard deviation: faint and strong structure become alike."""
    smooth = cv2.GaussianBlur(luma.astype(np.float32), (0, 0), NOISE_PX)
    detail = smooth - cv2.GaussianBlur(smooth, (0, 0), SURROUNDINGS_PX)
    deviation = np.sqrt(cv2.GaussianBlur(np.square(detail), (0, 0), SURROUNDINGS_PX))
    return np.asarray(np.clip(128 + CONTRAST_LEVELS * detail / (deviation + FAINTEST_LEVELS), 0, 255), np.uint8)


def _farneback(start: NDArray[np.uint8], target: NDArray[np.uint8]) -> NDArray[np.float32]:
    flow = cv2.calcOpticalFlowFarneback(
        start,
        target,
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


def temporal_error(previous: RGB, current: RGB, motion: Motion) -> float | None:
    """Difference between an image and the previous one warped along the motion of the content (Ruder et al. 2016).

    With x the current image and y the previous one, values in [0, 1], w the backward flow from the current content
    frame to the previous one and c in [0, 1] its confidence (0 where w leads out of the frame, at disocclusions and at
    motion boundaries):

        E = sum_p c(p) * mean_rgb (x(p) - y(p + w(p)))^2 / sum_p c(p)

    Ruder, Dosovitskiy and Brox 2016 (arXiv:1604.08610), eq. 7, taken as a measure. We depart from it by dividing by the
    sum of the confidences instead of D, the number of values, so that clips with more disocclusion do not have a lower
    error. A constant difference of a tenth of the range gives 0.01.

    The *short* error is that of neighboring frames, the *long* one of frames 10 apart, whose motion is measured
    directly between them. None if the mean confidence is below 5 percent.
    """
    moved = cv2.remap(
        _values(previous), *positions(motion.backward_flow), cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE
    )
    squared = np.square(_values(current) - moved.clip(0, 1)).mean(axis=2)
    confidence = float(motion.confidence.mean())
    if confidence < MIN_CONFIDENCE:
        return None
    return float((squared * motion.confidence).mean()) / confidence


def sharpness(rgb: RGB) -> float:
    """Mean squared Laplacian (four neighbors) of luma in [0, 1]: 0 for a constant image, 16 for a checkerboard."""
    return float(np.square(cv2.Laplacian(cv2.transform(_values(rgb), LUMA), cv2.CV_32F, ksize=1)).mean())


def axis_ratio(rgb: RGB) -> float | None:
    """Weave: energy of fine detail that is horizontal or vertical, over that of fine detail in all directions.

    From the spectrum of luma in the middle square of the image under a Hann window: mean energy at 0.2 to 0.48 cycles
    per px within 1.8 degrees of the axes, over the mean at all angles. 1 for a texture without preferred directions,
    such as paint; lines along the axes, which optimized images have in flat areas, have more. None for an image that
    is constant or has a side below 32 px.
    """
    side = min(rgb.shape[:2]) // 2 * 2
    if side < LEAST_SIDE_PX:
        return None
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    luma = cv2.transform(rgb[top : top + side, left : left + side].astype(np.float32), LUMA)
    window = np.hanning(side)
    windowed = (luma - luma.mean()) * window[:, None] * window
    energy = np.square(np.abs(np.fft.fft2(windowed)))
    along_axes, band = _detail_band(side)
    whole = float(energy[band].mean())
    return float(energy[along_axes].mean()) / whole if whole > LEAST_ENERGY else None


@lru_cache(maxsize=1)
def _detail_band(side: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The part of a spectrum that is fine detail within 1.8 degrees of the axes, and that in all directions."""
    frequencies = np.abs(np.fft.fftfreq(side))
    down, right = frequencies[:, None], frequencies[None, :]
    radius, angle = np.hypot(down, right), np.arctan2(down, right)
    band = (radius > DETAIL_CYCLES_PER_PX[0]) & (radius < DETAIL_CYCLES_PER_PX[1])
    return band & (np.minimum(angle, np.pi / 2 - angle) < AXIS_ANGLE_RAD), band


def mean_luma(rgb: RGB) -> float:
    """Mean luma in levels, 0 to 255."""
    red, green, blue = cv2.mean(rgb)[:3]
    return float(LUMA[0] @ (red, green, blue))


def drift_per_100_frames(frames: Sequence[int], values: Sequence[float]) -> float | None:
    """Change of a value per 100 frames: the median slope of all pairs (Theil 1950, Sen 1968), which is robust to
    a flash or a cloud. None for fewer than two frames. `frames` are strictly increasing indices.
    """
    if len(frames) < 2:
        return None
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), MOST_FRAMES)).round().astype(int))
    at, found = np.asarray(frames, float)[chosen], np.asarray(values, float)[chosen]
    first, second = np.triu_indices(len(at), 1)
    return 100 * float(np.median((found[second] - found[first]) / (at[second] - at[first])))


def _values(rgb: RGB) -> NDArray[np.float32]:
    return rgb.astype(np.float32) / np.float32(255)

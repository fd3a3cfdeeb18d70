"""Taking the shake out of a shot: how the camera moved from frame to frame, and the smooth path that it should take.

The motion between neighbors is a similarity, from tracked corners (Lucas and Kanade 1981, with the way back as a check)
and refined on all pixels. Its sum is the path of the camera; a Gaussian filter over time gives the smooth path, and a
frame is moved from the one to the other. Only as much is taken out as the crop allows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.analysis.registration import MIN_CORRELATION, Pyramid, register

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Gray = NDArray[np.uint8]
    Matrix = NDArray[np.float64]
    Path = NDArray[np.float64]

MEASURED_SIDE_PX: Final = 640
"""Longer side of the frames between which motion is measured."""
MAX_ZOOM: Final = 1.25
"""The crop enlarges what is shown by at most so much; the path is smoothed less where that does not suffice."""
LONGEST_S: Final = 2.0
"""Standard deviation of the filter at a strength of one half, in seconds."""
_CORNERS: Final = 400
_BACK_PX: Final = 0.7
"""A corner that the way back misses by more was not tracked."""
_MIN_CORNERS: Final = 12


def step_between(previous: Gray, current: Gray, pyramids: tuple[Pyramid, Pyramid]) -> Matrix:
    """How the content moved from one frame to the next, uint8 (H, W): a similarity (3, 3) from px of the one to px of
    the other; no motion where it cannot be seen. `pyramids` are those of both frames."""
    guess = tracked(previous, current)
    found = register(*pyramids, "similarity", guess, coarsest=None if guess is None else 1)
    return found.matrix if found.correlation >= MIN_CORRELATION else np.eye(3)


def path_of(steps: Iterable[Matrix], shape: tuple[int, int]) -> Path:
    """The path of a shot of frames (H, W) from the steps between them: (frames, 4), see `parameters`, from 0 on."""
    matrix = np.eye(3)
    path = [parameters(matrix, shape)]
    for step in steps:
        matrix = step @ matrix
        path.append(parameters(matrix, shape))
    turns = np.unwrap([found[3] for found in path])
    return np.column_stack([np.array(path)[:, :3], turns])


def tracked(previous: Gray, current: Gray) -> Matrix | None:
    """The similarity (3, 3) from px of one frame to px of the next, from tracked corners; None with too few."""
    corners = cv2.goodFeaturesToTrack(previous, _CORNERS, 0.01, 8)
    if corners is None or len(corners) < _MIN_CORNERS:
        return None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(previous, current, corners, corners.copy())
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(current, previous, moved, moved.copy())
    # Where nothing is found, as in an area that has become flat, the corner itself is given back.
    both_found = np.logical_and(found, found_back).ravel()
    kept = both_found & (np.hypot(*(back - corners).reshape(-1, 2).T) < _BACK_PX)
    if kept.sum() < _MIN_CORNERS:
        return None
    matrix, _ = cv2.estimateAffinePartial2D(corners[kept], moved[kept], ransacReprojThreshold=1.5)
    return None if matrix is None else np.vstack([matrix, [0, 0, 1]])


def parameters(matrix: Matrix, shape: tuple[int, ...]) -> Path:
    """Of a similarity: the shift (x, y) of the middle of a frame (H, W) in px, log of scale, and turn in radians."""
    center = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2, 1.0])
    shift = (matrix @ center - center)[:2]
    return np.array([*shift, 0.5 * np.log(np.linalg.det(matrix[:2, :2])), np.arctan2(matrix[1, 0], matrix[0, 0])])


def similarity(found: Path, shape: tuple[int, ...]) -> Matrix:
    """The inverse of `parameters`."""
    x, y, scale, turn = found
    cx, cy = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    a, b = np.exp(scale) * np.cos(turn), np.exp(scale) * np.sin(turn)
    return np.array([[a, -b, cx + x - a * cx + b * cy], [b, a, cy + y - b * cx - a * cy], [0, 0, 1]])


def smoothed(path: Path, sigma_frames: float) -> Path:
    """The path of a shot, (frames, 4), after a Gaussian filter over time; an infinite one gives its middle, held.

    At every frame a line is fitted to the frames around it, weighted by the Gaussian, so that a steady pan stays as it
    is and the ends of the shot are smoothed too (local linear regression, Cleveland 1979).
    """
    if not np.isfinite(sigma_frames):
        return np.broadcast_to((path.max(axis=0) + path.min(axis=0)) / 2, path.shape).copy()
    reach = round(3 * sigma_frames)
    if min(reach, len(path) - 2) < 1:
        return path.copy()
    found = np.empty_like(path)
    for index in range(len(path)):
        near = np.arange(max(0, index - reach), min(len(path), index + reach + 1))
        weights = np.exp(-0.5 * ((near - index) / sigma_frames) ** 2)
        middle = weights @ near / weights.sum()
        mean = weights @ path[near] / weights.sum()
        away = near - middle
        found[index] = mean + (index - middle) * ((weights * away) @ path[near]) / ((weights * away) @ away)
    return found


def filter_frames(strength: float, frames_per_s: float) -> float:
    """The standard deviation of the filter in frames for a strength in [0, 1]: 0 at 0, without end at 1."""
    return float("inf") if strength >= 1 else LONGEST_S * frames_per_s * strength / (1 - strength)


def steadied(path: Path, sigma_frames: float, shape: tuple[int, int]) -> list[Matrix]:
    """For every frame of a shot the matrix (3, 3) from px of the steady frame to px of the frame (H, W).

    Smoothed as much as asked for, but so that each frame covers what remains at `MAX_ZOOM`: where it does not, the
    filter is made shorter, by halves.
    """
    sigma = sigma_frames
    while True:
        matrices = [
            similarity(found, shape) @ np.linalg.inv(similarity(wanted, shape))
            for found, wanted in zip(path, smoothed(path, sigma), strict=True)
        ]
        if sigma < 0.5 or all(_covers(matrix, shape) for matrix in matrices):
            return matrices
        sigma = min(sigma / 2, max(1.0, len(path) / 2))


def _covers(matrix: Matrix, shape: tuple[int, int]) -> bool:
    """Whether a frame covers the middle of the steady one at the largest zoom."""
    height, width = shape
    x, y = (side / 2 * (1 + np.array([-1, 1, -1, 1]) / MAX_ZOOM) - 0.5 for side in (width, height))
    corners = np.stack([x, y[[0, 0, 3, 3]], np.ones(4)])
    moved = (matrix @ corners)[:2]
    return bool((moved >= -0.5).all() and (moved <= np.array([[width], [height]]) - 0.5).all())


def shake_px(path: Path, frames_per_s: float) -> float:
    """How much a shot shakes: root mean square distance of its path, (frames, 4), from the path smoothed over half a
    second, in px of the frames that were measured. Pans and drifts do not count."""
    if len(path) < 3:
        return 0.0
    away = path - smoothed(path, max(1.0, frames_per_s / 2))
    return float(np.sqrt(np.square(away[:, :2]).sum(axis=1).mean()))


def measured_shake_px(frames: Iterable[Gray], frames_per_s: float) -> float:
    """`shake_px` of the frames of a shot, uint8 (H, W), in their own px: cheap, from tracked corners alone.

    Frames of 160 px are enough for a warning; a step that cannot be seen counts as none.
    """
    steps: list[Matrix] = []
    previous: Gray | None = None
    for gray in frames:
        if previous is not None:
            step = tracked(previous, gray)
            steps.append(np.eye(3) if step is None else step)
        previous = gray
    return 0.0 if previous is None else shake_px(path_of(steps, previous.shape[:2]), frames_per_s)

"""Bursts made in the process: photos of one textured scene whose motion is known, with what disturbs an alignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

SIZE = (320, 240)
MARGIN_PX = 60


def scene(size: tuple[int, int], seed: int = 0) -> NDArray[np.float32]:
    """A scene of (width, height) px with structure of every size, float32 (H, W, 3) in levels of 255."""
    rng = np.random.default_rng(seed)
    found = np.zeros((size[1], size[0], 3), np.float32)
    for sigma in (1.2, 3, 8, 24):
        blobs = cv2.GaussianBlur(rng.standard_normal(found.shape).astype(np.float32), (0, 0), sigma)
        found += blobs / blobs.std() * 18
    return (found + 125).clip(4, 250)


def photo(
    matrix: Matrix,
    *,
    size: tuple[int, int] = SIZE,
    seed: int = 0,
    noise: float = 0.0,
    gain: float = 1.0,
    object_at: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """A photo, uint8 (H, W, 3), in which a point of the scene stands where `matrix` (3, 3) takes it, in px.

    `gain` multiplies encoded values; an object of a quarter of the frame's width covers the scene at `object_at`.
    """
    width, height = size
    whole = scene((width + 2 * MARGIN_PX, height + 2 * MARGIN_PX))
    shift = np.array([[1, 0, MARGIN_PX], [0, 1, MARGIN_PX], [0, 0, 1.0]])
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    rgb = np.asarray(cv2.warpPerspective(whole, shift @ np.linalg.inv(matrix), size, flags=flags), np.float32)
    if object_at is not None:
        x, y = object_at
        thing = scene((width // 4, width // 4), seed=99)
        rgb[y : y + len(thing), x : x + len(thing)] = thing[: height - y, : width - x]
    noisy = rgb * gain + np.random.default_rng(seed).normal(0, noise, rgb.shape)
    return np.rint(noisy).clip(0, 255).astype(np.uint8)


def moved(
    shift: tuple[float, float] = (0, 0),
    turn_deg: float = 0,
    scale: float = 1,
    tilt: tuple[float, float] = (0, 0),
    size: tuple[int, int] = SIZE,
) -> Matrix:
    """A homography (3, 3) in px around the middle of the frame; `tilt` is how much deeper its right and lower edges
    are than the middle, as a fraction."""
    center = np.array([[1, 0, -(size[0] - 1) / 2], [0, 1, -(size[1] - 1) / 2], [0, 0, 1.0]])
    a, b = scale * np.cos(np.deg2rad(turn_deg)), scale * np.sin(np.deg2rad(turn_deg))
    own = np.array([[a, -b, shift[0]], [b, a, shift[1]], [2 * tilt[0] / size[0], 2 * tilt[1] / size[1], 1]])
    return np.asarray(np.linalg.inv(center) @ own @ center)


def errors_px(found: Matrix, true: Matrix, size: tuple[int, int] = SIZE) -> NDArray[np.float64]:
    """Distance between where two homographies take the points of a grid over the frame, in px."""
    x, y = np.meshgrid(np.linspace(0, size[0] - 1, 9), np.linspace(0, size[1] - 1, 7))
    points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    ends = [each @ points for each in (found, true)]
    a, b = (end[:2] / end[2] for end in ends)
    return np.asarray(np.hypot(*(a - b)))

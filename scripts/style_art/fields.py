"""Noise, ramps and small image filters that all styles share.

Fields are float32 (H, W); colors are float32 (..., 3) sRGB in [0, 1]. Mixing in sRGB rather than in linear light is on
purpose: it is how a painter's palette steps, and it keeps the dark half of a ramp rich.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Field = NDArray[np.float32]


def fbm(
    shape: tuple[int, int],
    cell_px: float,
    seed: int,
    *,
    octaves: int = 5,
    gain: float = 0.5,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> Field:
    """Fractal value noise (H, W), zero mean, unit standard deviation; features of about `cell_px` pixels.

    `stretch` lengthens the features along (x, y). Cubic interpolation of random grids: smooth, so never aliased.
    """
    rng = np.random.default_rng(seed)
    height, width = shape
    total = np.zeros(shape, np.float32)
    amplitude, cell = 1.0, float(cell_px)
    for _ in range(octaves):
        if cell < 1.5:
            break
        cell_x, cell_y = max(cell * stretch[0], 1.0), max(cell * stretch[1], 1.0)
        grid_w, grid_h = int(np.ceil(width / cell_x)) + 3, int(np.ceil(height / cell_y)) + 3
        grid = rng.standard_normal((grid_h, grid_w)).astype(np.float32)
        # A fixed pixels-per-cell map (not a resize to the whole frame) keeps the cell size exact at the borders.
        off_x, off_y = rng.random(2)
        xs = (np.arange(width, dtype=np.float32) / np.float32(cell_x)) + np.float32(1 + off_x * 0.5)
        ys = (np.arange(height, dtype=np.float32) / np.float32(cell_y)) + np.float32(1 + off_y * 0.5)
        map_x, map_y = np.meshgrid(xs, ys)
        total += amplitude * cv2.remap(grid, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        amplitude *= gain
        cell /= 2
    total -= total.mean()
    return np.asarray(total / max(float(total.std()), 1e-6), np.float32)


def grid(shape: tuple[int, int]) -> tuple[Field, Field]:
    """Pixel centers as (x, y), both (H, W), in units of the image's width: x in [0, 1], y in [0, H / W]."""
    height, width = shape
    x = (np.arange(width, dtype=np.float32) + 0.5) / width
    y = (np.arange(height, dtype=np.float32) + 0.5) / width
    xx, yy = np.meshgrid(x, y)
    return np.asarray(xx, np.float32), np.asarray(yy, np.float32)


def smoothstep(low: ArrayLike, high: ArrayLike, value: ArrayLike) -> Any:
    """Hermite step from 0 at `low` to 1 at `high` (either order), same shape as the broadcast arguments."""
    low_a, high_a = np.asarray(low, np.float32), np.asarray(high, np.float32)
    t = np.clip((np.asarray(value, np.float32) - low_a) / (high_a - low_a), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)


def rgb(code: str) -> Field:
    """`"1b2a6b"` as a float32 (3,) sRGB color in [0, 1]."""
    return np.array([int(code[i : i + 2], 16) / 255.0 for i in (0, 2, 4)], np.float32)


def mix(first: ArrayLike, second: ArrayLike, amount: ArrayLike) -> Field:
    """Colors (..., 3) blended by `amount` (...,): 0 gives the first, 1 the second."""
    t = np.asarray(amount, np.float32)[..., None]
    a, b = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return np.asarray(a + (b - a) * t, np.float32)


def ramp(value: ArrayLike, stops: list[tuple[float, str]]) -> Field:
    """Color ramp: `value` (...) looked up between `(position, "rrggbb")` stops, linear in sRGB; (..., 3)."""
    v = np.asarray(value, np.float32)
    positions = [p for p, _ in stops]
    colors = np.stack([rgb(c) for _, c in stops])
    return np.stack([np.interp(v, positions, colors[:, k]).astype(np.float32) for k in range(3)], axis=-1)


def blur(image: Field, sigma_px: float) -> Field:
    """Gaussian blur; sigma below a fifth of a pixel is the identity."""
    if sigma_px < 0.2:
        return image
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT), np.float32)


def warp(image: Field, dx: ArrayLike, dy: ArrayLike) -> Field:
    """Reads `image` at (x + dx, y + dy), displacements in pixels, bilinear, mirrored at the borders."""
    height, width = image.shape[:2]
    map_x, map_y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    map_x = np.asarray(map_x + np.asarray(dx), np.float32)
    map_y = np.asarray(map_y + np.asarray(dy), np.float32)
    return np.asarray(cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.float32)


def resize(image: Field, shape: tuple[int, int]) -> Field:
    """Resampled to (H, W): area average when shrinking (no aliasing), cubic when growing."""
    shrinking = shape[0] < image.shape[0]
    mode = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (shape[1], shape[0]), interpolation=mode), np.float32)


def to_uint8(image: Field) -> NDArray[np.uint8]:
    """float [0, 1] to uint8, rounded to nearest."""
    return np.asarray(np.rint(np.clip(image, 0.0, 1.0) * 255.0), np.uint8)

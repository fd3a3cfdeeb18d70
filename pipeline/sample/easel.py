"""Drawing tools for the land of the sample timelapse: noise, color ramps and an easel for surfaces.

Surfaces have albedo and normals rather than final colors, so that they can be lit for every hour. They are drawn at
twice the size and averaged down, for antialiased edges.

Axes of normals: x to the right, y up, z toward the viewer. Colors are float32 sRGB in [0, 1].
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

_SCALE = 2  # supersampling
SEED = 20240


@dataclass(frozen=True)
class Layer:
    """One depth of the land: `albedo` and `normal` (H, W, 3), `alpha` and `haze` (H, W) in [0, 1]."""

    albedo: Field
    normal: Field
    alpha: Field
    haze: Field


def fbm(
    shape: tuple[int, int], cell_px: float, seed: int, *, octaves: int = 5, gain: float = 0.5, stretch: float = 1.0
) -> Field:
    """Fractal value noise (H, W), mean 0 and deviation 1; `stretch` above 1 lengthens it along x, below 1 along y."""
    rng = np.random.default_rng(seed)
    height, width = shape
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        cell = cell_px / 2**octave
        if cell < 1.2:
            break
        step_x, step_y = max(cell * np.sqrt(stretch), 1.0), max(cell / np.sqrt(stretch), 1.0)
        knots = rng.standard_normal((int(height / step_y) + 4, int(width / step_x) + 4)).astype(np.float32)
        places = (np.arange(count) / step + 1 for count, step in ((width, step_x), (height, step_y)))
        xs, ys = np.meshgrid(*(it.astype(np.float32) for it in places))
        smooth = cv2.remap(knots, xs, ys, cv2.INTER_CUBIC)
        total += np.float32(gain**octave) * smooth
    total -= total.mean()
    return np.asarray(total / max(float(total.std()), 1e-6), np.float32)


def smoothstep(low: float, high: float, value: Any) -> Any:
    """Hermite step from 0 at `low` to 1 at `high` (either order), elementwise, float32."""
    t = np.clip((np.asarray(value, np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)


def rgb(code: str) -> Field:
    """`"1b2a6b"` as float32 (3,) in [0, 1]."""
    return np.array([int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)], np.float32)


def mix(first: Any, second: Any, amount: Any) -> Field:
    """Colors (..., 3) blended by `amount` (...,)."""
    weight = np.asarray(amount, np.float32)
    if weight.ndim != 2:
        return np.asarray(first + (np.asarray(second) - first) * weight[..., None], np.float32)
    # Broadcasting along the last axis is several times slower.
    one, other = (np.tile(it, (1, weight.shape[1], 1)) if np.ndim(it) == 1 else it for it in (first, second))
    mixed: Field = np.asarray(other - one, np.float32) * np.asarray(cv2.merge([weight] * 3), np.float32)
    mixed += one
    return mixed


def ramp(value: Field, *codes: str) -> Field:
    """`value` (...) in [0, 1] looked up in evenly spaced colors; (..., 3)."""
    stops = np.stack([rgb(code) for code in codes])
    positions = np.linspace(0, 1, len(codes))
    return np.stack([np.interp(value, positions, stops[:, k]).astype(np.float32) for k in range(3)], -1)


class Easel:
    """A supersampled image in progress: surfaces are put on it back to front."""

    def __init__(self, width: int, height: int) -> None:
        self.shape = (height * _SCALE, width * _SCALE)
        self.unit = width * _SCALE / 640  # px per pixel of an image 640 px wide
        self.x, self.v = (
            axis.astype(np.float32)
            for axis in np.meshgrid(
                (np.arange(self.shape[1]) + 0.5) / self.shape[1], (np.arange(self.shape[0]) + 0.5) / self.shape[0]
            )
        )
        self.albedo = np.full((*self.shape, 3), 0.4, np.float32)
        self.normal = np.zeros((*self.shape, 3), np.float32)
        self.normal[..., 2] = 1
        self.alpha = np.zeros(self.shape, np.float32)
        self.haze = np.zeros(self.shape, np.float32)

    def box(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
        """Rows and columns of the easel that hold a rectangle given in its px."""
        height, width = self.shape
        rows, columns = (
            slice(min(max(int(low), 0), length), min(max(int(high) + 2, 0), length))
            for low, high, length in ((top, bottom, height), (left, right, width))
        )
        return rows, columns

    def part(self, box: tuple[slice, slice]) -> Easel:
        """A part of the easel, to draw on without computing the rest; its `shape` is still that of the whole."""
        found = copy(self)
        for name in ("x", "v", "albedo", "normal", "alpha", "haze"):
            setattr(found, name, getattr(self, name)[box])
        return found

    def noise(self, cell_px: float, seed: int, **options: Any) -> Field:
        """`fbm` over the easel with cells in pixels of an image 640 px wide."""
        return fbm(self.shape, cell_px * self.unit, SEED + seed, **options)

    def profile(self, seed: int, knots: int, octaves: int, gain: float) -> Field:
        """A jagged line (W,) in about [-1, 1]: fractal noise along x."""
        rng = np.random.default_rng(SEED + seed)
        line = np.zeros(self.shape[1])
        for octave in range(octaves):
            values = rng.uniform(-1, 1, knots * 2**octave + 1)
            line += gain**octave * np.interp(self.x[0], np.linspace(0, 1, len(values)), values)
        return np.asarray(line, np.float32)

    def put(
        self,
        where: NDArray[np.bool_],
        albedo: Field,
        relief: Field,
        bump: float,
        *,
        tilt: tuple[float, float],
        haze: float,
    ) -> None:
        """A surface where the bool (H, W) `where` is true; `relief` (H, W) bumps normals that lean by `tilt` (x, y)."""
        rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
        if not len(rows):
            return
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        inside = where[box]
        grad_y, grad_x = _gradient(relief[box])
        bump = bump * self.unit / 2  # slopes are per pixel: the same shape at every size
        normal = np.stack([tilt[0] - bump * grad_x, tilt[1] + bump * grad_y, np.ones_like(grad_x)], -1)
        normal /= np.sqrt((normal * normal).sum(-1, keepdims=True))
        self.albedo[box][inside] = albedo[box][inside]
        self.normal[box][inside] = normal[inside]
        self.alpha[box][inside] = 1
        self.haze[box][inside] = haze

    def reduced(self, field: Field) -> Field:
        size = (self.shape[1] // _SCALE, self.shape[0] // _SCALE)
        return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_AREA), np.float32)

    def layer(self) -> Layer:
        """What is on the easel, averaged down. Premultiplied, so that edges do not take color from nothing."""
        alpha = self.reduced(self.alpha)
        cover = np.maximum(alpha, 1e-4)[..., None]
        albedo = np.asarray(self.reduced(self.albedo * self.alpha[..., None]) / cover, np.float32)
        normal = np.asarray(self.reduced(self.normal * self.alpha[..., None]) / cover, np.float32)
        haze = np.asarray(self.reduced(self.haze * self.alpha) / cover[..., 0], np.float32)
        return Layer(albedo, normal, alpha, haze)

    def fill(self, corners: list[tuple[float, float]], color: Field, normal: tuple[float, float, float]) -> None:
        """A small polygon of px corners in one color with one normal (of any length): a blade, a leaf, a petal."""
        polygon = [np.rint(np.array(corners) * 16).astype(np.int32)]
        length = math.sqrt(sum(n * n for n in normal))
        cv2.fillPoly(self.albedo, polygon, tuple(float(c) for c in color), cv2.LINE_8, 4)
        cv2.fillPoly(self.normal, polygon, tuple(n / length for n in normal), cv2.LINE_8, 4)
        cv2.fillPoly(self.alpha, polygon, 1.0, cv2.LINE_8, 4)
        cv2.fillPoly(self.haze, polygon, 0.0, cv2.LINE_8, 4)


def _gradient(relief: Field) -> tuple[Field, Field]:
    """Slopes (d/dy, d/dx) of a height field (H, W), by central differences."""
    slope_x = cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
    slope_y = cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
    return np.asarray(slope_y, np.float32), np.asarray(slope_x, np.float32)

"""Registration of two images by their pixels: where each point of the one is in the other, to a few hundredths of a px.

Inverse compositional Gauss-Newton (Baker and Matthews 2004, "Lucas-Kanade 20 years on", section 3.2) from coarse to
fine, on luma whose mean and contrast are evened out locally, so that exposure and white balance do not count. Every
pixel is weighted by how well it fits (Geman and McClure 1987), so that what moves has no say. `cv2.findTransformECC`
has no such weights: a subject that moves pulls its result away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Matrix = NDArray[np.float64]

Model = Literal["translation", "similarity", "affine", "homography"]
"""How one image moves onto another, from the simplest model to the richest."""
MODELS: Final[tuple[Model, ...]] = ("translation", "similarity", "affine", "homography")
PARAMETERS: Final = {"translation": 2, "similarity": 4, "affine": 6, "homography": 8}

_NOISE_SIGMA_PX: Final = 1.0
_LOCAL_SIGMA_PX: Final = 8.0
"""Surroundings within which mean and contrast are evened out."""
_NOISE_LEVELS: Final = 3.0
"""Contrast below so many levels of 255 is noise, and is not raised."""
_SMALLEST_PX: Final = 48
"""Shorter side of the coarsest scale at least."""
_MOST_PIXELS: Final = 80_000
"""So many pixels with the strongest gradients are compared at a scale."""
_MARGIN_PX: Final = 3
_ITERATIONS: Final = 25
_CONVERGED_PX: Final = 0.01
MIN_CORRELATION: Final = 0.3
"""Images whose evened out luma correlates less do not lie on each other."""
_TUNING: Final = 2.5
"""Residuals beyond so many robust standard deviations hardly count."""


@dataclass(frozen=True, slots=True)
class Registration:
    """Where the anchor's points are in another image: `matrix` (3, 3) takes px of the one to px of the other.

    `correlation` in [-1, 1] is that of the evened out luma of both, at the scale where it is largest: a photo that is
    out of focus has only broad shapes in common. `overlap` in [0, 1] is how much of the anchor the other image shows.
    """

    matrix: Matrix
    correlation: float
    overlap: float


class Pyramid:
    """An image at several scales, finest first, evened out: float32 (h, w), each half as large as the one before."""

    def __init__(self, gray: NDArray[np.uint8]) -> None:
        scales = [np.asarray(gray, np.float32)]
        while min(scales[-1].shape) >= 2 * _SMALLEST_PX:
            height, width = scales[-1].shape
            scales.append(
                np.asarray(cv2.resize(scales[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.float32)
            )
        self.scales = [evened_out(scale) for scale in scales]
        self._compared: dict[int, _Compared] = {}

    def compared(self, scale: int) -> _Compared:
        """What other images are compared with at a scale; found once, however many they are."""
        if scale not in self._compared:
            self._compared[scale] = _Compared(self.scales[scale])
        return self._compared[scale]

    def matrix_at(self, scale: int, matrix: Matrix, other: Pyramid) -> Matrix:
        """A matrix between the finest scales, from this pyramid to another, as one between scales of both."""
        return np.asarray(np.linalg.inv(other._to_finest(scale)) @ matrix @ self._to_finest(scale))

    def matrix_from(self, scale: int, matrix: Matrix, other: Pyramid) -> Matrix:
        """The inverse of `matrix_at`."""
        return np.asarray(other._to_finest(scale) @ matrix @ np.linalg.inv(self._to_finest(scale)))

    def _to_finest(self, scale: int) -> Matrix:
        (height, width), (h, w) = self.scales[0].shape, self.scales[scale].shape
        x, y = width / w, height / h
        return np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5], [0, 0, 1]])


def evened_out(luma: Array) -> Array:
    """Luma, float32 (H, W) in levels of 255, without its local mean and over its local contrast."""
    smooth = cv2.GaussianBlur(luma, (0, 0), _NOISE_SIGMA_PX)
    centered = smooth - cv2.GaussianBlur(smooth, (0, 0), _LOCAL_SIGMA_PX)
    contrast = np.sqrt(cv2.GaussianBlur(centered * centered, (0, 0), _LOCAL_SIGMA_PX))
    return np.asarray(centered / (contrast + np.float32(_NOISE_LEVELS)), np.float32)


def register(
    anchor: Pyramid,
    other: Pyramid,
    model: Model,
    start: Matrix | None = None,
    *,
    finest: int = 0,
    coarsest: int | None = None,
) -> Registration:
    """Find where the anchor's points are in another image of the same size, by a model of motion.

    `start` is a first guess (None: not moved), reached by steps of the model; scales from `coarsest` (None: the
    smallest) to `finest` are used; it ends at a scale where the images correlate no more. `correlation` says whether
    the motion was found.
    """
    matrix = np.eye(3) if start is None else np.asarray(start, np.float64)
    last = min(len(anchor.scales), len(other.scales)) - 1
    best = Registration(matrix, -1.0, 0.0)
    for scale in range(last if coarsest is None else min(max(coarsest, finest), last), finest - 1, -1):
        at = anchor.matrix_at(scale, matrix, other)
        found = _at_scale(anchor.compared(scale), other.scales[scale], model, at)
        if found.correlation < min(best.correlation, MIN_CORRELATION):
            break
        matrix = anchor.matrix_from(scale, found.matrix, other)
        best = Registration(matrix / matrix[2, 2], max(best.correlation, found.correlation), found.overlap)
    return best


def cost_of(anchor: Pyramid, other: Pyramid, matrix: Matrix, scale: int, spread: float) -> tuple[float, int]:
    """The mean robust error in [0, 1] of a given motion at a scale, by a given robust deviation, and of how many px."""
    residuals, _ = anchor.compared(scale).residuals(other.scales[scale], anchor.matrix_at(scale, matrix, other))
    return float(_robust_error(residuals, spread).mean()) if len(residuals) else 1.0, len(residuals)


def spread_of(anchor: Pyramid, other: Pyramid, matrix: Matrix, scale: int) -> float:
    """The robust standard deviation of the residuals of a given motion at a scale."""
    residuals, _ = anchor.compared(scale).residuals(other.scales[scale], anchor.matrix_at(scale, matrix, other))
    return _spread(residuals)


def nearest(matrix: Matrix, model: Model, size: Sequence[int]) -> Matrix:
    """The motion of a model that is nearest to a homography, in least squares over a frame of (width, height) px."""
    x, y = np.meshgrid(np.linspace(0, size[0] - 1, 5), np.linspace(0, size[1] - 1, 5))
    points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    moved = matrix @ points
    moved = moved[:2] / moved[2]
    if model == "homography":
        return np.asarray(matrix / matrix[2, 2])
    if model == "translation":
        shift = (moved - points[:2]).mean(axis=1)
        return np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1.0]])
    if model == "affine":
        rows = np.linalg.lstsq(points.T, moved.T, rcond=None)[0].T
        return np.vstack([rows, [0, 0, 1]])
    own, there = (each[0] + 1j * each[1] for each in (points, moved))
    turn = np.vdot(own - own.mean(), there - there.mean()) / np.vdot(own - own.mean(), own - own.mean())
    shift = there.mean() - turn * own.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag], [0, 0, 1]])


class _Compared:
    """The pixels of the anchor that are compared: those with the strongest gradients, evenly over the frame."""

    def __init__(self, image: Array) -> None:
        height, width = image.shape
        self.center = np.array([(width - 1) / 2, (height - 1) / 2])
        self.radius = max(width, height) / 2
        gx = cv2.Sobel(image, cv2.CV_32F, 1, 0, scale=0.125)
        gy = cv2.Sobel(image, cv2.CV_32F, 0, 1, scale=0.125)
        strength = cv2.magnitude(gx, gy)
        inner = strength[_MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX]
        rows, columns = np.nonzero(inner >= np.median(inner)) if inner.size else (np.zeros(0, np.intp),) * 2
        step = max(1, len(rows) // _MOST_PIXELS)
        self.rows, self.columns = rows[::step] + _MARGIN_PX, columns[::step] + _MARGIN_PX
        self.values = image[self.rows, self.columns]
        self.gradients = np.stack([gx[self.rows, self.columns], gy[self.rows, self.columns]])
        self.shape = image.shape

    def residuals(self, other: Array, matrix: Matrix) -> tuple[Array, NDArray[np.intp]]:
        """The other image, moved onto the anchor, minus the anchor, and which of the pixels both images show."""
        height, width = self.shape
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        moved = cv2.warpPerspective(other, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
        points = matrix @ np.stack([self.columns, self.rows, np.ones(len(self.rows))])
        there = points[:2] / np.where(points[2] > 1e-6, points[2], np.nan)
        last = np.array([[other.shape[1] - 1 - _MARGIN_PX], [other.shape[0] - 1 - _MARGIN_PX]])
        seen = np.flatnonzero(((there >= _MARGIN_PX) & (there <= last)).all(axis=0))
        values = np.asarray(moved)[self.rows[seen], self.columns[seen]]
        return np.asarray(values - self.values[seen], np.float32), seen

    def descents(self, model: Model) -> Array:
        """How each residual changes with each parameter of the model at no motion, float32 (N, parameters)."""
        x, y = (self.columns - self.center[0]) / self.radius, (self.rows - self.center[1]) / self.radius
        gx, gy = self.gradients
        columns = [gx, gy]
        if model == "similarity":
            columns += [gx * x + gy * y, gy * x - gx * y]
        elif model in ("affine", "homography"):
            columns += [gx * x, gx * y, gy * x, gy * y]
        if model == "homography":
            radial = -(gx * x + gy * y)
            columns += [radial * x, radial * y]
        return np.stack(columns, axis=1).astype(np.float32)

    def step(self, model: Model, found: Matrix) -> Matrix:
        """The matrix in px of a step, given by its parameters in the order of `descents`, each in px at the edge."""
        p = np.zeros(8)
        p[: len(found)] = found / self.radius
        if model == "similarity":
            p = np.array([p[0], p[1], p[2], -p[3], p[3], p[2], 0, 0])
        own = np.array([[1 + p[2], p[3], p[0]], [p[4], 1 + p[5], p[1]], [p[6], p[7], 1]])
        to_own = np.array([[1, 0, -self.center[0]], [0, 1, -self.center[1]], [0, 0, self.radius]]) / self.radius
        return np.asarray(np.linalg.inv(to_own) @ own @ to_own)


def _at_scale(compared: _Compared, other: Array, model: Model, matrix: Matrix) -> Registration:
    descents = compared.descents(model)
    parameters = descents.shape[1]
    for _ in range(_ITERATIONS):
        residuals, seen = compared.residuals(other, matrix)
        if len(seen) < 20 * parameters:
            break
        spread = _spread(residuals)
        weights = (1 - _robust_error(residuals, spread)) ** 2
        own = descents[seen]
        weighted = own * weights[:, None]
        normal = (weighted.T @ own).astype(np.float64)
        try:
            found = np.linalg.solve(normal, (weighted.T @ residuals).astype(np.float64))
        except np.linalg.LinAlgError:
            break  # nothing to hold on to: the correlation tells
        if not np.abs(found).max() < compared.radius / 2:
            break
        matrix = matrix @ np.linalg.inv(compared.step(model, found))
        if float(np.abs(found).max()) < _CONVERGED_PX:
            break
    residuals, seen = compared.residuals(other, matrix)
    here = compared.values[seen]
    there = residuals + here
    if len(seen) < 20 * parameters or not (np.ptp(here) and np.ptp(there)):  # a black photo correlates with nothing
        return Registration(matrix, -1.0, 0.0)
    return Registration(matrix, float(np.corrcoef(there, here)[0, 1]), len(seen) / len(compared.rows))


def _spread(residuals: Array) -> float:
    return max(1e-3, 1.4826 * float(np.median(np.abs(residuals)))) if len(residuals) else 1.0


def _robust_error(residuals: Array, spread: float) -> NDArray[Any]:
    squares = np.square(residuals / np.float32(_TUNING * spread))
    return np.asarray(squares / (1 + squares))

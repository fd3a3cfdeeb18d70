"""The sky of a frame, without a network: what is smooth, reaches the top, and differs from what lies below.

After Shen and Wang 2013, "Sky region detection in a single image for autonomous ground robot navigation"
(International Journal of Advanced Robotic Systems 10): in every column the sky ends at the first gradient above a
threshold, and of all thresholds that one is taken whose two regions are most homogeneous. We depart from it in five
places. Homogeneous is what two Gaussians of color and roughness describe most briefly (Kittler and Illingworth 1986,
"Minimum error thresholding"), which unlike their energy does not prefer tiny regions. Against that counts how sharp
the border is, because clouds are soft and a horizon is not; before a camera that stands still it is the sharpness
that lasts, as clouds move. The border is then moved, column by column, to where both want it. What stands in front of
the sky is told by the same Gaussians. And a frame without sky is recognized by what the upper region looks like, in
several soft conditions that are multiplied.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, prod
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.masks.ranges import smoothstep
from pipeline.media.image.oklab import oklab_from_srgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

SKY_SIDE_PX: Final = 320
"""Longer side of the frames in which the sky is looked for."""
GRADIENTS: Final = tuple(float(level) for level in np.geomspace(10, 400, 20))
"""Thresholds of the gradient."""
MIN_FRACTION: Final = 0.03
"""Sky and ground each have at least this fraction of the frame."""
JAGGED: Final = 5.0
"""Cost of a border that moves up and down by its own height of frame from column to column."""
NOISE: Final = 2e-4
"""Variance of every feature that counts as noise."""
ROUGHNESS: Final = 0.03
"""How much the logarithm of the gradient counts beside the color."""
MOVES: Final = 4
"""How often Gaussians and border are fitted to each other."""
REACH: Final = 2
"""Frames before and after that a sky is averaged with."""
LASTING: Final = 64
"""Frames before and after in which the detail of a frame may last."""
AGREEMENT: Final = (0.1, 0.25)
"""Correlation with a frame's detail up to which that of another does not count, and from which it counts fully."""
DARK: Final = 0.05
"""Lightness that is added before the logarithm."""
DETAILS: Final = tuple(float(level) for level in np.geomspace(0.005, 0.2, 12))
"""Thresholds of the detail."""
SHARPEST: Final = 0.05
"""Detail from which on a border is sharp."""
SHARPNESS: Final = 1.0
"""Half nats per pixel by which a border e times as sharp may describe the frame worse."""
STIFFNESS: Final = 0.02
"""Standard deviation of the smoothing of the likelihoods across columns, of the width."""


@dataclass(frozen=True, slots=True)
class Sky:
    """The sky of a small frame: `mask` float32 (h, w) in [0, 1], and how likely it is sky at all, in [0, 1]."""

    mask: NDArray[np.float32]
    presence: float


def fine_detail(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What is finer than most clouds in the logarithm of the lightness of a small frame; float32 (h, w)."""
    logs = np.log(oklab_from_srgb(frame)[..., 0] + np.float32(DARK))
    return np.asarray(cv2.GaussianBlur(logs, (0, 0), 0.7) - cv2.GaussianBlur(logs, (0, 0), 2), np.float32)


def lasting_detail(around: list[NDArray[np.float32]], center: int) -> NDArray[np.float32]:
    """Mean of the details, float32 (h, w), that agree with `around[center]`, by their correlation with it.

    Before a camera that stands still the ground lasts, and clouds, which move, average out. The frames of a moving
    camera do not agree, and the detail remains that of the one frame.
    """
    norms = [float(np.linalg.norm(detail)) + 1e-6 for detail in around]
    agreements = [
        float(np.vdot(detail, around[center])) / (norm * norms[center])
        for detail, norm in zip(around, norms, strict=True)
    ]
    weights = [float(smoothstep(*AGREEMENT, agreement)) for agreement in agreements]
    weights[center] = 1.0
    total = sum(detail * np.float32(w) for detail, w in zip(around, weights, strict=True) if w > 0)
    return np.asarray(total / np.float32(sum(weights)), np.float32)


def find_sky(frame: NDArray[np.uint8], detail: NDArray[np.float32] | None = None) -> Sky:
    """The sky of a frame, uint8 (H, W, 3) sRGB, of about `SKY_SIDE_PX` px.

    `detail` float32 (H, W) is that of `lasting_detail` (None: that of the frame alone).
    """
    height, width = frame.shape[:2]
    lab = oklab_from_srgb(frame)
    gradient = _gradient(frame)
    magnitude = np.abs(fine_detail(frame) if detail is None else detail)
    strength = np.asarray(cv2.GaussianBlur(magnitude, (0, 0), 1), np.float32)
    features = np.concatenate([lab, ROUGHNESS * np.log1p(gradient / 8)[..., None]], axis=-1).astype(np.float64)
    sums, sharpness = _column_sums(features), _sharpness(strength)

    def cost(border: NDArray[np.intp]) -> float:
        return _length(sums, border) - float(sharpness[border, np.arange(width)].mean())

    candidates = [_first_above(gradient, threshold) for threshold in GRADIENTS]
    candidates += [_first_above(strength, threshold) for threshold in DETAILS]
    border = min(candidates, key=cost)
    for _ in range(MOVES):
        moved = _moved(features, sums, sharpness, border)
        if cost(moved) >= cost(border):
            break
        border = moved
    if not np.isfinite(_length(sums, border)):
        return Sky(np.zeros((height, width), np.float32), 0.0)
    above = np.arange(height)[:, None] < border
    likelier = _log_ratio(features, sums, border) > 0
    mask = above & ~_standing(above & ~likelier, ~above)
    gain = _length(sums, np.zeros(width, np.intp), least=0) - _length(sums, border)
    presence = _presence(lab, gradient, above, gain)
    return Sky(mask.astype(np.float32), presence)


def steady_sky(around: list[Sky], center: int) -> NDArray[np.float32]:
    """The mask of sky `around[center]`, averaged with its neighbors in time by binomial weights: float32 (h, w).

    The presence is averaged alike and multiplies the mask, so a frame that is misjudged among others changes little.
    """
    weights = np.array([comb(2 * REACH, position - center + REACH) for position in range(len(around))], np.float64)
    weights /= weights.sum()
    mask = np.tensordot(weights, np.stack([sky.mask for sky in around]), 1)
    presence = float(weights @ np.array([sky.presence for sky in around]))
    return np.asarray(mask * smoothstep(0.25, 0.75, presence), np.float32)


def _gradient(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Gradient by Sobel's operator, float32 (H, W), in levels, as it would be at `SKY_SIDE_PX`."""
    smooth = cv2.GaussianBlur(frame, (0, 0), 1).astype(np.float32)
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, *axes, ksize=3) for axes in ((1, 0), (0, 1)))
    scale = np.float32(max(frame.shape) / SKY_SIDE_PX)
    return np.asarray(scale * np.sqrt((np.square(across) + np.square(down)).max(axis=-1)), np.float32)


def _first_above(gradient: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """Row of the first gradient above a threshold in every column, the height where there is none; (W,)."""
    over = np.vstack([gradient > threshold, np.ones((1, gradient.shape[1]), np.bool_)])
    rows = over.argmax(axis=0).astype(np.float32)
    return np.asarray(cv2.medianBlur(rows[None], 5)[0], np.intp)


def _sharpness(strength: NDArray[np.float32]) -> NDArray[np.float64]:
    """How sharp a border above each row would be, in half nats per pixel; (H + 1, W)."""
    nearby = np.log(SHARPEST / 10 + cv2.dilate(strength, np.ones((5, 1), np.uint8)).astype(np.float64))
    nearby = np.minimum(nearby, np.log(SHARPEST))
    return SHARPNESS * np.concatenate([nearby, np.full((1, nearby.shape[1]), nearby.min())])


def _column_sums(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over the first rows of every column, of 1, the features and their products: (H + 1, W, 1 + F + F^2)."""
    height, width, count = features.shape
    products = (features[..., :, None] * features[..., None, :]).reshape(height, width, count * count)
    rows = np.concatenate([np.ones((height, width, 1)), features, products], axis=-1)
    return np.concatenate([np.zeros((1, *rows.shape[1:])), rows.cumsum(axis=0)])


def _gaussians(
    sums: NDArray[np.float64], border: NDArray[np.intp]
) -> list[tuple[float, NDArray[np.float64], NDArray[np.float64]]]:
    """Number of pixels, mean and covariance above and below a border."""
    upper = sums[border, np.arange(len(border))].sum(axis=0)
    regions = []
    for total in (upper, sums[-1].sum(axis=0) - upper):
        count = max(float(total[0]), 1.0)
        features = int(np.sqrt(len(total)))
        mean = total[1 : 1 + features] / count
        covariance = total[1 + features :].reshape(features, features) / count - np.outer(mean, mean)
        regions.append((float(total[0]), mean, covariance + NOISE * np.eye(features)))
    return regions


def _length(sums: NDArray[np.float64], border: NDArray[np.intp], least: float = MIN_FRACTION) -> float:
    """How much two Gaussians need to describe the frame, in half nats per pixel; infinite where a region is tiny."""
    height, width = sums.shape[0] - 1, sums.shape[1]
    regions = _gaussians(sums, border)
    if min(count for count, _, _ in regions) < least * height * width:
        return float("inf")
    nats = sum(count * float(np.linalg.slogdet(covariance)[1]) for count, _, covariance in regions)
    ups_and_downs = float(np.abs(np.diff(border)).mean()) if width > 1 else 0.0
    return float(nats / (height * width) + JAGGED * ups_and_downs / height)


def _log_ratio(
    features: NDArray[np.float64], sums: NDArray[np.float64], border: NDArray[np.intp]
) -> NDArray[np.float64]:
    """How much likelier each pixel is in the Gaussian above the border than in that below; (H, W), in nats."""
    logs = []
    for _, mean, covariance in _gaussians(sums, border):
        off = features - mean
        logs.append(
            -0.5 * (off @ np.linalg.inv(covariance) * off).sum(axis=-1) - 0.5 * np.linalg.slogdet(covariance)[1]
        )
    return np.asarray(logs[0] - logs[1], np.float64)


def _moved(
    features: NDArray[np.float64],
    sums: NDArray[np.float64],
    sharpness: NDArray[np.float64],
    border: NDArray[np.intp],
) -> NDArray[np.intp]:
    """The border at which, column by column, the Gaussians above and below the old one explain the frame best."""
    height, width = features.shape[:2]
    # One outlier, such as the sun, does not outweigh a whole column.
    clipped = np.clip(_log_ratio(features, sums, border), -4, 4)
    sigma = max(0.5, STIFFNESS * width)
    ratio = cv2.GaussianBlur(clipped, (0, 0), sigmaX=sigma, sigmaY=0.5)
    total = np.concatenate([np.zeros((1, width)), ratio.cumsum(axis=0)])
    total += height / 2 * cv2.GaussianBlur(sharpness, (0, 0), sigmaX=2, sigmaY=0.5)
    return np.asarray(total.argmax(axis=0), np.intp)


def _standing(different: NDArray[np.bool_], ground: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is different above the border and stands on the ground; the sun and clouds do not, nor what is very wide."""
    run = np.ones((1, max(1, different.shape[1] // 4)), np.uint8)
    different = different & (cv2.morphologyEx(different.astype(np.uint8), cv2.MORPH_OPEN, run) == 0)
    _, labels = cv2.connectedComponents((different | ground).astype(np.uint8), connectivity=8)
    standing = np.unique(labels[ground])
    return different & np.isin(labels, standing)


def _presence(lab: NDArray[np.float32], gradient: NDArray[np.float32], above: NDArray[np.bool_], gain: float) -> float:
    """How likely the upper region is a sky, in [0, 1]."""
    lightness, a, b = lab[above].mean(axis=0)
    chroma, hue = float(np.hypot(a, b)), float(np.degrees(np.arctan2(b, a)) % 360)
    rough = float(gradient[above].mean())
    colored, apart = float(smoothstep(0.02, 0.05, chroma)), float(smoothstep(1.3, 1.7, gain))
    blue = 200 <= hue <= 320
    green = 110 < hue < 200
    darkest = 0.2 if blue else 0.35 + 0.25 * colored * (1 - apart)
    darker = -0.12 - 0.3 * blue * colored * apart * (1 - float(smoothstep(12, 24, rough)))  # above snow, white houses
    roughest = 30 + 25 * min(max(gain - 0.6, 0.0), 1.0)  # clouds are rough, but well apart from the ground
    conditions = (
        smoothstep(0.3, 0.6, gain),
        1 - smoothstep(roughest, roughest + 20, rough),
        smoothstep(darkest - 0.05, darkest + 0.05, float(lightness)),
        smoothstep(darker - 0.08, darker, float(lightness - lab[~above][:, 0].mean())),
        1 - colored * green,
    )
    return prod(float(condition) for condition in conditions)

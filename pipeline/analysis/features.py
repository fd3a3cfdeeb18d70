"""A first guess of how one image moved onto another, however far: from points that both have in common (SIFT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.analysis.registration import evened_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

SIDE_PX: Final = 640
"""Longer side of the images in which points are looked for."""
MIN_INLIERS: Final = 16
_MOST: Final = 1500
_CONTRAST: Final = 0.015
"""Contrast of a point at least, in the evened out image: a third of what is usual, for dark and soft photos."""
_RATIO: Final = 0.8
"""Lowe 2004: the best match is this much nearer than the second."""
_THRESHOLD_PX: Final = 2.0


@dataclass(frozen=True, slots=True)
class Features:
    """Points of an image in its own px, float32 (N, 2), their descriptors (N, 128), and its longer side."""

    points: NDArray[np.float32]
    descriptors: NDArray[np.float32]
    side_px: int


def find_features(gray: NDArray[np.uint8]) -> Features:
    """The points of an image, uint8 (H, W), whose exposure and contrast do not count."""
    ratio = min(1.0, SIDE_PX / max(gray.shape))
    size = (max(1, round(gray.shape[1] * ratio)), max(1, round(gray.shape[0] * ratio)))
    small = np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.float32)
    image = np.rint(128 + 48 * evened_out(small)).clip(0, 255).astype(np.uint8)
    found, descriptors = cv2.SIFT.create(nfeatures=_MOST, contrastThreshold=_CONTRAST).detectAndCompute(image, None)
    if not found:
        return Features(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32), max(gray.shape))
    scale = np.array([gray.shape[1] / size[0], gray.shape[0] / size[1]])
    points = (np.array([point.pt for point in found]) + 0.5) * scale - 0.5
    histograms = np.asarray(descriptors, np.float32)
    # Roots of histograms that add up to 1 are compared (Arandjelovic and Zisserman 2012, RootSIFT).
    roots = np.sqrt(histograms / np.maximum(histograms.sum(axis=1, keepdims=True), 1e-6))
    return Features(points.astype(np.float32), roots, max(gray.shape))


def match(anchor: Features, other: Features) -> tuple[Matrix | None, int]:
    """The homography (3, 3) from px of the anchor to px of the other image, and how many points agree with it.

    None where too few do. Found with MAGSAC++ (Barath et al. 2020).
    """
    if min(len(anchor.points), len(other.points)) < MIN_INLIERS:
        return None, 0
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(anchor.descriptors, other.descriptors, k=2)
    good = [best for best, second in pairs if best.distance < _RATIO * second.distance]
    if len(good) < MIN_INLIERS:
        return None, len(good)
    own = anchor.points[[pair.queryIdx for pair in good]]
    there = other.points[[pair.trainIdx for pair in good]]
    threshold = _THRESHOLD_PX * max(1.0, anchor.side_px / SIDE_PX)
    matrix, inliers = cv2.findHomography(own, there, cv2.USAC_MAGSAC, threshold, maxIters=5000, confidence=0.999)
    agreeing = 0 if matrix is None else int(inliers.sum())
    if agreeing < MIN_INLIERS:
        return None, agreeing
    found = np.asarray(matrix, np.float64)
    return (found if plausible(found, anchor.side_px) else None), agreeing


def plausible(matrix: Matrix, side_px: int) -> bool:
    """Whether a homography keeps a frame upright in itself, at most doubled or halved, and without a horizon in it."""
    corners = np.array([[0, side_px, 0, side_px], [0, 0, side_px, side_px], [1, 1, 1, 1.0]])
    depth = (matrix @ corners)[2] / matrix[2, 2]
    area = np.linalg.det(matrix / matrix[2, 2])
    return bool(depth.min() > 0.3 and depth.max() < 3 and 0.25 < area < 4)

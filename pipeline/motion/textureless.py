"""Motion for textureless areas: they get the motion of the textured areas around them.

In a clear sky or on a wall every displacement explains the frame equally well. A local search returns its start value
or follows the noise there, and the stylized image, which does have texture, would be distorted. So the motion of
textured pixels is propagated into textureless areas, from nearby pixels where there are some, else from farther away
(normalized convolution: Knutsson and Westin 1993) at several widths at once.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

TEXTURE = 0.5
"""A pixel is textured if the smaller eigenvalue of its gradient tensor reaches so many (levels / px)^2 (Shi and Tomasi
1994, "Good features to track"), in slightly blurred luma: camera noise of 4 levels has 0.08 there, faint clouds 0.3."""
BLUR_PX = 1.5
WINDOW_PX = 21
STEP = 8
"""Motion is propagated at an eighth of the size."""
REACHES = ((1.5, 1.0), (3.0, 1e-1), (6.0, 1e-2), (12.0, 1e-3), (24.0, 1e-4), (48.0, 1e-5))
"""Standard deviation in px at that size, and weight: farther pixels count only where there are no nearer ones."""


def texture(luma: NDArray[np.uint8]) -> Plane:
    """How well motion can be measured: float32 (H, W), (levels / px)^2, near 0 in textureless areas and along edges."""
    smooth = cv2.GaussianBlur(luma.astype(np.float32), (0, 0), BLUR_PX)
    # Gradients of its Sobel filter count twice for OpenCV, so that the eigenvalue is four times as large.
    return np.asarray(cv2.cornerMinEigenVal(smooth, WINDOW_PX, ksize=3), np.float32) / np.float32(4)


def propagate_into_textureless(flow: Plane, confidence: Plane, luma: NDArray[np.uint8]) -> Plane:
    """The flow (H, W, 2) in px, with the motion of their surroundings in textureless areas.

    `confidence` (H, W) in [0, 1] is that of the flow, `luma` uint8 (H, W) the frame that it starts from. Textured
    pixels keep their motion; without any texture in the frame nothing changes.
    """
    height, width = luma.shape
    textured = np.clip(texture(luma) / TEXTURE, 0, 1)
    weight = np.square(textured) * confidence
    size = (max(1, round(width / STEP)), max(1, round(height / STEP)))
    small_weight = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    small_flow = np.asarray(cv2.resize(flow * _twice(weight), size, interpolation=cv2.INTER_AREA), np.float32)
    if small_weight.max() < 1e-3:
        return flow
    total, sums = np.zeros_like(small_weight), np.zeros_like(small_flow)
    for sigma_px, weight_of_reach in REACHES:
        total += weight_of_reach * cv2.GaussianBlur(small_weight, (0, 0), sigma_px)
        sums += weight_of_reach * cv2.GaussianBlur(small_flow, (0, 0), sigma_px)
    small = sums / (total + np.float32(1e-12))[..., None]
    around: Plane = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    own: Plane = flow - around
    own *= _twice(textured)
    own += around
    return own


def _twice(plane: Plane) -> Plane:
    """The plane (H, W) for both components of a flow: broadcasting along the last axis is several times slower."""
    return np.asarray(cv2.merge([plane, plane]), np.float32)

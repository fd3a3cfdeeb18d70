"""Motion for flat areas: a search sees nothing in them, so they move with what has texture around them.

In a clear sky or on a wall every displacement explains the picture equally well. A local search returns its start or
follows the noise there, and the paint, which does have texture, would be torn. So the motion of textured places is
carried into flat ones, from near by where there is some, else from farther away (normalized convolution: Knutsson and
Westin 1993) at several widths at once.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

TEXTURE = 0.5
"""A place is textured if the smaller eigenvalue of its gradient tensor reaches so many (levels / px)^2 (Shi and Tomasi
1994, "Good features to track"), in slightly blurred luma: camera noise of 4 levels has 0.08 there, faint clouds 0.3."""
BLUR_PX = 1.5
WINDOW_PX = 21
STEP = 8
"""Motion is carried at an eighth of the size."""
REACHES = ((1.5, 1.0), (3.0, 1e-1), (6.0, 1e-2), (12.0, 1e-3), (24.0, 1e-4), (48.0, 1e-5))
"""Standard deviation at that size, and how much it counts: what is farther away only where nothing is nearer."""


def texture(luma: NDArray[np.uint8]) -> Plane:
    """How much there is to see motion by: float32 (H, W), (levels / px)^2, near 0 in flat areas and along edges."""
    picture = cv2.GaussianBlur(luma.astype(np.float32), (0, 0), BLUR_PX)
    across = cv2.Sobel(picture, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(picture, cv2.CV_32F, 0, 1, scale=1 / 8)
    window = (WINDOW_PX, WINDOW_PX)
    xx, yy, xy = (cv2.blur(product, window) for product in (across * across, down * down, across * down))
    return np.asarray((xx + yy) / 2 - np.hypot((xx - yy) / 2, xy), np.float32)


def propagate_into_textureless(flow: Plane, belief: Plane, luma: NDArray[np.uint8]) -> Plane:
    """A flow (H, W, 2) whose flat areas move with their surroundings.

    `belief` (H, W) in [0, 1] says how far the flow is to be trusted, `luma` uint8 (H, W) is the picture that it starts
    from. Textured places keep their motion; without any texture in the picture nothing changes.
    """
    height, width = luma.shape
    seen = np.clip(texture(luma) / TEXTURE, 0, 1)
    weight = np.square(seen) * belief
    size = (max(1, round(width / STEP)), max(1, round(height / STEP)))
    small_weight = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    small_flow = cv2.resize(flow * weight[..., None], size, interpolation=cv2.INTER_AREA)
    if small_weight.max() < 1e-3:
        return flow
    total, sums = np.zeros_like(small_weight), np.zeros_like(small_flow)
    for reach, share in REACHES:
        total += share * cv2.GaussianBlur(small_weight, (0, 0), reach)
        sums += share * cv2.GaussianBlur(small_flow, (0, 0), reach)
    around = cv2.resize(sums / (total + 1e-12)[..., None], (width, height), interpolation=cv2.INTER_LINEAR)
    result: Plane = around + (flow - around) * seen[..., None]
    return result

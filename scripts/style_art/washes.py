"""Transparent paint on paper: washes with dark rims, granulation, bleeding and blooms.

A `Sheet` holds what light the paint lets through. Washes multiply, as glazes do, so order hardly matters and white is
only ever bare paper.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from style_art.fields import Field, blur, fbm, rgb, smoothstep


def inside_px(mask: NDArray[np.bool_]) -> Field:
    """Signed distance (H, W) in pixels to the edge of `mask`: positive inside, negative outside."""
    solid = mask.astype(np.uint8)
    inner = cv2.distanceTransform(solid, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outer = cv2.distanceTransform(1 - solid, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(inner - outer, np.float32)


class Sheet:
    """A sheet of cold-pressed paper and the paint on it. `unit` scales all pixel sizes (1 at 1792 pixels wide)."""

    def __init__(self, shape: tuple[int, int], seed: int, unit: float) -> None:
        self.shape, self.seed, self.unit = shape, seed, unit
        self.light = np.ones((*shape, 3), np.float32)  # transmittance of all paint so far
        self.tooth = np.asarray(
            0.6 * fbm(shape, 7 * unit, seed, octaves=2) + 0.5 * fbm(shape, 3.2 * unit, seed + 1, octaves=1), np.float32
        )
        self._washes = 0

    def wash(
        self,
        inside: Field,
        color: str,
        strength: ArrayLike = 1.0,
        *,
        wet_px: float = 1.2,
        ragged_px: float = 5.0,
        rim: float = 0.9,
        granulation: float = 0.10,
        flow: float = 0.30,
    ) -> None:
        """Lays a wash where `inside` (H, W; signed px) is positive.

        `color` is what strength 1 looks like on white paper. `wet_px` is the softness of the edge (large: wet in wet,
        which has no rim), `ragged_px` how far the edge wanders, `flow` how unevenly the pigment settles.
        """
        self._washes += 1
        seed = self.seed + 97 * self._washes
        unit = self.unit
        wander = fbm(self.shape, 55 * unit, seed, octaves=6, gain=0.6) + 0.35 * self.tooth
        depth = inside / unit + ragged_px * wander
        cover = smoothstep(-wet_px, wet_px, depth)
        settle = fbm(self.shape, 150 * unit, seed + 1, octaves=5, gain=0.55)
        density = np.asarray(strength, np.float32) * (1 + flow * settle)
        # Water carries pigment outward while it dries: a dark line just inside, paler behind it.
        line = np.exp(-np.clip(depth, 0, None) / 2.6) + 0.35 * np.exp(-np.clip(depth, 0, None) / 14.0)
        density = density * (1 - 0.10 * rim + rim * line)
        # Backruns: where a drop fell into the damp wash the pigment is pushed to a crinkled front.
        front = settle + 0.18 * wander
        density = density * (
            1 + 0.5 * flow * np.exp(-(((front - 1.35) / 0.05) ** 2)) - flow * smoothstep(1.35, 1.6, front)
        )
        density = density * (1 + granulation * self.tooth)
        absorb = -np.log(np.clip(rgb(color), 0.02, 0.995))
        self.light *= np.exp(-(np.clip(density, 0, 3) * cover)[..., None] * absorb)

    def lift(self, amount: Field) -> None:
        """Wipes paint off where `amount` (H, W) in [0, 1] says so."""
        self.light += (1 - self.light) * np.clip(amount, 0, 1)[..., None]

    def finished(self, paper: str = "fbf7ec", relief: float = 0.010) -> Field:
        """The sheet in daylight: float32 (H, W, 3) in [0, 1], with the paper's tooth lit from the upper left."""
        tooth = blur(self.tooth, 0.8 * self.unit)
        slope = 0.6 * cv2.Sobel(tooth, cv2.CV_32F, 1, 0, ksize=3) + 0.8 * cv2.Sobel(tooth, cv2.CV_32F, 0, 1, ksize=3)
        shade = 1 + relief * np.tanh(slope / max(float(slope.std()), 1e-6))
        return np.asarray(np.clip(self.light * rgb(paper) * shade[..., None], 0, 1), np.float32)

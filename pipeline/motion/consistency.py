"""The confidence of a flow, by the tests of Ruder, Dosovitskiy and Brox 2016 (arXiv:1604.08610) with their constants.

They come from Sundaram, Brox and Keutzer 2010, "Dense point trajectories by GPU-accelerated large displacement optical
flow", ECCV.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

CONSISTENCY_RELATIVE, CONSISTENCY_PX2 = 0.01, 0.5
BOUNDARY_RELATIVE, BOUNDARY_PX2 = 0.01, 0.002
SOFTNESS_PX = 0.8

Flow = NDArray[np.float32]
Plane = NDArray[np.float32]

ALL_ROWS: Final = slice(None)
BAND_ROWS: Final = 32
"""Rows at a time, so that all intermediate arrays stay in the processor's cache."""


def positions(flow: Flow, rows: slice = ALL_ROWS) -> tuple[Plane, Plane]:
    """Where each pixel of these rows lies in the other frame: x and y, each float32 (h, W) in px."""
    height, width = flow.shape[:2]
    x = np.asarray(flow[rows, :, 0] + np.arange(width, dtype=np.float32), np.float32)
    y = np.asarray(flow[rows, :, 1] + np.arange(height, dtype=np.float32)[rows, None], np.float32)
    return x, y


def flow_confidence(backward: Flow, forward: Flow) -> Plane:
    """Confidence of the backward flow of each pixel of the current frame: float32 (H, W) in [0, 1].

    `backward` leads from the current frame to the previous one, `forward` from the previous to the current, both
    float32 (H, W, 2) in px. The confidence is exactly 0 where a pixel comes from outside the frame, where the two flows
    disagree (disocclusion) or where the flow is discontinuous (motion boundary). Raises ValueError for other shapes.

    We depart from the papers by excluding one more pixel around every such area, because a boundary is rarely estimated
    exactly, and by a soft edge inside what is left, which leaves no visible seam in the stylized frame.
    """
    if backward.shape != forward.shape or backward.ndim != 3 or backward.shape[2] != 2:
        raise ValueError(f"two flows of shape (H, W, 2) expected, not {backward.shape} and {forward.shape}")
    height = len(backward)
    passed = np.empty(backward.shape[:2], np.uint8)
    for first in range(0, height, BAND_ROWS):
        rows = slice(first, min(first + BAND_ROWS, height))
        passed[rows] = inside(backward, rows) & consistent(backward, forward, rows) & ~at_boundary(backward, rows)
    passed *= 255
    eroded = cv2.erode(passed, np.ones((3, 3), np.uint8))
    soft = cv2.GaussianBlur(eroded, (0, 0), SOFTNESS_PX)
    soft[passed == 0] = 0
    return soft.astype(np.float32) / np.float32(255)


def inside(flow: Flow, rows: slice = ALL_ROWS) -> NDArray[np.bool_]:
    """Whether the position of each pixel of these rows in the other frame lies inside that frame; bool (h, W)."""
    height, width = flow.shape[:2]
    x, y = positions(flow, rows)
    within: NDArray[np.bool_] = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return within


def consistent(backward: Flow, forward: Flow, rows: slice = ALL_ROWS) -> NDArray[np.bool_]:
    """|w_f + w_b|^2 < 0.01 (|w_f|^2 + |w_b|^2) + 0.5, w_f sampled at the position that w_b leads to; bool (h, W).

    The test for disoccluded regions of Ruder et al. 2016: following both flows does not return to the same pixel.
    """
    x, y = positions(backward, rows)
    own = backward[rows]
    returned = np.asarray(cv2.remap(forward, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
    mismatch = _squared(own + returned)
    agree: NDArray[np.bool_] = mismatch < CONSISTENCY_RELATIVE * (_squared(own) + _squared(returned)) + CONSISTENCY_PX2
    return agree


def at_boundary(flow: Flow, rows: slice = ALL_ROWS) -> NDArray[np.bool_]:
    """|grad u|^2 + |grad v|^2 > 0.01 |w|^2 + 0.002, by central differences; bool (h, W).

    The test for motion boundaries of Ruder et al. 2016: the flow there is a mixture of two motions.
    """
    first, last, _ = rows.indices(len(flow))
    above, below = int(first > 0), int(last < len(flow))
    around = flow[first - above : last + below]
    padded = np.asarray(cv2.copyMakeBorder(around, 1 - above, 1 - below, 1, 1, cv2.BORDER_REPLICATE), np.float32)
    across = (padded[1:-1, 2:] - padded[1:-1, :-2]) * np.float32(0.5)
    down = (padded[2:, 1:-1] - padded[:-2, 1:-1]) * np.float32(0.5)
    steep: NDArray[np.bool_] = (
        _squared(across) + _squared(down) > BOUNDARY_RELATIVE * _squared(flow[rows]) + BOUNDARY_PX2
    )
    return steep


def _squared(vectors: Flow) -> Plane:
    length: Plane = np.square(vectors[..., 0]) + np.square(vectors[..., 1])
    return length

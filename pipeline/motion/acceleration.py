"""How the motion of the content changes at a frame, from the flows to the frames before and behind it.

The path of a pixel through two frames is straight, through three or four it bends. Constant acceleration follows Xu et
al. 2019, "Quadratic video interpolation" (arXiv:1911.00627, eq. 3). We depart from it in averaging accelerations over
an area, and in leaving them out where they are so large that they rather are errors of the flow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipeline.motion.between import FlowPair

Plane = NDArray[np.float32]

CELL_PX: Final = 8
"""Accelerations are means over cells of this side, and of what lies around them."""
MOST, MOST_PX2 = 0.7, 0.25
"""A change of the motion by more than this fraction of its length, or half a pixel, is not taken for one."""
LEAST_WEIGHT: Final = 0.05
"""Added to the weight of the flows: accelerations that hardly any pixel of the area shows fade to none."""


def acceleration_at(before: FlowPair, behind: FlowPair) -> Plane | None:
    """The change of the motion at a frame, float32 (ceil(H / 8), ceil(W / 8), 2) in px of the frame per step and step.

    `before` leads from the frame before to this one and `behind` from it to the one behind, all at even distances in
    time. None where one of the two has no flow.
    """
    if before.backward is None or behind.forward is None:
        return None
    assert before.weight_b is not None and behind.weight_a is not None
    change = behind.forward + before.backward
    length = np.maximum(_squared(behind.forward), _squared(before.backward))
    weight = np.where(_squared(change) < MOST**2 * length + MOST_PX2, before.weight_b * behind.weight_a, np.float32(0))
    height, width = weight.shape
    size = (-(-width // CELL_PX), -(-height // CELL_PX))
    sums, total = (
        cv2.GaussianBlur(cv2.resize(it, size, interpolation=cv2.INTER_AREA), (0, 0), 1.0)
        for it in (change * weight[..., np.newaxis], weight)
    )
    return np.asarray(sums / (total + np.float32(LEAST_WEIGHT))[..., np.newaxis], np.float32)


def _squared(vectors: Plane) -> Plane:
    return np.asarray(np.square(vectors).sum(axis=2), np.float32)

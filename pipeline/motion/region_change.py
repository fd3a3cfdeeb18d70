"""Where a pixel belongs to another region than before: what is there must be stylized anew, in the style of its region.

Maps of regions are float32 (R + 1, H, W) in [0, 1] and add up to 1; the first is that of what is in no region.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.motion.consistency import positions

Maps = NDArray[np.float32]

RAMP: Final = (0.1, 0.5)
"""How far two maps may differ along the motion with no effect, and from where on the pixel is in another region: edges
of masks and of the motion never match to the pixel."""
FRINGE: Final = 0.012
"""Of the longer side: so far around a pixel that is in another region all is stylized anew. Strokes at a border follow
it, and would stay behind as its outline."""


def region_maps(masks: NDArray[np.float32]) -> Maps:
    """Maps of R + 1 regions from masks (R, H, W) in [0, 1]; later ones lie over earlier ones."""
    maps = np.empty((len(masks) + 1, *masks.shape[1:]), np.float32)
    uncovered = np.ones(masks.shape[1:], np.float32)
    for number in range(len(masks), 0, -1):
        mask = masks[number - 1].clip(0, 1)
        maps[number] = mask * uncovered
        uncovered = uncovered * (1 - mask)
    maps[0] = uncovered
    return maps


def region_change(other: Maps, current: Maps, backward_flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each pixel of the current frame is in another region than where it comes from: (H, W) in [0, 1]."""
    x, y = positions(backward_flow)
    difference = np.zeros(current.shape[1:], np.float32)
    for before, now in zip(other, current, strict=True):
        moved = cv2.remap(before, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        difference += np.abs(now - moved) / np.float32(2)
    low, high = RAMP
    changed = np.asarray(np.clip((difference - low) / (high - low), 0, 1), np.float32)
    if not changed.any():
        return changed
    radius = max(1, round(FRINGE * max(changed.shape)))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    spread = cv2.GaussianBlur(cv2.dilate(changed, disk), (0, 0), radius / 3)
    return np.asarray(np.maximum(changed, spread).clip(0, 1), np.float32)

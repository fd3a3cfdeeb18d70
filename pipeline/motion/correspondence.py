"""Which pixels of two content frames show the same thing: the motion between them, and what changed along it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.media.image.arrays import size_within
from pipeline.media.image.recolor import color_gaussian
from pipeline.motion.consistency import inside, positions
from pipeline.motion.exposure import at_exposure_of
from pipeline.motion.light_change import LightPair, light_size

if TYPE_CHECKING:
    from pipeline.types import Motion

COMPARED_SIDE_PX: Final = 480
"""Frames are compared at this size."""
CHANGE_BLUR: Final = 0.004
"""Of the longer side: differences are blurred by this standard deviation, which removes camera noise."""
CHANGE_RAMP: Final = (0.03, 0.09)
"""Mean absolute difference of the colors, of 1, up to which a pixel is unchanged, and from which on it has changed."""


@dataclass(frozen=True, slots=True)
class Correspondence:
    """How the current content frame corresponds to a previous (or later) one.

    `change` is float32 (H, W) in [0, 1]: 1 where the current frame shows something else even along the motion, and
    where it shows what was outside the other frame. `light` is what their light is compared by (None: not at all).
    """

    motion: Motion
    change: NDArray[np.float32]
    light: LightPair | None = None

    @property
    def confidence(self) -> NDArray[np.float32]:
        """That a pixel shows the same in both frames: confidence of the flow times 1 - change; float32 (H, W)."""
        same: NDArray[np.float32] = self.motion.confidence * (1 - self.change)
        return same


def find_correspondence(other: NDArray[np.uint8], content: NDArray[np.uint8], motion: Motion) -> Correspondence:
    """Compare two content frames, uint8 (H, W, 3) sRGB, along the motion from the other one to the current one."""
    height, width = content.shape[:2]
    size = size_within(width, height, COMPARED_SIDE_PX)
    before, now, flow = (
        np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)
        for plane in (other, content, motion.backward_flow)
    )
    flow *= np.array([size[0] / width, size[1] / height], np.float32)
    moved = cv2.remap(before, *positions(flow), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    before, now, moved = (plane / np.float32(255) for plane in (before, now, moved))
    # Exposure that changes is no change of what is shown, and strokes need not give way to it.
    difference = np.abs(now - at_exposure_of(now, moved)).mean(axis=2)
    blurred = cv2.GaussianBlur(difference, (0, 0), max(0.8, CHANGE_BLUR * max(size)))
    low, high = CHANGE_RAMP
    change = np.clip((blurred - low) / (high - low), 0, 1)
    valid = cv2.resize(motion.confidence, size, interpolation=cv2.INTER_AREA) * (1 - change)
    small_before, small_now, small_moved, small_valid = (
        np.asarray(cv2.resize(plane, light_size(height, width), interpolation=cv2.INTER_AREA), np.float32)
        for plane in (before, now, moved, valid)
    )
    light = LightPair(small_now, small_moved, small_valid, color_gaussian(small_now), color_gaussian(small_before))
    change = np.asarray(cv2.resize(change, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    change[~inside(motion.backward_flow)] = 1
    return Correspondence(motion, change, light)

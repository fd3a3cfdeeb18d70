"""Where the content changed recently: the stylized frame there is still being worked out, and must not be held fast.

The content of the last frames is kept at a small size and moved along the flow from frame to frame, so that each kept
frame lies where its content is now. Where it differs from the current frame, or where the flow does not lead to it, the
content changed since. Nothing older than the kept frames counts, so a chain that is continued needs only these.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.motion.consistency import positions
from pipeline.motion.light_change import light_size

if TYPE_CHECKING:
    from pipeline.types import Motion

    Plane = NDArray[np.float32]

RECENT_FRAMES: Final = 12
"""A change is recent for so many stylized frames; it counts less with each."""
NOISE_SIGMA_PX: Final = 1.0
"""Blur of the differences, which removes camera noise, at the small size."""
RAMP: Final = (0.04, 0.10)
"""Mean absolute difference of the colors, of 1, up to which a pixel is unchanged, and from which on it has changed."""


@dataclass(slots=True)
class _Kept:
    content: Plane  # (h, w, 3) in [0, 1], where it is now
    confidence: Plane  # (h, w) in [0, 1]: of the flow, over all frames since


class RecentChanges:
    """The changes of one chain: give it every stylized frame in order."""

    def __init__(self) -> None:
        self._kept: deque[_Kept] = deque(maxlen=RECENT_FRAMES)
        self._previous: Plane | None = None

    def add(self, content: NDArray[np.uint8], motion: Motion | None) -> Plane:
        """How recently the content, uint8 (H, W, 3), changed: float32 (h, w) of a small size, in [0, 1].

        1 where it changed since the previous frame, towards 0 where that was `RECENT_FRAMES` frames ago. `motion` is
        that from the previous frame; None: there is none to compare with, so all that was kept is forgotten.
        """
        height, width = content.shape[:2]
        size = light_size(height, width)
        current = np.asarray(cv2.resize(content, size, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)
        if motion is None or self._previous is None:
            self._kept.clear()
        else:
            self._move(motion, size)
        self._previous = current
        recent = np.zeros(current.shape[:2], np.float32)
        for frames, older in enumerate(reversed(self._kept)):
            changed = 1 - (1 - _difference(older.content, current)) * older.confidence
            np.maximum(recent, changed * np.float32(1 - frames / RECENT_FRAMES), out=recent)
        return recent

    def _move(self, motion: Motion, size: tuple[int, int]) -> None:
        """Move all kept frames, and the previous one, to where their content is in the current frame."""
        assert self._previous is not None
        height, width = motion.confidence.shape
        flow = np.asarray(cv2.resize(motion.backward_flow, size, interpolation=cv2.INTER_AREA), np.float32)
        flow *= np.array([size[0] / width, size[1] / height], np.float32)
        confidence = np.asarray(cv2.resize(motion.confidence, size, interpolation=cv2.INTER_AREA), np.float32)
        self._kept.append(_Kept(self._previous, np.ones_like(confidence)))
        moves = bool(flow.any())
        x, y = positions(flow)
        for kept in self._kept:
            if moves:
                kept.content, kept.confidence = (
                    np.asarray(cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
                    for plane in (kept.content, kept.confidence)
                )
            kept.confidence = kept.confidence * confidence


def _difference(older: Plane, current: Plane) -> Plane:
    """How far the content differs from an older frame: float32 (h, w) in [0, 1]."""
    blurred = cv2.GaussianBlur(np.abs(current - older).mean(axis=2), (0, 0), NOISE_SIGMA_PX)
    low, high = RAMP
    return np.asarray(np.clip((blurred - low) / (high - low), 0, 1), np.float32)

"""What changes from frame to frame of an animation, so that only that is written."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    RGB = NDArray[np.uint8]

_AHEAD: Final = 4
"""Frames over which a new color is averaged, as far as it stays: so noise neither comes into the table nor lasts."""
_CHANNELS: Final = (np.float32(0.75), np.float32(1), np.float32(0.5))
"""How visible a change of red, green and blue is; the largest counts."""
_BROAD_PX: Final = 7
_BROAD: Final = 0.3
"""A change of a whole area is visible at this fraction of the change that is visible at a single pixel."""


def held_frames(frames: Iterable[RGB], tolerance: float) -> Iterator[tuple[RGB, NDArray[np.bool_]]]:
    """Each frame, uint8 (H, W, 3), with small changes left out, and which pixels (H, W) changed.

    A pixel changes when it, or the area around it, differs by more than `tolerance` levels of 255 from the frame that
    it shows; so errors do not add up. It changes to the mean of the next frames, while these differ by less from the
    new one. The first frame changes everywhere. Five frames are in memory.
    """
    ahead: deque[RGB] = deque()
    shown: RGB | None = None
    for frame in frames:
        ahead.append(frame)
        if len(ahead) > _AHEAD:
            shown, changed = _step(shown, ahead, tolerance)
            yield shown, changed
    while ahead:
        shown, changed = _step(shown, ahead, tolerance)
        yield shown, changed


def _step(shown: RGB | None, ahead: deque[RGB], tolerance: float) -> tuple[RGB, NDArray[np.bool_]]:
    frame = ahead.popleft()
    if shown is None:
        changed = np.ones(frame.shape[:2], bool)
    else:
        difference = frame.astype(np.float32) - shown
        broad = np.asarray(cv2.blur(difference, (_BROAD_PX, _BROAD_PX), borderType=cv2.BORDER_REPLICATE), np.float32)
        changed = (_visible(difference) > tolerance) | (_visible(broad) > _BROAD * tolerance)
    total, count = frame.astype(np.float32), np.ones(frame.shape[:2], np.float32)
    stays = changed
    for later in ahead if tolerance else ():
        stays = stays & (_visible(later.astype(np.float32) - frame) <= tolerance)
        if not stays.any():
            break
        total += later * stays[..., np.newaxis]
        count += stays
    settled = np.rint(total / count[..., np.newaxis]).astype(np.uint8)
    return (settled if shown is None else np.where(changed[..., np.newaxis], settled, shown)), changed


def _visible(difference: NDArray[np.float32]) -> NDArray[np.float32]:
    red, green, blue = (
        weight * channel for weight, channel in zip(_CHANNELS, cv2.split(np.abs(difference)), strict=True)
    )
    return np.asarray(np.maximum(np.maximum(red, green), blue), np.float32)


def box(wanted: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of the smallest rectangle around what is true; one pixel if nothing is."""
    rows, columns = (np.flatnonzero(wanted.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return 0, 1, 0, 1
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1

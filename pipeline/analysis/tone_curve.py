"""Tone curves: how the exposure of one frame is corrected, by a table for each channel.

A curve shifts logits, log(v / (1 - v)): black stays black, white stays white, and a constant shift is monotone. The
table depends on nothing but the curve, which stands in the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.types import TONE_NODES, TONE_UNIT, Pixels, ToneCurve

Depth = TypeVar("Depth", bound=np.unsignedinteger[Any])


def apply_tone_curve(rgb: NDArray[Depth], curve: ToneCurve) -> NDArray[Depth]:
    """A frame, uint8 or uint16 (H, W, 3) sRGB, with a curve applied; the same array for an empty curve.

    Every curve is monotone and keeps black and white, so nothing is clipped and the order of levels never changes.
    """
    if not curve:
        return rgb
    return np.asarray(cv2.LUT(rgb, _table(curve, np.iinfo(rgb.dtype).max).astype(rgb.dtype)), rgb.dtype)


def tone_correction(curves: Sequence[ToneCurve]) -> Callable[[int, Pixels], Pixels] | None:
    """A function of frame index and frame that applies the curves of a plan; None if the plan has none."""
    if not curves:
        return None
    return lambda index, rgb: apply_tone_curve(rgb, curves[index])


def logit(levels: NDArray[Any]) -> NDArray[Any]:
    """log(v / (1 - v)) with 256 levels spread evenly inside (0, 1)."""
    return np.log((levels + 0.5) / (255.5 - levels))


NODE_LOGITS: Final = np.asarray(logit(np.asarray(TONE_NODES, np.float64)))


def _table(curve: ToneCurve, last: int) -> NDArray[np.float64]:
    """The curve as a table (1, last + 1, 3) of whole numbers in [0, last]."""
    nodes = len(TONE_NODES)
    shifts = np.asarray(curve, float) / TONE_UNIT
    moved = before = np.repeat(_level_logits(last)[:, None], 3, axis=1)
    # A shift was measured, and is valid, at the middle between the old level and the new one.
    for _ in range(2):
        moved = before + np.interp((before + moved) / 2, NODE_LOGITS, shifts[:nodes]) + shifts[nodes:]
    values = 256 / (1 + np.exp(-moved)) - 0.5
    values[0], values[last] = 0, 255
    # Shifts that differ much from node to node could reverse the order of levels.
    return np.maximum.accumulate(np.rint(values * (last // 255)).clip(0, last), axis=0)[None]


@cache
def _level_logits(last: int) -> NDArray[np.float64]:
    return np.asarray(logit(np.arange(last + 1) * (255 / last)))

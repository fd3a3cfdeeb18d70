"""The level of every frame: its mean luma, by which a fade, a flash or a night can be told from the frames around it.

A level is measured in the same small frames as cuts and flicker, and is that of the content as it is stylized: after
the tone curve that evens out the exposure. The curves are known only after the last frame, so each frame leaves its
histogram, and the mean of every possible curve follows from that without a second pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.tone_curve import apply_tone_curve
from pipeline.types import LEVEL_UNIT, ToneCurve

_LUMA: Final = np.array([0.2126, 0.7152, 0.0722])
"""BT.709, on gamma-encoded values."""
_RAMP: Final = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
"""Every value once in each channel, as an image (1, 256, 3)."""


class LevelMeasurement:
    """Takes every frame once, in order, and keeps a histogram of each."""

    def __init__(self) -> None:
        self._histograms: list[NDArray[np.float32]] = []

    def add(self, rgb: NDArray[np.uint8]) -> None:
        """Measure a frame, uint8 (H, W, 3) sRGB."""
        counts = np.stack([np.bincount(rgb[..., channel].ravel(), minlength=256) for channel in range(3)], axis=1)
        self._histograms.append((counts / rgb[..., 0].size).astype(np.float32))

    def levels(self, curves: Sequence[ToneCurve] = ()) -> tuple[int, ...]:
        """Mean luma of every frame after its tone curve, in hundredths of a level of 255.

        `curves` has one curve for every frame, or is empty. Raises ValueError for another number of curves.
        """
        if curves and len(curves) != len(self._histograms):
            raise ValueError(f"{len(curves)} tone curves for {len(self._histograms)} frames")
        found = []
        for index, histogram in enumerate(self._histograms):
            values = apply_tone_curve(_RAMP, curves[index] if curves else ())[0]
            found.append(round(float((histogram * values).sum(axis=0) @ _LUMA) * LEVEL_UNIT))
        return tuple(found)

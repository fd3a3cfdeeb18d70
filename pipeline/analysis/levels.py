"""Level and contrast of every frame, by which a fade, a flash, a night or a fog is told from the frames around it.

The level is the mean and the contrast the standard deviation of luma. Both are measured in the same small frames as
cuts and flicker, and are those of the content as it is stylized: after the tone curve that evens out the exposure. The
curves are known only after the last frame, so each frame leaves its histograms, and the values after every possible
curve follow from these without a second pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    """Takes every frame once, in order, and keeps histograms of each."""

    def __init__(self) -> None:
        self._histograms: list[NDArray[np.float32]] = []

    def add(self, rgb: NDArray[np.uint8]) -> None:
        """Measure a frame, uint8 (H, W, 3) sRGB."""
        luma = np.rint(rgb @ _LUMA).astype(np.uint8)
        planes = [rgb[..., 0], rgb[..., 1], rgb[..., 2], luma]
        counts = np.stack([np.bincount(plane.ravel(), minlength=256) for plane in planes], axis=1)
        self._histograms.append((counts / luma.size).astype(np.float32))

    def levels(self, curves: Sequence[ToneCurve] = ()) -> tuple[int, ...]:
        """Mean luma of every frame after its tone curve, in hundredths of a level of 255.

        `curves` has one curve for every frame, or is empty. Raises ValueError for another number of curves.
        """
        return tuple(
            round(float((histogram[:, :3] * values).sum(axis=0) @ _LUMA) * LEVEL_UNIT)
            for histogram, values in self._with_values(curves)
        )

    def contrasts(self, curves: Sequence[ToneCurve] = ()) -> tuple[int, ...]:
        """Standard deviation of luma of every frame after its tone curve, in hundredths of a level of 255.

        Luma is rounded to levels before, and changes as the curve changes gray. `curves` as in `levels`.
        """
        found = []
        for histogram, values in self._with_values(curves):
            luma, fractions = values @ _LUMA, histogram[:, 3].astype(np.float64)
            mean = fractions @ luma
            found.append(round(float(np.sqrt(fractions @ np.square(luma - mean))) * LEVEL_UNIT))
        return tuple(found)

    def _with_values(self, curves: Sequence[ToneCurve]) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
        """The histograms of every frame, and what its curve makes of all values of the channels, (256, 3)."""
        if curves and len(curves) != len(self._histograms):
            raise ValueError(f"{len(curves)} tone curves for {len(self._histograms)} frames")
        for index, histogram in enumerate(self._histograms):
            yield histogram, apply_tone_curve(_RAMP, curves[index] if curves else ())[0]

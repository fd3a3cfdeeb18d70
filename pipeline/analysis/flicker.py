"""Flicker of exposure: measured frame by frame, and decided shot by shot.

A timelapse flickers because the camera chooses shutter, aperture and white balance anew for every frame, and every
styler amplifies that. The change of exposure between neighbors is measured (`flicker_measure`), flicker is told apart
from light that really changes (`flicker_trend`), and what is evened out becomes a tone curve per frame (`tone_curve`),
which stands in the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.analysis.flicker_measure import SMALL_PX, Gain, measure_gain
from pipeline.analysis.flicker_trend import flicker_levels, separate_flicker
from pipeline.types import TONE_UNIT, ToneCurve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.types import Shot

THRESHOLD: Final = 0.6
"""Frames that flicker by less, in levels of 255, are left as they are: see `flicker_levels`. We measured 2.2 and 0.9 in
timelapses that flicker, and in videos at most 0.43: in an uneven fade, and as error of measurement where the camera
moves."""

BLOCK: Final = 60
"""So many frames of a shot are compared with the threshold together."""


@dataclass(frozen=True, slots=True)
class Flicker:
    """What is evened out: a curve for every frame, or none at all.

    `levels` is the flicker of the strongest block that is evened out, in levels of 255; 0 if there is none.
    """

    curves: tuple[ToneCurve, ...]
    levels: float


class FlickerMeasurement:
    """Takes every frame once, in order, and keeps only the previous frame and a few numbers per pair."""

    def __init__(self) -> None:
        self._previous: NDArray[np.uint8] | None = None
        self._gains: list[Gain | None] = []

    def add(self, rgb: NDArray[np.uint8]) -> None:
        """Measure the step from the previous frame to this one, uint8 (H, W, 3) sRGB; all of one size."""
        ratio = SMALL_PX / max(rgb.shape[:2])
        if ratio < 1:
            size = (max(1, round(rgb.shape[1] * ratio)), max(1, round(rgb.shape[0] * ratio)))
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        if self._previous is not None:
            self._gains.append(measure_gain(self._previous, rgb))
        self._previous = rgb

    def flicker(self, shots: Sequence[Shot], strength: float) -> Flicker:
        """Curves for all frames of the shots, scaled by `strength` in [0, 1]: 1 removes the flicker entirely.

        Raises ValueError unless the shots cover the frames that were added.
        """
        count = len(self._gains) + (self._previous is not None)
        if sum(shot.stop - shot.start for shot in shots) != count:
            raise ValueError(f"the shots do not cover the {count} frames that were measured")
        curves: list[ToneCurve] = []
        strongest = 0.0
        for shot in shots:
            shifts, fractions = separate_flicker(self._gains[shot.start : shot.stop - 1])
            edges = [*range(0, max(1, len(shifts) - BLOCK // 2), BLOCK), len(shifts)]
            for start, stop in pairwise(edges):
                levels = flicker_levels(shifts[start:stop], fractions[start:stop])
                if levels < THRESHOLD:
                    shifts[start:stop] = 0
                else:
                    strongest = max(strongest, levels)
            rows = np.rint(-strength * TONE_UNIT * shifts).astype(int).tolist()
            curves += [tuple(row) if any(row) else () for row in rows]
        return Flicker(tuple(curves) if any(curves) else (), strongest)

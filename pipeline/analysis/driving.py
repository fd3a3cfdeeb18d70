"""What curves can follow: the light of the content, and how much of the frame a mask covers.

Both are smoothed over time within each shot, so that a cloud or a car that passes does not make the style flicker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.types import LEVEL_UNIT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.types import Frame, Masks, Shot

SMOOTH_FRAMES: Final = 8.0
"""Standard deviation, in frames, of the Gaussian filter over time: what passes within a second hardly counts."""


def measured_light(levels: Sequence[int], shots: Sequence[Shot]) -> tuple[float, ...]:
    """The light of every frame in [0, 1], smoothed: its mean luma over 255.

    `levels` has the mean luma of every frame in hundredths of a level of 255; `shots` cover all frames.
    """
    return smoothed([level / (255 * LEVEL_UNIT) for level in levels], shots)


def covered_fractions(masks: Masks, frames: Iterable[Frame], shots: Sequence[Shot]) -> list[tuple[float, ...]]:
    """For each of the masks, the fraction of every frame that it covers, in [0, 1], smoothed.

    `frames` are all content frames in order, of any size; soft masks count by their values.
    """
    means = [masks(frame.index, frame.rgb).mean(axis=(1, 2), dtype=np.float64) for frame in frames]
    return [smoothed(fractions, shots) for fractions in np.stack(means, axis=1)]


def smoothed(values: Sequence[float] | NDArray[np.float64], shots: Sequence[Shot]) -> tuple[float, ...]:
    """Values in [0, 1], one for each frame, after the filter, to six decimals.

    Each shot is continued by its point reflection at both ends, so that a slow change keeps its first and last value.
    """
    found: list[float] = []
    for shot in shots:
        own = np.asarray(values[shot.start : shot.stop], np.float64)
        reach = min(round(3 * SMOOTH_FRAMES), len(own) - 1)
        before, after = 2 * own[0] - own[reach:0:-1], 2 * own[-1] - own[-2 : -2 - reach : -1]
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SMOOTH_FRAMES) ** 2)
        result = np.convolve(np.concatenate([before, own, after]), weights / weights.sum(), mode="valid")
        found += [round(float(value), 6) for value in result.clip(0, 1)]
    return tuple(found)

"""Curves of tones: monotone cubic interpolation, as a table."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

ENTRIES = 1 << 16


@lru_cache(maxsize=16)
def curve_table(points: tuple[tuple[float, float], ...]) -> NDArray[np.float32]:
    """The curve through two or more points at 65,536 steps of [0, 1], float32; level beyond the first and last point.

    Monotone between any two points and smooth in them: piecewise cubic Hermite interpolation with the slopes of Fritsch
    and Butland, "A method for constructing local monotone piecewise cubic interpolants" (1984), as `pchip` elsewhere.
    The first numbers of the points rise. The table is made once for the same points, and is not to be modified.
    """
    before, after = np.asarray(points, np.float64).T
    slopes = _slopes(before, after)
    x = np.clip(np.linspace(0, 1, ENTRIES), before[0], before[-1])
    left = np.clip(np.searchsorted(before, x, side="right") - 1, 0, len(before) - 2)
    width = before[left + 1] - before[left]
    t = (x - before[left]) / width
    value = (1 + 2 * t) * (1 - t) ** 2 * after[left] + t * t * (3 - 2 * t) * after[left + 1]
    value += width * t * (1 - t) * ((1 - t) * slopes[left] - t * slopes[left + 1])
    return np.asarray(value, np.float32)


def _slopes(x: Values, y: Values) -> Values:
    """The slope in each point: a harmonic mean of those of the chords beside it, 0 where they differ in sign."""
    widths = np.diff(x)
    chords = np.diff(y) / widths
    if len(chords) == 1:
        return np.repeat(chords, 2)
    slopes = np.zeros_like(y)
    same = chords[:-1] * chords[1:] > 0
    first, second = 2 * widths[1:] + widths[:-1], widths[1:] + 2 * widths[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        means = (first + second) / (first / chords[:-1] + second / chords[1:])
    slopes[1:-1] = np.where(same, means, 0)
    slopes[0] = _end_slope(widths[0], widths[1], chords[0], chords[1])
    slopes[-1] = _end_slope(widths[-1], widths[-2], chords[-1], chords[-2])
    return slopes


def _end_slope(width: float, next_width: float, chord: float, next_chord: float) -> float:
    """The slope of the parabola through the last three points, as far as the curve stays monotone."""
    slope = ((2 * width + next_width) * chord - width * next_chord) / (width + next_width)
    if slope * chord <= 0:
        return 0.0
    return 3 * chord if chord * next_chord < 0 and abs(slope) > 3 * abs(chord) else slope

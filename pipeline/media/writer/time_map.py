"""Which moment of the input each moment of an output shows, for the audio that goes with it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Final


@dataclass(frozen=True, slots=True)
class TimeMap:
    """A piecewise linear map from seconds of the output to seconds of the input, both from their first frames.

    `output_s` begins at 0 and increases strictly; `input_s`, of as many values, never decreases, and equal ones hold
    a moment. Behind the last pair the speed is 1. Raises ValueError for anything else: what runs backward has no map,
    and no audio.
    """

    output_s: tuple[Fraction, ...] = (Fraction(0),)
    input_s: tuple[Fraction, ...] = (Fraction(0),)

    def __post_init__(self) -> None:
        if not self.output_s or len(self.output_s) != len(self.input_s) or self.output_s[0] != 0:
            raise ValueError("a time map needs as many times of the input as of the output, which begin at 0")
        if any(after <= before for before, after in pairwise(self.output_s)):
            raise ValueError("the times of the output must increase strictly")
        if any(after < before for before, after in pairwise(self.input_s)):
            raise ValueError("the times of the input must not decrease")

    @property
    def plain(self) -> bool:
        """Whether the speed is 1 throughout: only the beginning may lie elsewhere."""
        return all(self._speed(at) == 1 for at in range(len(self.output_s)))

    def input_at(self, time_s: float) -> float:
        """The moment of the input, in seconds, at a time of the output; before 0 the speed is that at 0."""
        at = self._piece(time_s)
        return float(self.input_s[at]) + (time_s - float(self.output_s[at])) * float(self._speed(at))

    def speed_at(self, time_s: float) -> float:
        """Seconds of the input in a second of the output."""
        return float(self._speed(self._piece(time_s)))

    def _piece(self, time_s: float) -> int:
        return max(bisect_right(self.output_s, time_s, key=float) - 1, 0)

    def _speed(self, at: int) -> Fraction:
        """Of a piece, or of what follows the last pair."""
        if at + 1 == len(self.output_s):
            return Fraction(1)
        return Fraction(self.input_s[at + 1] - self.input_s[at]) / (self.output_s[at + 1] - self.output_s[at])


AS_RECORDED: Final = TimeMap()
"""The output plays the input from its first frame on, at its own speed."""

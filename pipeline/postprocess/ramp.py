"""A course through time with changing speed, exact in fractions: where it is at any moment, and when it is anywhere.

A ramp is given by speeds at positions. Between two of them the speed changes by the easing of the second one over the
time that this takes: with a = speed before, b = speed after, T the duration and E(x) the integral of the easing from 0
to x, the way is T (a x + (b - a) E(x)) at the part x of the time, which gives T from the way and is a polynomial for
every easing. A ramp by position alone would need logarithms.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Final

from pipeline.config.curves import EASES, Ease

CLOCK: Final = 10**6
"""Where a moment is no simple fraction it is rounded to 1 / CLOCK seconds."""
_HALVINGS: Final = 60
_INTEGRALS: Final[Mapping[Ease, Callable[[Fraction], Fraction]]] = {
    "linear": lambda x: x * x / 2,
    "smooth": lambda x: x**3 - x**4 / 2,
    "in": lambda x: x**3 / 3,
    "out": lambda x: x**2 - x**3 / 3,
    "hold": lambda _: Fraction(0),
}
"""Of `pipeline.config.curves.EASES`."""


Speed = tuple[Fraction, Fraction, Ease]
"""A position in seconds, the speed there, and how the speed comes there from the one before."""


@dataclass(frozen=True, slots=True)
class Piece:
    """From `start` on, for `duration` seconds, the speed changes from `before` to `after`, beginning at `position`."""

    start: Fraction
    duration: Fraction
    position: Fraction
    before: Fraction
    after: Fraction
    ease: Ease

    def at(self, moment: Fraction) -> Fraction:
        """The position at a moment of the piece."""
        x = (moment - self.start) / self.duration
        change = self.after - self.before
        return self.position + self.duration * (self.before * x + change * _INTEGRALS[self.ease](x))


class Ramp:
    """The course from position 0 to `length`, both in seconds.

    There is at least one speed, and their positions increase from 0 or more; before the first and after the last one
    the speed stays. Speeds are above 0; the first and the last one may be 0 in front of and behind another one.
    """

    def __init__(self, length: Fraction, speeds: Sequence[Speed]) -> None:
        points = [(Fraction(0), speeds[0][1], speeds[0][2]), *speeds]
        points.append((max(length, speeds[-1][0]), speeds[-1][1], "linear"))
        pieces: list[Piece] = []
        moment = Fraction(0)
        for (begin, before, _), (end, after, ease) in pairwise(points):
            if end > begin:
                duration = (end - begin) / (before + (after - before) * _INTEGRALS[ease](Fraction(1)))
                pieces.append(Piece(moment, duration, begin, before, after, ease))
                moment += duration
        self._pieces = pieces
        self._still = speeds[0][1]
        self.length = length
        self.duration = self.moment(length) if pieces else Fraction(0)

    def at(self, moment: Fraction) -> Fraction:
        """The position at a moment, from 0 before the beginning to `length` after the end."""
        if not self._pieces or moment <= 0:
            return Fraction(0)
        if moment >= self.duration:
            return self.length
        # `duration` is rounded: right before it a piece may be beyond the end.
        return min(self._pieces[self._number([piece.start for piece in self._pieces], moment)].at(moment), self.length)

    def moment(self, position: Fraction) -> Fraction:
        """When a position in [0, length] is reached; exact where the speed is constant and at the points."""
        if not self._pieces:
            return Fraction(0)
        piece = self._pieces[self._number([piece.position for piece in self._pieces], position)]
        way = position - piece.position
        if piece.before == piece.after or piece.ease == "hold":
            return piece.start + way / piece.before
        if position >= piece.at(piece.start + piece.duration):
            return piece.start + piece.duration
        low, high = Fraction(0), Fraction(1)
        for _ in range(_HALVINGS if way else 0):
            middle = (low + high) / 2
            if piece.at(piece.start + piece.duration * middle) < position:
                low = middle
            else:
                high = middle
        found = piece.start + piece.duration * (high if way else low)
        return Fraction(round(found * CLOCK), CLOCK) if way else found

    @property
    def last_speed(self) -> Fraction:
        """The speed with which the course ends."""
        if not self._pieces:
            return self._still
        piece = self._pieces[self._number([piece.position for piece in self._pieces], self.length)]
        x = (self.duration - piece.start) / piece.duration
        return (
            piece.after
            if x >= 1
            else piece.before + (piece.after - piece.before) * Fraction(EASES[piece.ease](float(x)))
        )

    @staticmethod
    def _number(starts: Sequence[Fraction], value: Fraction) -> int:
        return max(0, bisect_right(starts, value) - 1)

"""One pass through the frames of a clip: which position is shown at which moment, by the settings of time."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.postprocess.ramp import Ramp, Speed

if TYPE_CHECKING:
    from pipeline.config.curves import Curve
    from pipeline.config.retime import TimeSettings
    from pipeline.types import Source


class Passing:
    """From moments after its beginning to positions, which are seconds after the first frame, and back.

    The first frame to be shown stays for `before` seconds more, then the positions change for `moving` seconds, the
    last frame stays for `tail` seconds, as in the input, and for `after` more. `times` are the positions of the frames,
    and `length` is the last position: that of the last frame, or of a seamless loop that of the first frame again. With
    `backward` the positions fall. Raises ConfigError as `make_timeline` does.
    """

    def __init__(self, time: TimeSettings, source: Source, *, seamless: bool) -> None:
        tick = source.time_base
        self.times = [(pts - source.pts[0]) * tick for pts in source.pts]
        self.backward = time.reverse
        self._own = own = source.duration_ticks * tick
        self.length = self.times[-1] + ((exact(time.seam_s) or own) if seamless else 0)
        self._course = Ramp(self.length, _speeds(time, self.times))
        self._ease = _eased(self._course.duration, exact(time.ease_in_s), exact(time.ease_out_s))
        self.before, self.after = exact(time.hold_first_s), exact(time.hold_last_s)
        tail = Fraction(0) if seamless else own / self._course.last_speed
        moving, held = self._ease.duration, self.before + self.after
        self._stretch = Fraction(1)
        if wanted := exact(time.duration_s):
            if wanted <= held:
                raise ConfigError(
                    f"output.time.duration_s: {float(wanted):g} s are not longer than the {float(held):g} s for which "
                    "the first and the last frame stay",
                    hint="choose a longer duration_s, or shorter hold_first_s and hold_last_s",
                )
            self._stretch = (wanted - held) / (moving + tail)
        self.moving, self.tail = moving * self._stretch, tail * self._stretch

    @property
    def turn(self) -> Fraction:
        """When a boomerang turns back: after the hold of the last frame, and without that frame's own time."""
        return self.before + self.moving + self.after

    @property
    def duration(self) -> Fraction:
        """Of the whole pass in seconds."""
        return self.turn + self.tail

    def position(self, moment: Fraction) -> Fraction:
        """The position that is shown at a moment."""
        eased = self._ease.at((moment - self.before) / self._stretch)
        return self._course.at(self._course.duration - eased if self.backward else eased)

    def moment(self, index: int) -> Fraction:
        """When a frame is reached."""
        eased = self._course.moment(self.times[index])
        eased = self._course.duration - eased if self.backward else eased
        return self.before + self._ease.moment(eased) * self._stretch

    def audio(self, moments: Sequence[Fraction]) -> tuple[tuple[Fraction, Fraction], ...]:
        """Moments from 0 on and the seconds after the first frame whose audio belongs there, increasing.

        While the first frame is held the seconds stand still; while the last one is, the audio goes on after the last
        pair. Of a pass that is not backward.
        """
        begin, end = self.before, self.before + self.moving
        found = [(Fraction(0), Fraction(0))]
        if begin:
            found.append((begin, Fraction(0)))
        if self.moving:
            found += [(moment, self.position(moment)) for moment in moments if begin < moment < end]
            found.append((end, self.length))
        if self.tail:
            found.append((end + self.tail, self.length + self._own))
        return tuple(found)


def exact(value: float | Fraction) -> Fraction:
    """A number of the settings as it is written: 0.1 is 1/10."""
    return Fraction(str(value))


def places(curve: Curve, times: Sequence[Fraction], key: str) -> list[Fraction]:
    """Where the points of a curve by time stand, in seconds; `times` are those of the frames that they count.

    Raises ConfigError for a curve by anything else, and for points that are out of order in this clip.
    """
    if curve.follow != "time":
        raise ConfigError(f"{key}: cannot follow the {curve.follow}", hint="give its points frames, times or parts")
    step = times[-1] - times[-2] if len(times) > 1 else Fraction(1)
    found: list[Fraction] = []
    for point in curve.points:
        amount, unit = point.moment
        if unit == "frame":
            behind = max(0, int(amount) - len(times) + 1)
            found.append(times[int(amount) - behind] + behind * step)
        else:
            found.append(exact(amount) if unit == "s" else exact(amount) * (times[-1] - times[0]) / 100)
    if times[-1] > times[0] and any(after <= before for before, after in pairwise(found)):
        raise ConfigError(
            f"{key}: in this clip the points stand at {', '.join(f'{float(at):.3f} s' for at in found)}",
            hint="put them in order; frames, seconds and parts count from the first frame",
        )
    return found


def _speeds(time: TimeSettings, times: Sequence[Fraction]) -> list[Speed]:
    """The speed, or the points of its ramp."""
    curve = time.own_curves.get("speed")
    if curve is None:
        return [(Fraction(0), exact(time.speed), "linear")]
    found = places(curve, times, "output.time.speed")
    return [(at, exact(point.value), point.ease) for at, point in zip(found, curve.points, strict=True)]


def _eased(length: Fraction, ease_in: Fraction, ease_out: Fraction) -> Ramp:
    """A course of speed 1 that begins and ends at rest; where there is no time for both, both are shorter.

    While the speed changes smoothly between 0 and 1, half of the way is covered.
    """
    if (most := (ease_in + ease_out) / 2) > length:
        ease_in, ease_out = ease_in * length / most, ease_out * length / most
    speeds: list[Speed] = [(Fraction(0), Fraction(not ease_in), "linear")]
    if ease_in:
        speeds.append((ease_in / 2, Fraction(1), "smooth"))
    if ease_out:
        if length - ease_out / 2 > speeds[-1][0]:
            speeds.append((length - ease_out / 2, Fraction(1), "linear"))
        speeds.append((length, Fraction(0), "smooth"))
    return Ramp(length, speeds)

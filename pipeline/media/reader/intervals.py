"""What the capture times of photos say: the usual interval, gaps, how long gaps last, and the rate of a burst."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Final

from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.media.reader.order import OrderedPhotos

PHOTO_FPS: Final = Fraction(24)
"""Rate at which the photos of a timelapse are shown."""
BURST_COUNT: Final = 24
"""Fewer photos than this are a burst: a timelapse of them would be over within a second."""
_DRIVE_COUNT: Final = 100
_DRIVE_INTERVAL_S: Final = 0.5
_BURST_FPS: Final = (4, 12)
_LONGEST_HOLD_S: Final = 3600
_SHOWN_GAPS: Final = 10


@dataclass(frozen=True, slots=True)
class Gap:
    """Photos that are missing: between `after` and the next photo, by position, lie `seconds` instead of `usual_s`."""

    after: int
    seconds: float
    usual_s: float

    @property
    def frames(self) -> int:
        """How many intervals it lasts, the usual one among them."""
        return max(2, round(self.seconds / self.usual_s)) if self.usual_s else 2


def intervals(seconds: Sequence[float]) -> list[float]:
    """From each time to the next one, in s, to the microsecond that EXIF has."""
    return [round(b - a, 6) for a, b in pairwise(seconds)]


def usual_interval(seconds: Sequence[float]) -> float | None:
    """The median interval of times in order; the mean where a clock of whole seconds is slower than the camera.

    None for less than two photos.
    """
    steps = intervals(seconds)
    if not steps:
        return None
    return median(steps) or (seconds[-1] - seconds[0]) / len(steps)


def find_gaps(seconds: Sequence[float]) -> list[Gap]:
    """Intervals above one and a half times the usual one, and by more than a second, which a clock may be off.

    Fewer than four photos have no usual interval, and no gaps.
    """
    usual = usual_interval(seconds)
    if usual is None or len(seconds) < 4:
        return []
    steps = enumerate(intervals(seconds))
    return [Gap(index, step, usual) for index, step in steps if step > 1.5 * usual and step > usual + 1]


def start_ticks(ordered: OrderedPhotos, gaps: Sequence[Gap], begin: int, end: int, rate: Fraction) -> list[int]:
    """When the photos [begin, end) appear, in frames of `rate`, if the photo before a gap is shown as long as it lasts.

    A gap lasts a whole number of usual intervals. Raises InputError for one that is more than an hour of video.
    """
    frames = {gap.after: gap.frames for gap in gaps}
    ticks = [0]
    for position in range(begin, end - 1):
        length = frames.get(position, 1)
        if length > _LONGEST_HOLD_S * rate:
            raise InputError(
                f"{ordered.photos[position].file}: the gap behind it would be {duration_text(float(length / rate))} "
                "of video; expected an hour at most",
                hint="check the dates of the photos with tempera probe; name those of one session, choose them with "
                "--frames A:B, or show them without the gap: --set input.gaps=keep",
            )
        ticks.append(ticks[-1] + length)
    return ticks


def describe_gaps(ordered: OrderedPhotos, gaps: Sequence[Gap], begin: int, end: int) -> list[str]:
    """Notes about the gaps inside the photos [begin, end), or that their intervals are uneven throughout."""
    inside = [gap for gap in gaps if begin <= gap.after < end - 1]
    if not inside:
        return []
    steps = intervals(ordered.seconds[begin:end])
    usual = duration_text(inside[0].usual_s)
    if len(inside) > max(3, len(steps) // 10):
        return [
            f"The intervals are uneven: {duration_text(min(steps))} to {duration_text(max(steps))}, usually {usual}."
        ]
    notes = []
    for gap in inside[:_SHOWN_GAPS]:
        before, after = ordered.times[gap.after].local, ordered.times[gap.after + 1].local
        form = "%H:%M:%S" if before.date() == after.date() else "%Y-%m-%d %H:%M:%S"
        notes.append(
            f"Gap of {duration_text(gap.seconds)} after {ordered.photos[gap.after].name} "
            f"({before:{form}} to {after:{form}}, usual interval {usual})."
        )
    return notes


def duration_text(seconds: float) -> str:
    """Seconds as a person says them: `0.25 s`, `148 s`, `15.1 h`, `3.5 days`."""
    if seconds < 7200:
        return f"{round(seconds, 3):g} s"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def photo_rate(count: int, interval_s: float | None) -> Fraction:
    """The rate at which `count` photos are shown: 24 per second; a burst in real time between 4 and 12, 4 if unknown.

    A burst is fewer than 24 photos, or fewer than 100 that were taken at two per second or faster. One photo has no
    pace of its own.
    """
    fast = interval_s is not None and interval_s <= _DRIVE_INTERVAL_S
    if count < 2 or count >= (_DRIVE_COUNT if fast else BURST_COUNT):
        return PHOTO_FPS
    slowest, fastest = _BURST_FPS
    return Fraction(min(fastest, max(slowest, round(1 / interval_s)))) if interval_s else Fraction(slowest)

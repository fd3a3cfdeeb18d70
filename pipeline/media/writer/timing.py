"""When each written frame appears: whole ticks of one time base, starting at 0."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.types import Source

# libvpx refuses a finer clock than a nanosecond, MP4 and x264 one that does not fit 32 bits.
FINEST_CLOCK = 10**9
MICROSECOND = Fraction(1, 1_000_000)


@dataclass(frozen=True, slots=True)
class Timing:
    """`starts[i]` is when frame i appears and `stop` when the last one goes, in ticks of `tick_s` seconds."""

    tick_s: Fraction
    starts: tuple[int, ...]
    stop: int

    @property
    def duration_s(self) -> Fraction:
        """Seconds from the first frame's appearance to the end of the last one."""
        return self.stop * self.tick_s

    @property
    def mean_rate(self) -> Fraction:
        """Frames per second on average; exact where the rate is constant."""
        return Fraction(len(self.starts)) / self.duration_s

    @property
    def constant(self) -> bool:
        """Whether every frame stays equally long."""
        return len({end - start for start, end in self.spans()}) == 1

    def spans(self) -> list[tuple[int, int]]:
        """(appears, disappears) of every frame, in ticks."""
        return list(zip(self.starts, (*self.starts[1:], self.stop), strict=True))

    def boundaries(self, clock_s: Fraction) -> list[int]:
        """Every start and the stop on a coarser clock, each rounded by itself so that no error adds up."""
        return [round(tick * self.tick_s / clock_s) for tick in (*self.starts, self.stop)]


def output_timing(source: Source, fps: Fraction | None) -> Timing:
    """Timing of the written video: the source's own, shifted to start at 0, or a constant rate.

    The clock is the coarsest one that is still exact (the greatest common divisor of all times), because encoders and
    containers accept 1/25 and refuse 1/10^12. A clock finer than a nanosecond is rounded to microseconds.
    Raises ValueError when the source has no frames, its times do not increase or fps is not above 0.
    """
    if not source.pts:
        raise ValueError("a source without frames has no timing")
    if fps is not None:
        if fps <= 0:
            raise ValueError(f"fps must be above 0, is {fps}")
        return Timing(1 / fps, tuple(range(source.frame_count)), source.frame_count)
    first = source.pts[0]
    ticks = [pts - first for pts in source.pts]
    ticks.append(ticks[-1] + source.duration_ticks)
    tick_s = source.time_base
    if tick_s.denominator // math.gcd(*ticks) > FINEST_CLOCK:
        ticks = [round(tick * tick_s / MICROSECOND) for tick in ticks]
        tick_s = MICROSECOND
    if any(after <= before for before, after in itertools.pairwise(ticks)):
        raise ValueError("the times of a source must increase strictly, and its last frame must stay for a while")
    common = math.gcd(*ticks)
    return Timing(tick_s * common, tuple(tick // common for tick in ticks[:-1]), ticks[-1] // common)

"""When frames appear: choosing a slice, a rate, and repairing time stamps. Whole numbers and fractions only."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Final

from pipeline.errors import UsageError
from pipeline.types import FrameSlice

RATES: Final = (Fraction(1, 3600), Fraction(1000))
"""The lowest and the highest rate at which an input is read or shown, in frames per second."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Chosen frames: their `numbers` in the input, and when they appear.

    `pts` and `duration_ticks`, which is how long the last one stays, are in ticks of `time_base` seconds.
    """

    numbers: tuple[int, ...]
    pts: tuple[int, ...]
    duration_ticks: int
    time_base: Fraction


def parse_slice(text: str) -> FrameSlice:
    """`10:20`, `:20`, `10:`, or with a step `10:20:2` or `::10`. Raises UsageError for anything else."""
    match = re.fullmatch(r"(\d*):(\d*)(?::(\d*))?", text.strip(), re.ASCII)
    if not match:
        raise UsageError(
            f"--frames {text}: expected A:B or A:B:STEP",
            hint="--frames 0:48 takes the first 48 frames, --frames ::10 every tenth of all",
        )
    start, stop, step = (int(number) if number else None for number in match.groups())
    return (start, stop) if step is None else (start, stop, step)


def parse_fps(text: str, option: str = "--fps") -> Fraction:
    """Frames per second from `24`, `30000/1001`, or `23.976`, which means 24000/1001.

    Raises UsageError, naming the option, for anything else, or outside `RATES`.
    """
    try:
        # Without exponents: 1e999999999 is a number too, and takes all memory.
        fps = Fraction(text if re.fullmatch(r"[\d./ ]{1,32}", text) else "0")
    except (ValueError, ZeroDivisionError):
        fps = Fraction(0)
    fps = fps.limit_denominator(100_000)
    if not RATES[0] <= fps <= RATES[1]:
        raise UsageError(
            f"{option} {text}: expected {RATES[0]} to {RATES[1]} frames per second",
            hint="for example 24, or as a fraction 30000/1001",
        )
    return rate(fps)


def rate(fps: float | Fraction) -> Fraction:
    """Frames per second as they are meant: 29.97 is 30000/1001, any other number what its digits say."""
    for whole in (24, 30, 48, 60, 120):
        if abs(fps - whole / 1.001) < 0.005:
            return Fraction(whole * 1000, 1001)
    return Fraction(str(fps))


def check_slice(frames: FrameSlice | None) -> tuple[int, int | None, int]:
    """Start, stop and step of a `--frames` slice, as far as it can be judged without knowing the number of frames.

    Raises UsageError for negative numbers, for an empty slice and for a step below 1.
    """
    start, stop, *steps = frames or (None, None)
    begin, step = start or 0, steps[0] if steps else 1
    if begin < 0 or (stop is not None and stop <= begin) or step < 1:
        raise UsageError(
            f"--frames {_slice_text(frames)}: expected A:B or A:B:STEP with 0 <= A < B and STEP from 1",
            hint="frames count from 0 and B is not included: --frames 0:48 takes the first 48, --frames ::10 every "
            "tenth of all",
        )
    return begin, stop, step


def check_slice_end(frames: FrameSlice | None, count: int) -> range:
    """The frames that a `--frames` slice takes of `count`.

    Raises UsageError, naming the valid range, if the slice reaches outside.
    """
    begin, stop, step = check_slice(frames)
    end = count if stop is None else stop
    if begin >= count or end > count:
        raise UsageError(
            f"--frames {_slice_text(frames)}: outside the input, which has {count} frame{'s' * (count != 1)}",
            hint=f"choose A:B inside 0:{count}",
        )
    return range(begin, end, step)


def repair(stamps: list[int | None], step: int) -> tuple[list[int], int]:
    """Strictly increasing time stamps from those of a decoder, and how many of them were repaired.

    A stamp that is missing or not greater than the one before it is set `step` ticks after that one, and if that is
    not before the next valid stamp, one tick before it.
    """
    repaired: list[int] = []
    made_up = 0
    for index, stamp in enumerate(stamps):
        if stamp is not None and (not repaired or stamp > repaired[-1]):
            repaired.append(stamp)
            continue
        made_up += 1
        if not repaired:
            later = next(((i, s) for i, s in enumerate(stamps) if s is not None), None)
            repaired.append(0 if later is None else later[1] - later[0] * step)
            continue
        following = stamps[index + 1] if index + 1 < len(stamps) else None
        guess = repaired[-1] + step
        if following is not None and repaired[-1] + 1 < following <= guess:
            guess = following - 1
        repaired.append(guess)
    return repaired, made_up


def usual_step(pts: list[int], fallback: int) -> int:
    """The median distance between time stamps, in ticks and at least 1."""
    steps = [b - a for a, b in pairwise(pts) if b > a]
    return max(1, round(median(steps))) if steps else max(1, fallback)


def choose(
    pts: Sequence[int], frames: Sequence[int], end_tick: int, time_base: Fraction, fps: Fraction | None
) -> Timeline:
    """Take the frames at `pts`, which have the numbers `frames` in the input and are over at `end_tick`.

    With `fps`, ticks of that rate start at the first frame, and each shows the latest frame at its time. Frames that no
    tick shows are left out; ticks that would repeat a frame extend it. The time base is then one in which the old
    stamps and the new ticks are whole numbers, so that audio stays in sync.
    """
    if fps is None:
        return Timeline(tuple(frames), tuple(pts), max(1, end_tick - pts[-1]), time_base)
    tick = 1 / fps
    base = _common_measure(time_base, tick)
    per_stamp, per_tick = int(time_base / base), int(tick / base)
    first = pts[0] * per_stamp
    tick_count = max(1, math.ceil((end_tick - pts[0]) * time_base * fps))
    # The first tick at or after each frame; the frame is shown if the next one's first tick is a later one.
    ticks = [min(tick_count, -(-(stamp * per_stamp - first) // per_tick)) for stamp in pts] + [tick_count]
    shown = [index for index, (tick, following) in enumerate(pairwise(ticks)) if tick < following]
    shown_at = [first + ticks[index] * per_tick for index in shown]
    end = first + tick_count * per_tick
    return Timeline(tuple(frames[index] for index in shown), tuple(shown_at), end - shown_at[-1], base)


def _common_measure(a: Fraction, b: Fraction) -> Fraction:
    """The largest fraction that divides both."""
    return Fraction(math.gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)


def _slice_text(frames: FrameSlice | None) -> str:
    return ":".join("" if number is None else str(number) for number in frames or (None, None))

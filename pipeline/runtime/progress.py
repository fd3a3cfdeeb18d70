"""Progress: the protocol of reporters, and the estimate of the time that is left.

The time left is estimated from the frames of this session only, and separately for cold and warm frames, because a
cold frame costs many times as much as a warm one. A frame that could have started from the one before it, but starts
cold because too little of it corresponds, *starts anew*: where that happens it is likely to happen again, so the
estimate expects it of the same fraction of the frames that are left.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from pipeline.types import Chain, FrameStats, Phase

Advance = Callable[[int], None]
"""Called with the number of units done so far."""

_RECENT = 32
"""How many frames of a phase the estimate looks back."""


class Reporter(Protocol):
    """Reports the progress of the work."""

    def stage(self, name: str, total: int | None) -> contextlib.AbstractContextManager[Advance]:
        """A step that takes a while, of `total` units, or None where that is not known."""
        ...

    def stylizing(self, left: Mapping[Phase, int], done: int) -> contextlib.AbstractContextManager[None]:
        """The stylizing itself: how many frames of each phase are left, and how many were stored before."""
        ...

    def started_anew(self, chain: Chain, index: int) -> None:
        """A frame that was counted as warm will be cold: too little of it corresponds with the frame before."""
        ...

    def frame_stored(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        """A frame is stored; `seconds` is its part of the time since the batch before (0 for a repeated frame)."""
        ...

    def note(self, message: str) -> None:
        """Something the user should know."""
        ...


class Estimate:
    """Seconds left, from the mean cost of this session's recent cold and warm frames."""

    def __init__(self, left: Mapping[Phase, int]) -> None:
        self._left = {"cold": 0, "warm": 0, **left}
        self._seconds: dict[str, deque[float]] = {"cold": deque(maxlen=_RECENT), "warm": deque(maxlen=_RECENT)}
        self._stored_warm = 0
        self.anew = 0
        """Frames of this session that started anew."""

    def started_anew(self) -> None:
        """A frame that was planned as a warm one will be cold."""
        self.anew += 1
        if self._left["warm"]:
            self._left["warm"] -= 1
            self._left["cold"] += 1

    def frame_stored(self, phase: Phase, seconds: float) -> None:
        """Count one frame."""
        self._left[phase] = max(0, self._left[phase] - 1)
        self._seconds[phase].append(seconds)
        self._stored_warm += phase == "warm"

    def seconds_left(self) -> float | None:
        """Seconds of stylizing left, or None until a frame of every phase that is left has been seen.

        Of the warm frames that are left as many are expected to start anew as did so in this session, in proportion.
        """
        following = self._stored_warm + self.anew
        anew = self._left["warm"] * self.anew / following if following else 0.0
        expected = {"cold": self._left["cold"] + anew, "warm": self._left["warm"] - anew}
        total = 0.0
        for phase, count in expected.items():
            if not count:
                continue
            seen = self._seconds[phase]
            if not seen:
                return None
            total += count * sum(seen) / len(seen)
        return total


def describe_seconds(seconds: float | None) -> str:
    """`1 h 05 min`, `3 min 20 s`, `12 s`, or `...` where it is not known yet."""
    if seconds is None:
        return "..."
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole % 60:02d} s" if minutes else f"{whole} s"


class SilentReporter:
    """Reports nothing."""

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:  # noqa: ARG002 - the protocol's names
        """See `Reporter`."""
        yield lambda _done: None

    @contextlib.contextmanager
    def stylizing(self, left: Mapping[Phase, int], done: int) -> Iterator[None]:  # noqa: ARG002 - the protocol's names
        """See `Reporter`."""
        yield

    def started_anew(self, chain: Chain, index: int) -> None:
        """See `Reporter`."""

    def frame_stored(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        """See `Reporter`."""

    def note(self, message: str) -> None:
        """See `Reporter`."""


class ForwardingReporter:
    """Passes everything on to another reporter: a base for reporters that add something."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def stage(self, name: str, total: int | None) -> contextlib.AbstractContextManager[Advance]:
        """See `Reporter`."""
        return self._reporter.stage(name, total)

    def stylizing(self, left: Mapping[Phase, int], done: int) -> contextlib.AbstractContextManager[None]:
        """See `Reporter`."""
        return self._reporter.stylizing(left, done)

    def started_anew(self, chain: Chain, index: int) -> None:
        """See `Reporter`."""
        self._reporter.started_anew(chain, index)

    def frame_stored(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        """See `Reporter`."""
        self._reporter.frame_stored(chain, index, phase, stats, seconds)

    def note(self, message: str) -> None:
        """See `Reporter`."""
        self._reporter.note(message)


@dataclass(frozen=True, slots=True)
class FrameProgress:
    """What a progress callback is told when a frame is stored.

    `done` of `total` frames of the render are stored, those of previous sessions included; `seconds` is what this one
    took, `seconds_left` the estimate for the rest (None until a frame of every phase that is left has been seen).
    `anew` frames of this session started cold because too little of them corresponded with the frame before.
    """

    style: str
    frame: int
    phase: Phase
    evaluations: int
    loss: float
    seconds: float
    done: int
    total: int
    seconds_left: float | None
    anew: int = 0


class CallbackReporter(SilentReporter):
    """Calls a function whenever a frame is stored, for programs that use Tempera as a library."""

    def __init__(self, callback: Callable[[FrameProgress], None]) -> None:
        self._callback = callback
        self._estimate = Estimate({})
        self._done = self._total = 0

    @contextlib.contextmanager
    def stylizing(self, left: Mapping[Phase, int], done: int) -> Iterator[None]:
        """See `Reporter`."""
        self._estimate = Estimate(left)
        self._done, self._total = done, done + sum(left.values())
        yield

    def started_anew(self, chain: Chain, index: int) -> None:  # noqa: ARG002 - the protocol's names
        """See `Reporter`."""
        self._estimate.started_anew()

    def frame_stored(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        """See `Reporter`."""
        self._estimate.frame_stored(phase, seconds)
        self._done += 1
        left = self._estimate.seconds_left()
        self._callback(
            FrameProgress(
                style=chain.style,
                frame=index,
                phase=phase,
                evaluations=stats.evaluations,
                loss=stats.loss,
                seconds=seconds,
                done=self._done,
                total=self._total,
                seconds_left=left,
                anew=self._estimate.anew,
            )
        )

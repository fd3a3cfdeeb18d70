"""How progress is shown on stderr: rich bars on a terminal, plain lines elsewhere, JSON lines for programs."""

from __future__ import annotations

import abc
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pipeline.runtime.progress import Advance, Estimate, Reporter, SilentReporter, describe_seconds
from pipeline.types import Chain, FrameStats, Phase

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Kind = Literal["auto", "rich", "plain", "lines", "json", "none"]

_PLAIN_INTERVAL_S = 10.0


def make_reporter(kind: Kind) -> Reporter:
    """The reporter of that kind; `auto` is rich on a terminal and plain elsewhere."""
    if kind == "auto":
        kind = "rich" if sys.stderr.isatty() else "plain"
    makers: dict[str, Callable[[], Reporter]] = {
        "rich": RichReporter,
        "plain": PlainReporter,
        "lines": partial(PlainReporter, interval_s=0.0),
        "json": JsonReporter,
        "none": SilentReporter,
    }
    return makers[kind]()


class _LineReporter(abc.ABC):
    """Base of the plain and the JSON reporter: counts frames, and writes a line at most every `interval_s` seconds."""

    def __init__(self, interval_s: float = 0.0) -> None:
        self.interval_s = interval_s
        self._estimate = Estimate({})
        self._done = self._total = 0
        self._last_line = 0.0

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        """See `Reporter`."""
        began = last = time.monotonic()

        def advance(done: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _PLAIN_INTERVAL_S:
                last = now
                self._say_stage(name, done, total)

        yield advance
        if last > began:
            self._say_stage(name, total or 0, total)

    @contextlib.contextmanager
    def stylizing(self, left: Mapping[Phase, int], done: int) -> Iterator[None]:
        """See `Reporter`."""
        self._estimate = Estimate(left)
        self._done, self._total = done, done + sum(left.values())
        self._last_line = 0.0
        yield

    def started_anew(self, chain: Chain, index: int) -> None:
        """See `Reporter`."""
        self._estimate.started_anew()
        self._say_anew(chain, index)

    def frame_stored(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        """See `Reporter`."""
        self._estimate.frame_stored(phase, seconds)
        self._done += 1
        now = time.monotonic()
        if now - self._last_line >= self.interval_s or self._done == self._total:
            self._last_line = now
            self._say_frame(chain, index, phase, stats, seconds)

    @abc.abstractmethod
    def note(self, message: str) -> None:
        """See `Reporter`."""

    @abc.abstractmethod
    def _say_stage(self, name: str, done: int, total: int | None) -> None:
        """A line about a stage."""

    @abc.abstractmethod
    def _say_anew(self, chain: Chain, index: int) -> None:
        """A line about a frame that starts anew."""

    @abc.abstractmethod
    def _say_frame(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        """A line about a frame."""


class PlainReporter(_LineReporter):
    """A line every few seconds, or for every frame: for logs and pipes."""

    def __init__(self, interval_s: float = _PLAIN_INTERVAL_S) -> None:
        super().__init__(interval_s)

    def note(self, message: str) -> None:
        """See `Reporter`."""
        _print(message)

    def _say_stage(self, name: str, done: int, total: int | None) -> None:
        _print(f"{name}: {done}" + (f" of {total}" if total else ""))

    def _say_anew(self, chain: Chain, index: int) -> None:
        _print(f"{chain.id} frame {index} starts anew: too little of it corresponds with the frame before")

    def _say_frame(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        _print(
            f"stylized {self._done} of {self._total} frames ({chain.id} frame {index}, {phase}, "
            f"{_evaluations(stats)}, {seconds:.1f} s), left {describe_seconds(self._estimate.seconds_left())}"
        )


class JsonReporter(_LineReporter):
    """One JSON object per line and event: for programs that show their own progress."""

    def note(self, message: str) -> None:
        """See `Reporter`."""
        self._say("note", message=message)

    def _say_stage(self, name: str, done: int, total: int | None) -> None:
        self._say("stage", stage=name, done=done, total=total)

    def _say_anew(self, chain: Chain, index: int) -> None:
        self._say("anew", chain=chain.id, frame=index, anew=self._estimate.anew)

    def _say_frame(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        self._say(
            "frame",
            chain=chain.id,
            frame=index,
            phase=phase,
            evaluations=stats.evaluations,
            loss=stats.loss,
            seconds=round(seconds, 3),
            done=self._done,
            total=self._total,
            anew=self._estimate.anew,
            seconds_left=self._estimate.seconds_left(),
        )

    def _say(self, event: str, **fields: Any) -> None:
        _print(json.dumps({"event": event, **fields}))


_WIDE = 120
_SHORT_NAME = 16


class RichReporter:
    """Bars on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._estimate = Estimate({})

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        """See `Reporter`."""
        with self._bars(transient=True) as progress:
            task = progress.add_task(name, total=total, left="")
            yield lambda done: progress.update(task, completed=done)

    @contextlib.contextmanager
    def stylizing(self, left: Mapping[Phase, int], done: int) -> Iterator[None]:
        """See `Reporter`."""
        self._estimate = Estimate(left)
        with self._bars(transient=False) as progress:
            self._progress = progress
            total = done + sum(left.values())
            self._task = progress.add_task("stylizing", total=total, completed=done, left="left ...")
            try:
                yield
            finally:
                self._progress = None

    def started_anew(self, chain: Chain, index: int) -> None:
        """See `Reporter`."""
        self._estimate.started_anew()
        self._describe(chain, f"frame {index} starts anew")

    def frame_stored(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        """See `Reporter`."""
        self._estimate.frame_stored(phase, seconds)
        self._describe(chain, f"frame {index}: {_evaluations(stats)}, {seconds:.1f} s", advance=1)

    def _describe(self, chain: Chain, what: str, *, advance: int = 0) -> None:
        """Show what happened, the time left, and how many frames of this session started anew."""
        if self._progress is not None and self._task is not None:
            left = describe_seconds(self._estimate.seconds_left())
            anew = f", {self._estimate.anew} started anew" if self._estimate.anew else ""
            self._progress.update(
                self._task,
                advance=advance,
                description=chain.style[:_SHORT_NAME] if self._narrow else f"stylizing {chain.style}",
                left=f"left {left}{anew}" if self._narrow else f"left {left}{anew}, {what}",
            )

    @property
    def _narrow(self) -> bool:
        """Whether only the name, the bar, the count and the time left have room."""
        return bool(self._console.width < _WIDE)

    def note(self, message: str) -> None:
        """See `Reporter`."""
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)

    def _bars(self, *, transient: bool) -> Progress:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.table import Column

        whole = Column(no_wrap=True)  # the bar gives way to the numbers
        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=10 if self._narrow else 40),
            MofNCompleteColumn(table_column=whole),
            *([] if self._narrow else [TimeElapsedColumn(table_column=whole.copy())]),
            TextColumn("{task.fields[left]}", markup=False),
            console=self._console,
            transient=transient,
        )


def _evaluations(stats: FrameStats) -> str:
    return f"{stats.evaluations} evaluation{'s' * (stats.evaluations != 1)}"


def _print(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()

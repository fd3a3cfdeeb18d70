"""Ctrl-C once: finish and store the frames in flight. Twice: stop now."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_CATCHABLE = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class StopNow(BaseException):
    """The second signal: nobody on the way up may hold it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def graceful_stop() -> Iterator[Callable[[], int]]:
    """Inside the block, the first signal is remembered and the second raises StopNow.

    Yields a function that returns the number of the signal that came, or 0.
    """
    received = 0

    def remember(number: int, _frame: FrameType | None) -> None:
        nonlocal received
        if received:
            raise StopNow(number)
        received = number
        # Written straight to the descriptor: a signal handler may interrupt a print in progress.
        if sys.stderr.isatty():
            os.write(sys.stderr.fileno(), b"\nfinishing the frames in flight; again to stop now\n")

    previous = {number: signal.signal(number, remember) for number in _CATCHABLE}
    try:
        yield lambda: received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

"""Ctrl-C once: finish and store the frames in flight. Twice: stop now. A closed terminal asks once, politely."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

_CATCHABLE: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_HANGUP: Final = getattr(signal, "SIGHUP", None)


class StopNow(BaseException):
    """The second signal: nobody on the way up may hold it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def graceful_stop() -> Iterator[Callable[[], int]]:
    """Inside the block, the first signal is remembered and the second raises StopNow.

    A hangup is never the second: when a terminal is closed, the kernel and the shell send one each. A signal that was
    ignored when we were started (`nohup`, a job in the background of a script) stays ignored. Yields a function that
    returns the number of the signal that came, or 0.
    """
    received = 0

    def remember(number: int, _frame: FrameType | None) -> None:
        nonlocal received
        if received:
            if number == _HANGUP:
                return
            raise StopNow(number)
        received = number
        # Written straight to the descriptor: a signal handler may interrupt a print in progress. The terminal may be
        # gone, which is what a hangup means.
        with suppress(OSError, ValueError):
            if sys.stderr is not None and sys.stderr.isatty():
                os.write(sys.stderr.fileno(), b"\nfinishing the frames in flight; again to stop now\n")

    previous = {number: signal.getsignal(number) for number in _CATCHABLE}
    caught = [number for number, handler in previous.items() if handler is not signal.SIG_IGN]
    for number in caught:
        signal.signal(number, remember)
    try:
        yield lambda: received
    finally:
        for number in caught:
            signal.signal(number, previous[number])

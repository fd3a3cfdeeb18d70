"""Ctrl-C once: finish and store the frames in flight. Twice: stop now. A closed terminal counts as the first."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

from pipeline.runtime.cancellation import Cancellation

_CATCHABLE: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_HANGUP: Final = getattr(signal, "SIGHUP", None)


class ImmediateStop(BaseException):
    """The second signal: ends the process without waiting for the frames in flight."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def cancelled_by_signals() -> Iterator[Cancellation]:
    """Inside the block, the first signal requests an end by the token that is yielded, the second raises ImmediateStop.

    A hangup is never the second: when a terminal is closed, the kernel and the shell send one each. A signal that was
    ignored when the process started (`nohup`, a job in the background of a script) stays ignored.
    """
    cancellation = Cancellation()

    def receive(number: int, _frame: FrameType | None) -> None:
        if cancellation.requested():
            if number == _HANGUP:
                return
            raise ImmediateStop(number)
        cancellation.request(number)
        # Written straight to the descriptor: a signal handler may interrupt a print in progress. The terminal may be
        # gone, which is what a hangup means.
        with suppress(OSError, ValueError):
            if sys.stderr is not None and sys.stderr.isatty():
                os.write(sys.stderr.fileno(), b"\nfinishing the frames in flight; again to stop now\n")

    previous = {number: signal.getsignal(number) for number in _CATCHABLE}
    caught = [number for number, handler in previous.items() if handler is not signal.SIG_IGN]
    for number in caught:
        signal.signal(number, receive)
    try:
        yield cancellation
    finally:
        for number in caught:
            signal.signal(number, previous[number])

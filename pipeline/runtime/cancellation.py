"""One token that says whether somebody asked for an end; everything that takes a while asks it between two steps."""

from __future__ import annotations

import signal
from collections.abc import Callable

from pipeline.errors import Interrupted


class Cancellation:
    """A request to stop, made once and never taken back.

    It is set by a signal handler or another thread, so it is a plain attribute: setting it takes no lock.
    """

    def __init__(self) -> None:
        self._signal_number = 0

    @property
    def signal_number(self) -> int:
        """The signal that asked for an end (SIGINT where no signal did), 0 if nobody has."""
        return self._signal_number

    def requested(self) -> bool:
        """Whether somebody asked for an end."""
        return self.signal_number != 0

    def request(self, signal_number: int = signal.SIGINT) -> None:
        """Ask for an end; the first request counts."""
        if not self._signal_number:
            self._signal_number = signal_number

    def or_when(self, condition: Callable[[], bool]) -> Cancellation:
        """A token for a part of the work: it ends when this one is requested, and also when `condition` holds."""
        return _ConditionalCancellation(self, condition)

    def raise_if_requested(self, message: str, *, hint: str) -> None:
        """Raise Interrupted, with what was left undone and how to go on, if somebody asked for an end."""
        if self.signal_number:
            raise Interrupted(message, hint=hint, signal_number=self.signal_number)

    def checkpoint(self, message: str, *, hint: str) -> Callable[[], None]:
        """`raise_if_requested` with these words, for functions that do not know what their caller left undone."""
        return lambda: self.raise_if_requested(message, hint=hint)


class _ConditionalCancellation(Cancellation):
    def __init__(self, parent: Cancellation, condition: Callable[[], bool]) -> None:
        super().__init__()
        self._parent = parent
        self._condition = condition

    @property
    def signal_number(self) -> int:
        return self._signal_number or self._parent.signal_number

    def requested(self) -> bool:
        return self.signal_number != 0 or self._condition()

"""A request to stop the work early: everything that takes a while checks it between two steps."""

from __future__ import annotations

import signal
from collections.abc import Callable

from pipeline.errors import Interrupted


class Cancellation:
    """A request to stop, which cannot be withdrawn.

    It is set by a signal handler or another thread, so it is a plain attribute: setting it takes no lock.
    """

    def __init__(self) -> None:
        self._signal_number = 0

    @property
    def signal_number(self) -> int:
        """The signal that requested the end (SIGINT if it was requested without a signal), 0 if none was requested."""
        return self._signal_number

    def requested(self) -> bool:
        """Whether an end was requested."""
        return self.signal_number != 0

    def request(self, signal_number: int = signal.SIGINT) -> None:
        """Request an end; if there are several requests, the first one counts."""
        if not self._signal_number:
            self._signal_number = signal_number

    def or_when(self, condition: Callable[[], bool]) -> Cancellation:
        """A token for a part of the work: it ends when this one is requested, and also when `condition` holds."""
        return _ConditionalCancellation(self, condition)

    def raise_if_requested(self, message: str, *, hint: str) -> None:
        """If an end was requested, raise Interrupted with what is not done (`message`) and how to continue (`hint`)."""
        if self.signal_number:
            raise Interrupted(message, hint=hint, signal_number=self.signal_number)

    def checkpoint(self, message: str, *, hint: str) -> Callable[[], None]:
        """`raise_if_requested` as a function without arguments, for functions that do not know what is left undone."""
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

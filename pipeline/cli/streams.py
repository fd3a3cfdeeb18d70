"""Nobody may be listening: a render must not end because its terminal was closed or the reader of its log has left.

Results on stdout are another thing: who asked for them wants them whole, so an error there stays an error, except that
of a terminal that is gone.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, TextIO, cast


def prepare_streams() -> None:
    """Make the standard streams fit for hours of work; called once, where the process begins."""
    _open_missing()
    sys.stdout = cast(TextIO, _Forgiving(sys.stdout, only_terminals=True))
    sys.stderr = cast(TextIO, _Forgiving(sys.stderr, only_terminals=False))


def _open_missing() -> None:
    """Open the null device for every standard stream that was closed before we were started (`2>&-`).

    Otherwise the next file that is opened, the lock for example, would become descriptor 2, and what FFmpeg prints
    there would be written into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            stream = os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
            setattr(sys, name, stream)


class _Forgiving:
    """A text stream that goes on into the void when nobody takes what is written.

    With `only_terminals` only when a terminal went away, which the system reports as an I/O error.
    """

    def __init__(self, stream: TextIO, *, only_terminals: bool) -> None:
        self._stream = stream
        self._codes = {errno.EIO} if only_terminals else None
        self._watched = stream.isatty() or not only_terminals

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or pretend to."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._forgive(error)
            return len(text)

    def flush(self) -> None:
        """Flush, or pretend to."""
        try:
            self._stream.flush()
        except OSError as error:
            self._forgive(error)

    def _forgive(self, error: OSError) -> None:
        """Let everything that follows, and what waits in the buffer, go into the void; or raise the error again."""
        if not self._watched or (self._codes is not None and error.errno not in self._codes):
            raise error
        void = os.open(os.devnull, os.O_WRONLY)
        os.dup2(void, self._stream.fileno())
        os.close(void)

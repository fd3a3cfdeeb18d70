"""Standard streams that do not end a render when its terminal is closed or the reader of its log exits.

Results on stdout are different: an error there is raised, unless it comes from a terminal that was closed.
"""

from __future__ import annotations

import codecs
import errno
import os
import sys
from typing import Any, Final, TextIO, cast

NAMES: Final = "tempera-names"
"""How stdout encodes what its encoding does not have: the bytes of a file's name that is no text as they are, any other
character, which a Latin-1 or ASCII locale has not, as its escape."""


def _encode_name(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    sign = error.object[error.start]
    escape = "surrogateescape" if 0xDC80 <= ord(sign) <= 0xDCFF else "backslashreplace"
    return sign.encode("ascii", escape), error.start + 1


codecs.register_error(NAMES, _encode_name)


def prepare_streams() -> None:
    """Replace stdout and stderr by streams that tolerate a closed terminal; called once, when the process begins."""
    _open_missing()
    sys.stdout = cast(TextIO, _DiscardingStream(sys.stdout, only_terminals=True))
    sys.stderr = cast(TextIO, _DiscardingStream(sys.stderr, only_terminals=False))


def _open_missing() -> None:
    """Open the null device for every standard stream that was closed when the process started (`2>&-`).

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


class _DiscardingStream:
    """A text stream that discards what is written after its reader was closed.

    With `only_terminals`, only after a terminal was closed, which the system reports as an I/O error.
    """

    def __init__(self, stream: TextIO, *, only_terminals: bool) -> None:
        self._stream = stream
        self._codes = {errno.EIO} if only_terminals else None
        self._watched = stream.isatty() or not only_terminals

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or discard."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._discard_or_raise(error)
            return len(text)

    def flush(self) -> None:
        """Flush, or discard."""
        try:
            self._stream.flush()
        except OSError as error:
            self._discard_or_raise(error)

    def _discard_or_raise(self, error: OSError) -> None:
        """Discard everything that follows and what waits in the buffer, or raise the error again."""
        if not self._watched or (self._codes is not None and error.errno not in self._codes):
            raise error
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)

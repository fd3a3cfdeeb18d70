"""The log of a render: `log.txt` in its directory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.runtime.logs import logging_with


class _LogFile(logging.FileHandler):
    """A log file that ignores errors of the disk, which the store raises for frames."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.FileHandler`."""
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """See `logging.Handler`."""

    def close(self) -> None:
        """See `logging.FileHandler`."""
        with suppress(OSError):
            super().close()


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Send the package's log to a file, inside the block."""
    handler = _LogFile(path, encoding="utf-8", errors="backslashreplace", delay=True)
    with logging_with(handler, "%(asctime)s %(levelname)s %(name)s: %(message)s"):
        yield

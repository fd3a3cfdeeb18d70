"""What the package logs, on its way to a file or to a screen."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def logging_with(handler: logging.Handler, layout: str) -> Iterator[None]:
    """Inside the block, what the package logs from INFO on goes to a handler too, laid out as `logging.Formatter` does.

    The handler is closed behind it.
    """
    logger = logging.getLogger("pipeline")
    handler.setFormatter(logging.Formatter(layout))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()

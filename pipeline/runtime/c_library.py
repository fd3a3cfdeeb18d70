"""Functions of the C library that Python does not offer."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable


def glibc_function(name: str) -> Callable[..., int] | None:
    """A function of glibc; None with another C library."""
    found: Callable[..., int] | None = None
    if sys.platform.startswith("linux"):
        found = getattr(ctypes.CDLL(None), name, None)
    return found

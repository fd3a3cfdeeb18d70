"""Phases that only the test of the benchmark asks for: one that never ends, and one whose process dies."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from gpu_phases.setting import Row, Setting


def hang(_setting: Setting) -> Iterator[Row]:
    """Yield a row and never end."""
    yield {"what": "before"}
    time.sleep(600)


def crash(_setting: Setting) -> Iterator[Row]:
    """Yield a row and end the process without an exception."""
    yield {"what": "before"}
    os._exit(7)

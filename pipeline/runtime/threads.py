"""How threads wait for each other, which must be set before the first ones are started, and where they get memory."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Final

from pipeline.runtime.c_library import glibc_function

BRIEF = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "5000"}
"""Spin for some ten microseconds, then sleep. GNU's runtime reads the second variable; other runtimes read
the first and sleep at once. They are read when torch loads."""

HUGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}
"""Torch asks Linux for pages of 2 MB for its larger blocks. It reads the variable when it loads."""

KEPT_BYTES: Final = 1 << 28
"""Freed blocks up to this size are kept."""


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Make waiting threads go to sleep soon, unless one of the variables is set already.

    Threads that spin until there is work make a render many times slower as soon as anything else runs on the machine;
    threads that sleep at once make it a quarter slower where nothing does. scripts/bench/runtime.py measures all three.
    """
    if not BRIEF.keys() & environment.keys():
        environment.update(BRIEF)


def use_huge_pages(environment: MutableMapping[str, str] = os.environ) -> None:
    """Make torch take memory in larger pages, unless the variable is set already.

    A warm frame of 1280x720 takes 5 percent less time and 0.03 GB more memory (scripts/bench/stages.py).
    """
    for name, value in HUGE_PAGES.items():
        environment.setdefault(name, value)


def share_heap() -> bool:
    """Make all threads take memory from one heap; returns whether the C library accepted it.

    With a heap for each thread, what one has freed is of no use to the others: a render at 1280x720 takes 0.12 GB more.
    """
    mallopt = glibc_function("mallopt")
    return mallopt is not None and bool(mallopt(-8, 1))  # M_ARENA_MAX of malloc.h


def keep_freed_memory(limit_bytes: int = KEPT_BYTES) -> bool:
    """Make the C library keep freed blocks up to a size for the next ones, not return them to the system.

    Every evaluation and every frame that is finished frees and allocates the same arrays, and the system returns zeroed
    pages one by one, which takes a tenth of the time of both (scripts/bench/runtime.py measures the former). Has an
    effect with glibc only; returns whether the C library accepted the setting.
    """
    mallopt = glibc_function("mallopt")
    if mallopt is None:
        return False
    mmap_threshold, trim_threshold, no_limit = -3, -1, 2**31 - 1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h
    return bool(mallopt(mmap_threshold, limit_bytes) and mallopt(trim_threshold, no_limit))

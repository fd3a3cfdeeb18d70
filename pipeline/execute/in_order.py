"""Working on several items at a time, on threads, with the results in order: how frames are finished for the writer."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from pipeline.execute.prefetch import NoItemError, Prefetcher
from pipeline.runtime.threads import keep_freed_memory

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_PX: Final = 1 << 25
"""Pixels that are worked on at a time: an effect may take 100 bytes for each of them."""
KEPT_BYTES: Final = 1 << 25
"""Freed blocks up to this size are kept for the next item. With larger ones too, frames of 3840x2160 took 13 percent
more memory and no less time."""


def thread_count(size_px: tuple[int, int], threads: int = 0) -> int:
    """How many frames of a (width, height) are worked on at a time, at least 1.

    `threads` is the most that are allowed; 0: one for each core.
    """
    return max(1, min(threads or os.cpu_count() or 1, MOST_PX // (size_px[0] * size_px[1])))


def map_in_order(function: Callable[[Item], Result], items: Generator[Item], threads: int) -> Generator[Result]:
    """`function` of each item, in the order of the items, on `threads` threads.

    The items are made on another thread, two ahead at most. No more than `threads` results wait to be taken. What an
    item or its `function` raises is raised in its place, behind the results of the items before it. Closing the
    generator closes `items` and waits for the threads.
    """
    keep_freed_memory(KEPT_BYTES)
    waiting: deque[Future[Result]] = deque()
    error: Exception | None = None
    with Prefetcher(items, ahead=1) as ahead, ThreadPoolExecutor(threads, thread_name_prefix="in order") as pool:
        try:
            while error is None or waiting:
                if error is None:
                    try:
                        waiting.append(pool.submit(function, ahead.next_item()))
                    except Exception as found:  # raised when its turn comes
                        error = found
                if waiting and (error is not None or len(waiting) > threads):
                    yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
    if not isinstance(error, NoItemError):
        raise error

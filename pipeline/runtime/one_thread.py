"""Small operations on the processor, on which only one thread should work where other processes run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Result = TypeVar("Result")


def on_one_thread(function: Callable[[], Result]) -> Result:
    """Call a function where torch and LAPACK take no other threads; returns or raises what it does.

    They share out even small matrices among all threads, which wait for each other more than a hundred times in one
    eigendecomposition. On a quiet machine that takes as long as one thread alone, beside busy processes ten times as
    long. The function must not wait for another call of this.
    """
    return _executor().submit(function).result()


@cache
def _executor() -> Executor:
    """A thread that takes no others: torch has a number of threads for each thread of Python."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="one thread")
    # A thread gets the number that was set last anywhere when torch first asks for it. So this one asks before its own
    # is set, and the number of the others is set after that.
    others = executor.submit(torch.get_num_threads).result()
    executor.submit(torch.set_num_threads, 1).result()
    torch.set_num_threads(others)
    return executor

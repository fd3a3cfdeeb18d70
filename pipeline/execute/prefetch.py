"""Running an iterator ahead on a thread, so that decoding and motion are ready when the next frame can be stylized."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

Item = TypeVar("Item")

_POLL_S: Final = 0.05


class NoItemError(EOFError):
    """A prefetcher has no more items, or is closed; not an EOFError of its generator."""


class Prefetcher(Generic[Item]):
    """Takes the items of a generator on a thread of its own and holds at most `ahead` of them.

    An error of the generator is raised after the items before it have been taken.
    Use as a context manager: leaving it closes it.
    """

    def __init__(self, items: Generator[Item], *, ahead: int) -> None:
        self._queue: Final[queue.Queue[tuple[Item] | BaseException]] = queue.Queue(maxsize=max(1, ahead))
        self._stopping: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, args=(items,), name="prefetch", daemon=True)
        self._thread.start()

    def next_item(self) -> Item:
        """The next item. Raises what the generator raised, or NoItemError after the last one and once it is closed.

        What is raised is raised again at every further call.
        """
        found = self._queue.get()
        if isinstance(found, BaseException):
            with suppress(queue.Full):  # the thread has ended: nothing else will come, unless it is closed meanwhile
                self._queue.put_nowait(found)
            raise found
        return found[0]

    def close(self) -> None:
        """Stop and wait for the thread; may be called twice, and while another thread waits for an item."""
        self._stopping.set()
        while self._thread.is_alive():
            with suppress(queue.Empty):
                self._queue.get(timeout=_POLL_S)
        while True:
            with suppress(queue.Full):
                self._queue.put_nowait(NoItemError("this prefetcher is closed"))
                return
            with suppress(queue.Empty):
                self._queue.get_nowait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, items: Generator[Item]) -> None:
        try:
            with closing(items):
                for item in items:
                    if not self._put((item,)):
                        return
            self._put(NoItemError("there are no more items"))
        except BaseException as error:
            self._put(error)  # raised in the thread that waits for the item

    def _put(self, item: tuple[Item] | BaseException) -> bool:
        """Put an item into the queue; False if the prefetcher was closed meanwhile."""
        while not self._stopping.is_set():
            with suppress(queue.Full):
                self._queue.put(item, timeout=_POLL_S)
                return not self._stopping.is_set()
        return False

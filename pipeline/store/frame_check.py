"""Comparing the checksums of every stored frame in the background: reading gigabytes takes a while.

One thread only: it shares the interpreter and the disk with the preparation of the first frame, which must not wait.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Self

from pipeline.store import frames

if TYPE_CHECKING:
    from types import TracebackType

    from pipeline.plan.edits import Run
    from pipeline.store.directory import RenderDirectory


class FrameCheck:
    """Finds damaged frames before the index where each run of a chain continues, on a thread of its own.

    `starts` gives that index (see `RenderDirectory.done`). Runs that are not complete are checked first, those without
    an entry not at all. Use as a context manager: leaving it stops and joins the thread.
    """

    def __init__(self, directory: RenderDirectory, starts: Mapping[Run, int]) -> None:
        runs = sorted(starts, key=lambda run: starts[run] >= run.stop)
        self._directory: Final = directory
        self._left: Final = deque((run, index) for run in runs for index in run.frames if index < starts[run])
        self.total: Final = len(self._left)
        self._stopping: Final = threading.Event()
        self._lock: Final = threading.Lock()
        self._damaged: dict[Run, int] = {}
        self._failure: Exception | None = None
        self._thread: Final = threading.Thread(target=self._work, name="frame check", daemon=True)
        self._thread.start()

    @property
    def left(self) -> int:
        """How many frames are not checked yet, of `total`."""
        return len(self._left)

    def damaged(self) -> dict[Run, int]:
        """The first damaged frame of every run in which one was found so far.

        Raises RenderDirectoryError if the disk refused to read a frame, which may be good.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            return dict(self._damaged)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until everything is checked, at most so many seconds; returns whether it is."""
        self._thread.join(None if seconds is None else max(0.0, seconds))
        return not self._thread.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self.wait()

    def _work(self) -> None:
        plan = self._directory.plan
        while not self._stopping.is_set():
            try:
                run, index = self._left.popleft()
            except IndexError:
                return
            try:
                problem = frames.checksum_problem(
                    self._directory.frame_path(run.chain.id, index), plan.width_px, plan.height_px
                )
            except Exception as error:
                with self._lock:
                    self._failure = self._failure or error
                self._stopping.set()
                return
            if problem:
                with self._lock:
                    self._damaged[run] = min(index, self._damaged.get(run, index))

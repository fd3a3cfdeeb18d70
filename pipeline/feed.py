"""Content frames of a chain, decoded ahead on a thread of their own while the current ones are painted."""

from __future__ import annotations

import queue
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

    from pipeline.config import InputSettings
    from pipeline.types import Frame, Source


class Feed:
    """Frames [start, stop) of a source in order, resized to the render's size.

    A bounded queue holds at most `ahead` decoded frames. An error of the reader is raised by the `next_frame` that
    comes to it, so frames before the damage are still painted. Use as a context manager: leaving it stops, drains and
    joins.
    """

    def __init__(
        self,
        source: Source,
        *,
        start: int,
        stop: int,
        width_px: int,
        height_px: int,
        settings: InputSettings,
        ahead: int,
    ) -> None:
        self._queue: Final[queue.Queue[Frame | BaseException | None]] = queue.Queue(maxsize=max(1, ahead))
        self._stopping: Final = threading.Event()
        self._thread: Final = threading.Thread(
            target=self._read,
            args=(source, range(start, stop), (width_px, height_px), settings),
            name="feed",
            daemon=True,
        )
        self._thread.start()

    def next_frame(self) -> Frame:
        """The next frame. Raises what the reader raised, or EOFError after the last frame; then again at every call."""
        item = self._queue.get()
        if item is None or isinstance(item, BaseException):
            self._queue.put(item)  # the thread has ended: nothing else will come
            raise item or EOFError("the feed has no more frames")
        return item

    def close(self) -> None:
        """Stop reading and wait for the thread; may be called twice."""
        self._stopping.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.02)
            except queue.Empty:
                continue
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, source: Source, span: range, size: tuple[int, int], settings: InputSettings) -> None:
        from pipeline.reader import read_frames

        try:
            frames = read_frames(
                source, start=span.start, stop=span.stop, width_px=size[0], height_px=size[1], settings=settings
            )
            with closing(frames):
                for frame in frames:
                    if not self._offer(frame):
                        return
            self._offer(None)
        except BaseException as error:
            # Handed to the thread that waits for the frame.
            self._offer(error)

    def _offer(self, item: Frame | BaseException | None) -> bool:
        """Put an item into the queue; False if the feed was closed meanwhile."""
        while not self._stopping.is_set():
            try:
                self._queue.put(item, timeout=0.05)
            except queue.Full:
                continue
            return True
        return False

"""What a chain needs next: its photos, and how each came out of earlier ones, ahead on a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from pipeline.types import Chain, Frame

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.settings import MotionSettings
    from pipeline.motion.estimate import FlowNetwork
    from pipeline.motion.warm_start import Passage

Read = Callable[[int, int], Generator[Frame]]
"""Frames [start, stop) of the source in order, as they are painted: resized, and evened in exposure."""

HEADING_FRAMES: Final = 16
"""A segment turns to the keyframe behind it over so many frames."""
GAP_SHARE: Final = 0.01
"""Farther frames are looked at only where the nearest one leaves more than this share of the picture open."""


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A frame to come.

    `passages` tell, by index of the earlier frame, what happened since (empty: there is nothing to start from).
    `repeats` is the index of a stored frame that is shown again instead of painting (-1: none): the frame before, or,
    for the first frame of a segment, its keyframe. `heading` is the passage from the keyframe `goal`, towards which
    the frame turns by `heading_share`.
    """

    index: int
    content: NDArray[np.uint8]
    passages: Mapping[int, Passage] = field(default_factory=dict)
    repeats: int = -1
    goal: int = -1
    heading: Passage | None = None
    heading_share: float = 0.0


@dataclass(frozen=True, slots=True)
class LookBack:
    """From which earlier frames a frame is painted: how motion is found, and how far back to look beside the last one.

    `hold`: frames are painted at every so many, counted from `origin`, and held in between. `goal`: the keyframe that
    the chain heads for (-1: none).
    """

    settings: MotionSettings
    earlier: Sequence[int] = ()
    origin: int = 0
    goal: int = -1
    network: FlowNetwork | None = None


def upcoming(chain: Chain, start: int, read: Read, look: LookBack) -> Generator[Upcoming]:
    """The frames of a chain from `start` on, each with what happened since the earlier ones that it starts from.

    Photos before `start` are read again, as far back as frames look, so that a chain that is continued gets exactly
    what one that never stopped would get.
    """
    from pipeline.motion.estimate import motion_between
    from pipeline.motion.warm_start import passage

    settings = look.settings
    gap = chain.step if chain.step > 1 else settings.hold
    first = chain.frames.start
    backs = sorted({gap, *(-(-back // gap) * gap for back in look.earlier if chain.step == 1)})
    contents: dict[int, NDArray[np.uint8]] = {}

    def since(other: int, photo: NDArray[np.uint8], index: int, content: NDArray[np.uint8]) -> Passage:
        motion = motion_between(photo, content, settings, from_index=other, to_index=index, network=look.network)
        return passage(photo, content, motion)

    goal = _photo(read, look.goal) if look.goal >= 0 and settings.boil < 1 else None
    for frame in _contents(chain, max(first, start - backs[-1]), read):
        index, content = frame.index, frame.rgb
        painted = chain.step > 1 or (index - look.origin) % gap == 0 or index == first
        if painted:
            contents[index] = content
        for old in [old for old in contents if old < index - backs[-1]]:
            del contents[old]
        if index < start:
            continue
        if not painted:
            yield Upcoming(index, content, repeats=index - 1)
            continue
        if index == first and chain.keys:
            yield Upcoming(index, content, repeats=index)
            continue
        passages: dict[int, Passage] = {}
        if settings.boil < 1:
            for back in backs:
                other = index - back
                if other in contents and (not passages or _leaves_gaps(passages[index - gap])):
                    passages[other] = since(other, contents[other], index, content)
        heading, share = None, 0.0
        if goal is not None and passages and look.goal - index <= HEADING_FRAMES:
            heading = since(look.goal, goal, index, content)
            share = 1 - (look.goal - index) / (HEADING_FRAMES + 1)
        yield Upcoming(index, content, passages, goal=look.goal, heading=heading, heading_share=share)


def _contents(chain: Chain, start: int, read: Read) -> Iterator[Frame]:
    """The photos of a chain from `start` on; those between keyframes are not even decoded where seeking is possible."""
    if chain.step == 1:
        with closing(read(start, chain.stop)) as frames:
            yield from frames
        return
    for index in chain.frames:
        if index >= start:
            with closing(read(index, index + 1)) as frames:
                yield next(frames)


def _photo(read: Read, index: int) -> NDArray[np.uint8]:
    with closing(read(index, index + 1)) as frames:
        return next(frames).rgb


def _leaves_gaps(nearest: Passage) -> bool:
    return float((nearest.trust < 0.5).mean()) > GAP_SHARE


class Feed:
    """Runs an iterator of frames ahead on a thread.

    A bounded queue holds at most `ahead` frames. An error is raised by the `next_frame` that comes to it, so frames
    before the damage are still painted. Use as a context manager: leaving it stops, drains and joins.
    """

    def __init__(self, frames: Generator[Upcoming], *, ahead: int) -> None:
        self._queue: Final[queue.Queue[Upcoming | BaseException | None]] = queue.Queue(maxsize=max(1, ahead))
        self._stopping: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, args=(frames,), name="feed", daemon=True)
        self._thread.start()

    def next_frame(self) -> Upcoming:
        """The next frame. Raises what the iterator raised, or EOFError after the last one; then again at every call."""
        item = self._queue.get()
        if item is None or isinstance(item, BaseException):
            self._queue.put(item)  # the thread has ended: nothing else will come
            raise item or EOFError("the feed has no more frames")
        return item

    def close(self) -> None:
        """Stop and wait for the thread; may be called twice."""
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

    def _run(self, frames: Generator[Upcoming]) -> None:
        try:
            with closing(frames):
                for frame in frames:
                    if not self._offer(frame):
                        return
            self._offer(None)
        except BaseException as error:
            # Handed to the thread that waits for the frame.
            self._offer(error)

    def _offer(self, item: Upcoming | BaseException | None) -> bool:
        """Put an item into the queue; False if the feed was closed meanwhile."""
        while not self._stopping.is_set():
            try:
                self._queue.put(item, timeout=0.05)
            except queue.Full:
                continue
            return True
        return False

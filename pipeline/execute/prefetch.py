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
    from pipeline.motion.correspondence import Correspondence
    from pipeline.motion.methods import FlowEstimator

Read = Callable[[int, int], Generator[Frame]]
"""Frames [start, stop) of the source in order, as they are painted: resized, and evened in exposure."""

NEXT_KEYFRAME_FRAMES: Final = 16
"""A segment turns to the keyframe behind it over so many frames."""
GAP_FRACTION: Final = 0.01
"""Farther frames are looked at only where the nearest one leaves more than this share of the picture open."""


@dataclass(frozen=True, slots=True)
class PrefetchedFrame:
    """A frame to come.

    `correspondences` tell, by index of the earlier frame, what happened since (empty: there is nothing to start from).
    `repeats` is the index of a stored frame that is shown again instead of painting (-1: none): the frame before, or,
    for the first frame of a segment, its keyframe. `to_next_keyframe` is the correspondence from the keyframe
    `goal`, towards which the frame turns by `next_keyframe_fraction`.
    """

    index: int
    content: NDArray[np.uint8]
    correspondences: Mapping[int, Correspondence] = field(default_factory=dict)
    repeats: int = -1
    goal: int = -1
    to_next_keyframe: Correspondence | None = None
    next_keyframe_fraction: float = 0.0


@dataclass(frozen=True, slots=True)
class PrefetchOptions:
    """From which earlier frames a frame is painted: how motion is found, and how far back to look beside the last one.

    `hold`: frames are painted at every so many, counted from `origin`, and held in between. `goal`: the keyframe that
    the chain heads for (-1: none).
    """

    settings: MotionSettings
    earlier: Sequence[int] = ()
    origin: int = 0
    goal: int = -1
    estimator: FlowEstimator | None = None


def prefetched_frames(chain: Chain, start: int, read: Read, look: PrefetchOptions) -> Generator[PrefetchedFrame]:
    """The frames of a chain from `start` on, each with what happened since the earlier ones that it starts from.

    Photos before `start` are read again, as far back as frames look, so that a chain that is continued gets exactly
    what one that never stopped would get.
    """
    from pipeline.motion.correspondence import find_correspondence
    from pipeline.motion.estimate import motion_between

    settings = look.settings
    gap = chain.interval if chain.interval > 1 else settings.hold
    first = chain.frames.start
    backs = sorted({gap, *(-(-back // gap) * gap for back in look.earlier if chain.interval == 1)})
    contents: dict[int, NDArray[np.uint8]] = {}

    def since(other: int, photo: NDArray[np.uint8], index: int, content: NDArray[np.uint8]) -> Correspondence:
        motion = motion_between(photo, content, settings, from_index=other, to_index=index, estimator=look.estimator)
        return find_correspondence(photo, content, motion)

    goal = _photo(read, look.goal) if look.goal >= 0 and settings.boil < 1 else None
    for frame in _contents(chain, max(first, start - backs[-1]), read):
        index, content = frame.index, frame.rgb
        painted = chain.interval > 1 or (index - look.origin) % gap == 0 or index == first
        if painted:
            contents[index] = content
        for old in [old for old in contents if old < index - backs[-1]]:
            del contents[old]
        if index < start:
            continue
        if not painted:
            yield PrefetchedFrame(index, content, repeats=index - 1)
            continue
        if index == first and chain.keyframe_chain:
            yield PrefetchedFrame(index, content, repeats=index)
            continue
        correspondences: dict[int, Correspondence] = {}
        if settings.boil < 1:
            for back in backs:
                other = index - back
                if other in contents and (not correspondences or _leaves_gaps(correspondences[index - gap])):
                    correspondences[other] = since(other, contents[other], index, content)
        to_next_keyframe, share = None, 0.0
        if goal is not None and correspondences and look.goal - index <= NEXT_KEYFRAME_FRAMES:
            to_next_keyframe = since(look.goal, goal, index, content)
            share = 1 - (look.goal - index) / (NEXT_KEYFRAME_FRAMES + 1)
        yield PrefetchedFrame(
            index,
            content,
            correspondences,
            goal=look.goal,
            to_next_keyframe=to_next_keyframe,
            next_keyframe_fraction=share,
        )


def _contents(chain: Chain, start: int, read: Read) -> Iterator[Frame]:
    """The photos of a chain from `start` on; those between keyframes are not even decoded where seeking is possible."""
    if chain.interval == 1:
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


def _leaves_gaps(nearest: Correspondence) -> bool:
    return float((nearest.confidence < 0.5).mean()) > GAP_FRACTION


class Feed:
    """Runs an iterator of frames ahead on a thread.

    A bounded queue holds at most `ahead` frames. An error is raised by the `next_frame` that comes to it, so frames
    before the damage are still painted. Use as a context manager: leaving it stops, drains and joins.
    """

    def __init__(self, frames: Generator[PrefetchedFrame], *, ahead: int) -> None:
        self._queue: Final[queue.Queue[PrefetchedFrame | BaseException | None]] = queue.Queue(maxsize=max(1, ahead))
        self._stopping: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, args=(frames,), name="feed", daemon=True)
        self._thread.start()

    def next_frame(self) -> PrefetchedFrame:
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

    def _run(self, frames: Generator[PrefetchedFrame]) -> None:
        try:
            with closing(frames):
                for frame in frames:
                    if not self._offer(frame):
                        return
            self._offer(None)
        except BaseException as error:
            # Handed to the thread that waits for the frame.
            self._offer(error)

    def _offer(self, item: PrefetchedFrame | BaseException | None) -> bool:
        """Put an item into the queue; False if the feed was closed meanwhile."""
        while not self._stopping.is_set():
            try:
                self._queue.put(item, timeout=0.05)
            except queue.Full:
                continue
            return True
        return False

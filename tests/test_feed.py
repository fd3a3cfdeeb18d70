"""The feed: order, how far it reads ahead, errors in their place, and threads that always end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import pytest

from pipeline.config.settings import MotionSettings
from pipeline.errors import InputError
from pipeline.execute.prefetch import NEXT_KEYFRAME_FRAMES, Feed, PrefetchedFrame, PrefetchOptions, prefetched_frames
from pipeline.types import Chain, Frame, Motion

PATIENCE_S = 20.0
"""How long a test waits for a thread before it fails; never reached when all is well."""


class Reader:
    """Stands in for `read_frames`: counts what was asked for, and raises at a frame that is said to be damaged."""

    def __init__(self, damaged: int | None = None) -> None:
        self.damaged = damaged
        self.read = 0
        self.closed = threading.Event()
        self.calls: list[tuple[int, int]] = []

    def __call__(self, start: int, stop: int) -> Generator[Frame]:
        self.calls.append((start, stop))
        try:
            for index in range(start, stop):
                if index == self.damaged:
                    raise InputError(f"frame {index} is damaged", hint="mend it")
                self.read += 1
                yield Frame(index, index, np.full((2, 2, 3), index, np.uint8))
        finally:
            self.closed.set()


@pytest.fixture
def reader() -> Reader:
    return Reader()


def a_feed(reader: Reader, start: int = 0, stop: int = 10, ahead: int = 3) -> Feed:
    return Feed((PrefetchedFrame(frame.index, frame.rgb) for frame in reader(start, stop)), ahead=ahead)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


def feed_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "feed"]


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    assert feed_threads() == []


def test_frames_come_in_order_and_then_no_more(reader: Reader) -> None:
    with a_feed(reader, 3, 9) as feed:
        assert [feed.next_frame().index for _ in range(6)] == [3, 4, 5, 6, 7, 8]
        for _ in range(3):
            with pytest.raises(EOFError):
                feed.next_frame()


def test_it_reads_only_so_far_ahead(reader: Reader) -> None:
    with a_feed(reader, 0, 100, ahead=3) as feed:
        until(lambda: reader.read == 4)  # three in the queue, one in the hand
        time.sleep(0.2)
        assert reader.read == 4
        feed.next_frame()
        until(lambda: reader.read == 5)
        time.sleep(0.1)
        assert reader.read == 5


def test_an_error_comes_after_the_frames_before_it_and_stays(reader: Reader) -> None:
    reader.damaged = 2
    with a_feed(reader, ahead=8) as feed:
        assert [feed.next_frame().index for _ in range(2)] == [0, 1]
        for _ in range(2):
            with pytest.raises(InputError, match="frame 2"):
                feed.next_frame()


def test_closing_ends_a_thread_that_waits_to_deliver(reader: Reader) -> None:
    feed = a_feed(reader, 0, 1000, ahead=1)
    until(lambda: reader.read == 2)
    feed.close()
    assert feed_threads() == [] and reader.closed.is_set()
    feed.close()


def test_leaving_by_an_error_closes_too(reader: Reader) -> None:
    with pytest.raises(KeyError), a_feed(reader, 0, 1000, ahead=1):
        raise KeyError("painting failed")
    assert feed_threads() == [] and reader.closed.is_set()


def a_chain(start: int = 0, stop: int = 12, *, interval: int = 1, keyframe_chain: str = "") -> Chain:
    return Chain("a-s000", "a", 0, start, stop, 0, interval, keyframe_chain)


@pytest.fixture
def _no_motion(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Motion of which nothing can be trusted, and a record of what was asked for."""
    asked: list[tuple[int, int]] = []

    def motion_between(earlier: object, content: object, settings: object, **at: Any) -> Motion:
        asked.append((at["from_index"], at["to_index"]))
        nothing = np.zeros((2, 2, 2), np.float32)
        return Motion(at["from_index"], at["to_index"], nothing, np.zeros((2, 2), np.float32))

    monkeypatch.setattr("pipeline.motion.estimate.motion_between", motion_between)
    return asked


def look(
    reader: Reader, chain: Chain, start: int = 0, *, earlier: tuple[int, ...] = (), goal: int = -1, **settings: Any
) -> dict[int, PrefetchedFrame]:
    back = PrefetchOptions(MotionSettings(**settings), earlier, chain.start, goal)
    return {frame.index: frame for frame in prefetched_frames(chain, start, reader, back)}


@pytest.mark.usefixtures("_no_motion")
def test_every_frame_looks_back_as_far_as_its_chain_goes(reader: Reader) -> None:
    frames = look(reader, a_chain(), earlier=(5, 8))
    assert {index: sorted(frame.correspondences) for index, frame in frames.items()} == {
        index: [index - back for back in (8, 5, 1) if back <= index] for index in range(12)
    }
    assert all((frame.content == index).all() for index, frame in frames.items())


def test_farther_frames_are_looked_at_only_where_the_nearest_leaves_gaps(reader: Reader) -> None:
    frames = look(reader, a_chain(), earlier=(5,), method="none")  # nothing moves: all of it can be taken over
    assert all(set(frame.correspondences) <= {index - 1} for index, frame in frames.items())


@pytest.mark.usefixtures("_no_motion")
@pytest.mark.parametrize("start", range(1, 12))
@pytest.mark.parametrize("hold", [1, 3])
def test_a_chain_that_is_continued_sees_what_one_that_never_stopped_would_see(
    reader: Reader, start: int, hold: int
) -> None:
    whole = look(reader, a_chain(), earlier=(4,), hold=hold)
    rest = look(reader, a_chain(), start, earlier=(4,), hold=hold)
    assert sorted(rest) == list(range(start, 12))
    for index, frame in rest.items():
        assert (
            sorted(frame.correspondences) == sorted(whole[index].correspondences)
            and frame.repeats == whole[index].repeats
        )
        assert (frame.content == index).all()


@pytest.mark.usefixtures("_no_motion")
def test_held_frames_repeat_the_one_before_and_motion_leads_from_the_last_painted_one(reader: Reader) -> None:
    frames = look(reader, a_chain(3, 10), 3, earlier=(5,), hold=2)
    assert [frame.repeats for frame in frames.values()] == [-1, 3, -1, 5, -1, 7, -1]
    assert sorted(frames[5].correspondences) == [3] and sorted(frames[9].correspondences) == [3, 7]


def test_boiling_paint_starts_from_nothing(reader: Reader, _no_motion: list[tuple[int, int]]) -> None:
    assert not any(frame.correspondences for frame in look(reader, a_chain(), boil=1).values())
    assert _no_motion == []


@pytest.mark.usefixtures("_no_motion")
def test_keyframes_lead_from_one_to_the_next_and_nothing_between_is_read(reader: Reader) -> None:
    frames = look(reader, a_chain(0, 12, interval=5), earlier=(2,))
    assert {index: sorted(frame.correspondences) for index, frame in frames.items()} == {0: [], 5: [0], 10: [5]}
    assert reader.read == 3


@pytest.mark.usefixtures("_no_motion")
def test_a_segment_begins_with_its_keyframe_and_turns_to_the_next_one(reader: Reader) -> None:
    stop = 10 + NEXT_KEYFRAME_FRAMES
    frames = look(reader, a_chain(0, stop, keyframe_chain="a-s000-keys"), goal=stop)
    assert frames[0].repeats == 0
    to_next_keyframe = [index for index, frame in frames.items() if frame.to_next_keyframe is not None]
    assert to_next_keyframe == list(range(10, stop))
    shares = [frames[index].next_keyframe_fraction for index in to_next_keyframe]
    assert shares == sorted(shares) and 0 < shares[0] < 0.1 and 0.9 < shares[-1] < 1
    assert {frames[index].goal for index in to_next_keyframe} == {stop}

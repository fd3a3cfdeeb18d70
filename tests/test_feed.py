"""The feed: order, how far it reads ahead, errors in their place, and threads that always end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest

from pipeline.config import InputSettings
from pipeline.errors import InputError
from pipeline.feed import Feed
from pipeline.types import Frame, Source

PATIENCE_S = 20.0
"""How long a test waits for a thread before it fails; never reached when all is well."""


class Reader:
    """Stands in for `read_frames`: counts what was asked for, and raises at a frame that is said to be damaged."""

    def __init__(self, damaged: int | None = None) -> None:
        self.damaged = damaged
        self.read = 0
        self.closed = threading.Event()
        self.calls: list[dict[str, Any]] = []

    def __call__(self, source: Source, **asked: Any) -> Iterator[Frame]:
        self.calls.append(asked)
        try:
            for index in range(asked["start"], asked["stop"]):
                if index == self.damaged:
                    raise InputError(f"frame {index} is damaged", hint="mend it")
                self.read += 1
                yield Frame(index, index, np.full((2, 2, 3), index, np.uint8))
        finally:
            self.closed.set()


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    reader = Reader()
    monkeypatch.setattr("pipeline.reader.read_frames", reader)
    return reader


def a_feed(start: int = 0, stop: int = 10, ahead: int = 3) -> Feed:
    source = cast("Source", None)
    return Feed(source, start=start, stop=stop, width_px=2, height_px=2, settings=InputSettings(), ahead=ahead)


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
    with a_feed(3, 9) as feed:
        assert [feed.next_frame().index for _ in range(6)] == [3, 4, 5, 6, 7, 8]
        for _ in range(3):
            with pytest.raises(EOFError):
                feed.next_frame()
    (asked,) = reader.calls
    assert (asked["start"], asked["stop"], asked["width_px"], asked["height_px"]) == (3, 9, 2, 2)


def test_it_reads_only_so_far_ahead(reader: Reader) -> None:
    with a_feed(0, 100, ahead=3) as feed:
        until(lambda: reader.read == 4)  # three in the queue, one in the hand
        time.sleep(0.2)
        assert reader.read == 4
        feed.next_frame()
        until(lambda: reader.read == 5)
        time.sleep(0.1)
        assert reader.read == 5


def test_an_error_comes_after_the_frames_before_it_and_stays(reader: Reader) -> None:
    reader.damaged = 2
    with a_feed(ahead=8) as feed:
        assert [feed.next_frame().index for _ in range(2)] == [0, 1]
        for _ in range(2):
            with pytest.raises(InputError, match="frame 2"):
                feed.next_frame()


def test_closing_ends_a_thread_that_waits_to_deliver(reader: Reader) -> None:
    feed = a_feed(0, 1000, ahead=1)
    until(lambda: reader.read == 2)
    feed.close()
    assert feed_threads() == [] and reader.closed.is_set()
    feed.close()


def test_leaving_by_an_error_closes_too(reader: Reader) -> None:
    with pytest.raises(KeyError), a_feed(0, 1000, ahead=1):
        raise KeyError("painting failed")
    assert feed_threads() == [] and reader.closed.is_set()

"""The prefetcher: order, how far it reads ahead, errors after the frames before them, and threads that end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.execute.prefetch import Prefetcher
from pipeline.types import Frame

TIMEOUT_S = 20.0
"""How long a test waits for a thread before it fails."""


class Reader:
    """Stands in for `read_frames`: counts what is requested, and raises at the frame `damaged`."""

    def __init__(self, damaged: int | None = None) -> None:
        self.damaged = damaged
        self.read = 0
        self.closed = threading.Event()
        self.calls: list[tuple[int, int]] = []

    def has_read(self, count: int) -> bool:
        return self.read == count

    def __call__(self, start: int, stop: int) -> Generator[Frame]:
        self.calls.append((start, stop))
        try:
            for index in range(start, stop):
                if index == self.damaged:
                    raise InputError(f"frame {index} is damaged", hint="replace it")
                self.read += 1
                yield Frame(index, index, np.full((2, 2, 3), index, np.uint8))
        finally:
            self.closed.set()


@pytest.fixture
def reader() -> Reader:
    return Reader()


def a_prefetcher(reader: Reader, start: int = 0, stop: int = 10, ahead: int = 3) -> Prefetcher[Frame]:
    return Prefetcher(reader(start, stop), ahead=ahead)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.001)


def prefetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    assert prefetch_threads() == []


def test_frames_come_in_order_and_then_the_end(reader: Reader) -> None:
    with a_prefetcher(reader, 3, 9) as prefetcher:
        assert [prefetcher.next_item().index for _ in range(6)] == [3, 4, 5, 6, 7, 8]
        for _ in range(3):
            with pytest.raises(EOFError):
                prefetcher.next_item()


def test_prefetcher_reads_ahead_only_as_far_as_set(reader: Reader) -> None:
    with a_prefetcher(reader, 0, 100, ahead=3) as prefetcher:
        for taken in range(90):
            wait_until(partial(reader.has_read, 4 + taken))  # three in the queue, one waiting to be put there
            prefetcher.next_item()


def test_error_is_raised_after_the_frames_before_it_and_again(reader: Reader) -> None:
    reader.damaged = 2
    with a_prefetcher(reader, ahead=8) as prefetcher:
        assert [prefetcher.next_item().index for _ in range(2)] == [0, 1]
        for _ in range(2):
            with pytest.raises(InputError, match="frame 2"):
                prefetcher.next_item()


def test_closing_ends_a_thread_that_waits_for_room(reader: Reader) -> None:
    prefetcher = a_prefetcher(reader, 0, 1000, ahead=1)
    wait_until(lambda: reader.read == 2)
    prefetcher.close()
    assert prefetch_threads() == [] and reader.closed.is_set()
    prefetcher.close()


def test_error_in_the_block_closes_the_prefetcher(reader: Reader) -> None:
    with pytest.raises(KeyError), a_prefetcher(reader, 0, 1000, ahead=1):
        raise KeyError("stylizing failed")
    assert prefetch_threads() == [] and reader.closed.is_set()


def test_closing_makes_no_further_item(reader: Reader) -> None:
    prefetcher = a_prefetcher(reader, 0, 1000, ahead=2)
    wait_until(lambda: reader.read == 3)
    prefetcher.close()
    assert reader.read == 3


@pytest.mark.parametrize("ahead", [1, 3])
def test_closing_frees_a_thread_that_waits_for_an_item(ahead: int) -> None:
    begun, going_on = threading.Event(), threading.Event()

    def items() -> Generator[int]:
        begun.set()
        assert going_on.wait(TIMEOUT_S)
        yield 0

    prefetcher, errors = Prefetcher(items(), ahead=ahead), list[BaseException]()

    def take() -> None:
        try:
            prefetcher.next_item()
        except EOFError as error:
            errors.append(error)

    takers = [threading.Thread(target=take, daemon=True) for _ in range(3)]
    for taker in takers:
        taker.start()
    assert begun.wait(TIMEOUT_S)
    closing = threading.Thread(target=prefetcher.close, daemon=True)
    closing.start()
    going_on.set()
    for thread in (closing, *takers):
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
    assert len(errors) >= 2  # one of them may have taken the item
    with pytest.raises(EOFError):
        prefetcher.next_item()

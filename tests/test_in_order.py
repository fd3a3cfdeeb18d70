"""Several items at a time: results in order, the same for any number of threads, bounded, and errors in their place."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.execute.in_order import MOST_PX, map_in_order, thread_count
from pipeline.media.image.bands import BAND_PX, in_bands

TIMEOUT_S = 20.0


class Items:
    """Numbers; counts what was taken, and raises at `damaged`."""

    def __init__(self, count: int, damaged: int | None = None) -> None:
        self.count, self.damaged = count, damaged
        self.taken = 0
        self.closed = threading.Event()

    def __call__(self) -> Generator[int]:
        try:
            for number in range(self.count):
                if number == self.damaged:
                    raise InputError("damaged", hint="replace it")
                self.taken += 1
                yield number
        finally:
            self.closed.set()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_are_in_the_order_of_the_items(threads: int) -> None:
    later = [threading.Event() for _ in range(13)]

    def square(number: int) -> int:
        later[number].set()
        if threads > 1 and number % 2 == 0 and number < 12:  # waits for the one behind it
            assert later[number + 1].wait(TIMEOUT_S)
        return number**2

    assert list(map_in_order(square, Items(13)(), threads)) == [number**2 for number in range(13)]
    assert list(map_in_order(square, Items(0)(), threads)) == []


def test_no_more_items_are_taken_than_are_worked_on() -> None:
    items = Items(100)
    with closing(map_in_order(lambda number: number, items(), 3)) as results:
        for number in results:
            # Ahead of the result: three that are worked on, one that waits for it, two that are made.
            assert items.taken <= number + 1 + 3 + 3
            if number == 20:
                break
    assert items.closed.wait(TIMEOUT_S) and items.taken < 30


def test_error_of_an_item_comes_behind_the_results_before_it() -> None:
    results = map_in_order(lambda number: number, Items(9, damaged=4)(), 2)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(InputError, match="damaged"):
        next(results)


def test_end_of_a_file_that_an_item_meets_is_not_taken_for_the_end_of_the_items() -> None:
    def items() -> Generator[int]:
        yield 0
        raise EOFError("the file is cut off")

    results = map_in_order(lambda number: number, items(), 2)
    assert next(results) == 0
    with pytest.raises(EOFError, match="cut off"):
        next(results)


def test_error_of_the_function_comes_before_a_later_one_of_the_items() -> None:
    items = Items(9, damaged=3)

    def fail(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    results = map_in_order(fail, items(), 4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
    assert items.closed.wait(TIMEOUT_S)


def test_large_frames_are_worked_on_one_by_one() -> None:
    assert thread_count((1280, 720), 2) == 2
    assert thread_count((1280, 720)) >= 1
    assert thread_count((MOST_PX, 2), 8) == 1
    assert thread_count((MOST_PX // 3, 1), 8) == 3


@pytest.mark.parametrize("size", [(1, 1), (7, BAND_PX), (5, BAND_PX // 2 + 1), (300, 211)])
def test_bands_make_up_the_image(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((*size, 3), np.float32)
    plane = image[..., 0] + 1
    seen: list[int] = []

    def scaled(band: NDArray[np.float32], part: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(len(band))
        return np.asarray(band * part[..., np.newaxis], np.float32)

    np.testing.assert_array_equal(in_bands(scaled, image, plane), image * plane[..., np.newaxis])
    assert sum(seen) == size[0] and all(rows * size[1] <= max(BAND_PX, size[1]) for rows in seen)


@pytest.mark.parametrize("size", [(3, BAND_PX // 4), (40, BAND_PX // 2), (211, 300)])
def test_bands_see_the_rows_beside_them(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(size, np.float32)

    def spread(band: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.dilate(band, np.ones((5, 1), np.uint8)), np.float32)

    np.testing.assert_array_equal(in_bands(spread, image, halo=2), spread(image))

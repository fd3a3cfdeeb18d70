"""Operations on a thread that takes no others."""

import pytest
import torch

from pipeline.runtime.one_thread import on_one_thread


def numbers_of_threads() -> tuple[int, int]:
    """Before and after an operation that is shared out among threads."""
    before = torch.get_num_threads()
    torch.ones(1 << 20).add_(1).sum()
    return before, torch.get_num_threads()


def test_only_the_called_function_has_one_thread() -> None:
    others = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert on_one_thread(numbers_of_threads) == (1, 1)
        assert numbers_of_threads() == (3, 3)
    finally:
        torch.set_num_threads(others)


def test_the_result_and_the_error_are_those_of_the_function() -> None:
    assert on_one_thread(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        on_one_thread(lambda: 1 // 0)

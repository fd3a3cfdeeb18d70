"""Operations on a thread that takes no others."""

from typing import Any

import pytest
import torch

from pipeline.config.losses import LossSettings
from pipeline.encoders import load_encoder
from pipeline.optimize.objective import Objective, style_target
from pipeline.optimize.style_terms import style_term
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


def test_style_term_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []

    def noted(*arguments: Any) -> Any:
        found.append(torch.get_num_threads())
        return style_term(*arguments)

    monkeypatch.setattr("pipeline.optimize.feature_terms.style_term", noted)
    encoder, settings = load_encoder("tiny"), LossSettings()
    images = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    style = style_target(encoder, settings, images.flip(3), 1.0)
    others = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        Objective.of(encoder, settings, images, (style,))(images)
        assert found == [1] and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(others)

"""The way from the command line to a loss: few calls, each into a lower file than the one before."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline import cli
from pipeline.optimize import losses, objective
from tests.support.clips import moving_square, texture, write_video
from tests.support.house import FLOORS, HOUSE

MAX_CALLS = 12
SETTINGS = ("optimize.cold.evaluations=2", "optimize.cold.min_scale_px=32", "optimize.precision=float32")


def call_path() -> list[tuple[str, str]]:
    """File and function of every call inside the package that is under way, from the command on; outermost first.

    Comprehensions and generator expressions belong to the function around them.
    """
    path = []
    frame: Any = sys._getframe(1)
    while frame is not None:
        file, name = Path(frame.f_code.co_filename), frame.f_code.co_name
        if file.is_relative_to(HOUSE) and not name.startswith("<"):
            path.append((str(file.relative_to(HOUSE)), name))
        frame = frame.f_back
    path.reverse()
    return path[path.index(("cli/render.py", "render")) :]


@pytest.fixture
def path_to_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The calls under way when the temporal loss of a warm frame is computed."""
    paths: list[list[tuple[str, str]]] = []

    def observed(*arguments: Any, **named: Any) -> Any:
        paths.append(call_path())
        return losses.temporal_loss(*arguments, **named)

    monkeypatch.setattr(objective, "temporal_loss", observed)
    clip = write_video(tmp_path / "clip.mp4", moving_square(2, size=(48, 32)))
    Image.fromarray(texture((48, 40), 3)).save(tmp_path / "style.png")
    words = ["render", str(clip), "--style", str(tmp_path / "style.png"), "-o", str(tmp_path / "out.mp4")]
    assert cli.run([*words, *(word for setting in SETTINGS for word in ("--set", setting))]) == 0
    return paths[-1]


def test_a_command_reaches_a_loss_in_few_calls_that_only_go_down(path_to_a_loss: list[tuple[str, str]]) -> None:
    assert len(path_to_a_loss) <= MAX_CALLS, path_to_a_loss  # and one more, into the loss itself
    files = [file for file, _ in path_to_a_loss]
    rooms = [FLOORS.index(Path(file).parts[0].removesuffix(".py")) for file in files]
    assert rooms == sorted(rooms, reverse=True)
    for position, file in enumerate(files):
        if file in files[:position]:
            assert files[position - 1] == file, f"a call back up into {file}"

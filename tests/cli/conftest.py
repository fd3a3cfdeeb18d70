"""Fixtures of the tests of the command line: clips, a finished render, and commands run in an empty folder."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from pipeline import cli
from tests.support.clips import moving_square, texture, write_photos, write_video
from tests.support.command_line import FRAMES, QUICK, Tempera


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip with audio, one with a cut, photos, and two style images."""
    folder = tmp_path_factory.mktemp("media")
    write_video(folder / "clip.mp4", moving_square(FRAMES), rate=10, tone_s=0.5)
    write_video(folder / "cut.mp4", moving_square(6, cut_at=3))
    write_video(folder / "uneven.mp4", moving_square(4), time_base=Fraction(1, 1000), pts=[0, 40, 140, 200])
    write_photos(folder / "photos", moving_square(3))
    for number, name in enumerate(("waves", "other")):
        Image.fromarray(texture((64, 48), number + 50)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def rendered(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The render directory of a finished render of the clip; copy it before changing it."""
    folder = tmp_path_factory.mktemp("rendered")
    words = ["render", str(media / "clip.mp4"), "-s", str(media / "waves.png"), "-o", str(folder / "v.mp4"), *QUICK]
    assert cli.run(words) == 0
    return folder / "v.render"


@pytest.fixture
def tempera(tempera: Tempera, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tempera:
    """Run a command in an empty folder; `{media}` in an argument is the folder of clips."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: tempera(*(str(argument).replace("{media}", str(media)) for argument in arguments))


@pytest.fixture
def render(tempera: Tempera) -> Tempera:
    """`tempera render` with few evaluations of the tiny encoder."""
    return lambda *arguments: tempera("render", *arguments, *QUICK)


@pytest.fixture
def copy(rendered: Path, tmp_path: Path) -> Path:
    """A copy of the finished render: a render directory that may be changed."""
    return shutil.copytree(rendered, tmp_path / "v.render")

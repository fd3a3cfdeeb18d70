"""Fixtures of the tests of the command line: clips, a finished render, and commands run in an empty folder."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from pipeline import cli
from tests.support.clips import moving_square, texture, write_photos, write_video
from tests.support.command_line import (
    FRAMES,
    QUICK,
    Result,
    Tempera,
)


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
    assert (
        cli.run(["render", str(media / "clip.mp4"), "-s", str(media / "waves.png"), *QUICK, "-o", f"{folder}/v.mp4"])
        == 0
    )
    return folder / "v.render"


@pytest.fixture
def tempera(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Tempera:
    """Run a command in an empty folder; `{media}` in an argument is the folder of clips."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Result:
        capsys.readouterr()
        code = cli.run([str(argument).replace("{media}", str(media)) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def render(tempera: Tempera) -> Tempera:
    """`tempera render` with few evaluations of the tiny encoder."""
    return lambda *arguments: tempera("render", *arguments, *QUICK)

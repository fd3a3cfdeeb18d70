"""A render finds its input and its style image after any of them was moved, or says where it looked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from pipeline import cli
from pipeline.store.verification import verify_frames
from pipeline.store.where import WHERE_NAME, Places, known_places
from pipeline.workflows.opened import open_render
from tests.support.clips import moving_square, texture, write_photos, write_video
from tests.support.command_line import Tempera

COUNT = 4


@pytest.fixture(scope="module", params=["photos", "clip.mp4"])
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished render of photos or of a video with audio; `name` has which. Copy it before use."""
    home = tmp_path_factory.mktemp("home")
    for folder in ("media", "art", "out"):
        (home / folder).mkdir()
    write_photos(home / "media/photos", moving_square(COUNT))
    write_video(home / "media/clip.mp4", moving_square(COUNT), rate=10, tone_s=0.3)
    Image.fromarray(texture((64, 48), 50)).save(home / "art/waves.png")
    (home / "name").write_text(request.param)
    words = ["render", str(home / "media" / request.param), "-s", str(home / "art/waves.png"), "--progress", "none"]
    words += ["--set=styler=palette", "--set=output.finish.preserve_color=0.5", "--set=output.preset=ultrafast"]
    assert cli.run([*words, "-o", str(home / "out/film.mp4")]) == 0
    return home


@pytest.fixture
def home(rendered: Path, tmp_path: Path) -> Iterator[Path]:
    """That folder itself, because its absolute path is remembered; afterwards it is as it was."""
    shutil.copytree(rendered, tmp_path / "backup")
    yield rendered
    shutil.rmtree(rendered)
    shutil.copytree(tmp_path / "backup", rendered)


def half_done(render: Path) -> Path:
    for path in sorted((render / "frames").glob("*/*"))[2:]:
        path.unlink()
    return render


def works(render: Path, tempera: Tempera) -> None:
    """Resume, export and evaluate find the input."""
    half_done(render)
    assert tempera("export", render, "-o", render.parent / "part.mp4", "--progress", "none").code == 0
    for command in (["resume"], ["evaluate", "--no-baselines"]):
        result = tempera(*command, render, "--progress", "none")
        assert result.code == 0, result.err
    assert not verify_frames(open_render(render).directory).findings


def input_of(home: Path) -> Path:
    return home / "media" / (home / "name").read_text()


def move(old: Path, new: Path) -> Path:
    new.parent.mkdir(parents=True, exist_ok=True)
    return old.rename(new)


def test_render_folder_alone(home: Path, tempera: Tempera, tmp_path: Path) -> None:
    works(move(home / "out/film.render", tmp_path / "elsewhere/deep/film.render"), tempera)


def test_everything_together(home: Path, tempera: Tempera, tmp_path: Path) -> None:
    """Also without the note, which may be deleted."""
    (home / "out/film.render" / WHERE_NAME).unlink()
    shutil.copytree(home, tmp_path / "all")
    move(home / "media", home / "hidden")
    works(tmp_path / "all/out/film.render", tempera)


def test_input_beside_the_render(home: Path, tempera: Tempera) -> None:
    move(input_of(home), home / "out" / input_of(home).name)
    works(home / "out/film.render", tempera)


def test_input_with_another_content_is_not_taken(home: Path, tempera: Tempera, tmp_path: Path) -> None:
    """A folder or a video of the same name is where the relative path leads now, or lies beside the render."""
    render = move(home / "out/film.render", tmp_path / "new/out/film.render")
    for place in (tmp_path / "new/media", tmp_path / "new/out"):
        write_photos(place / "photos", moving_square(COUNT, seed=7))
        write_video(place / "clip.mp4", moving_square(COUNT, seed=7), rate=10)
    works(render, tempera)
    assert known_places(render).input == str(input_of(home).resolve())


@pytest.mark.parametrize("command", ["resume", "export", "evaluate"])
def test_input_that_is_nowhere_is_asked_for_and_remembered(
    home: Path, tempera: Tempera, tmp_path: Path, command: str
) -> None:
    """The input and the render were moved to different places."""
    place = move(input_of(home), tmp_path / "archive" / input_of(home).name)
    render = half_done(move(home / "out/film.render", tmp_path / "x/film.render"))
    result = tempera(command, render, "--progress", "none")
    assert result.code == 4 and f"tempera {command}" in result.err and "--input" in result.err
    assert str(home / "media" / place.name) in result.err and str(tmp_path / "x" / place.name) in result.err
    more = ["--no-baselines"] if command == "evaluate" else []
    result = tempera(command, render, "--input", place, *more, "--progress", "none")
    assert result.code == 0, result.err
    assert known_places(render).input == str(place.resolve())
    works(render, tempera)


def test_export_asks_for_the_input_only_where_it_reads_it(home: Path, tempera: Tempera, tmp_path: Path) -> None:
    move(input_of(home), tmp_path / "archive" / input_of(home).name)
    export = ["export", home / "out/film.render", "--set=output.finish.preserve_color=0", "--progress", "none", "-o"]
    for name, *settings in (
        ["a.gif", "--set=output.time.loop=none"],
        ["b.mp4", "--set=output.audio=none"],
        ["c.mp4", "--fps=5"],
    ):
        result = tempera(*export, tmp_path / name, *settings)
        assert (result.code, result.err) == (0, "")
    for name, setting in (("d.gif", "time.fps=48"), ("e.gif", "time.loop=seamless"), ("f.gif", "finish.match_light=1")):
        result = tempera(*export, tmp_path / name, f"--set=output.{setting}")
        assert result.code == 4 and "the input of this render is not there" in result.err and "--input" in result.err


def test_wrong_input_is_refused(home: Path, tempera: Tempera, tmp_path: Path) -> None:
    render, name = home / "out/film.render", input_of(home).name
    write_photos(tmp_path / "photos", moving_square(COUNT, seed=7))
    write_video(tmp_path / "clip.mp4", moving_square(COUNT, seed=7), rate=10)
    before = known_places(render)
    result = tempera("resume", render, "--input", tmp_path / name, "--progress", "none")
    assert result.code == 4 and "is not the input of this render" in result.err
    (tmp_path / "empty").mkdir()
    result = tempera("resume", render, "--input", tmp_path / "empty", "--progress", "none")
    assert result.code == 4 and "is not there" in result.err
    assert known_places(render) == before


def test_style_image_that_is_nowhere_is_named(home: Path, tempera: Tempera, tmp_path: Path) -> None:
    image = move(home / "art/waves.png", tmp_path / "waves.png")
    render = half_done(home / "out/film.render")
    result = tempera("resume", render, "--progress", "none")
    assert result.code == 3 and "art/waves.png" in result.err and str(home / "out") in result.err, result.err
    move(image, home / "out/waves.png")
    works(render, tempera)


@pytest.mark.parametrize(
    "note", ["", "null", "[]", '{"tempera_where": 1}', '{"tempera_where": 1, "input": 3, "files": {}}']
)
def test_damaged_note_counts_as_none(tmp_path: Path, note: str) -> None:
    (tmp_path / WHERE_NAME).write_text(note)
    assert known_places(tmp_path) == Places()

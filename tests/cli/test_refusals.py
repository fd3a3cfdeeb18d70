"""What the command line refuses, with which exit code, and what it never overwrites."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from pipeline import cli
from tests.support.clips import moving_square, texture, truncate, write_photos
from tests.support.command_line import (
    FRAMES,
    QUICK,
    Tempera,
    assert_refused,
    everything,
    tree,
)

ROOT = Path(cli.__file__).parents[2]


def test_input_is_never_overwritten(render: Tempera, media: Path, tmp_path: Path) -> None:
    shutil.copy(media / "clip.mp4", tmp_path / "clip.mp4")
    (tmp_path / "link.mp4").symlink_to("clip.mp4")
    photos = shutil.copytree(media / "photos", tmp_path / "photos")
    before = tree(tmp_path)
    for output in ("clip.mp4", "./clip.mp4", "link.mp4"):
        assert_refused(render("clip.mp4", "-s", "{media}/waves.png", "-o", output), 2, "input itself")
        assert_refused(render("clip.mp4", "-s", "{media}/waves.png", "-o", output, "--fresh"), 2, "input itself")
    assert_refused(render(photos, "-s", "{media}/waves.png", "-o", "photos/shot_%03d.png"), 2, "shot_001.png")
    for output in ("photos/p_%03d.png", "photos/all.gif"):  # would be input of the second run
        assert_refused(render("photos", "-s", "{media}/waves.png", "-o", output), 2, output)
    assert_refused(render("photos/shot_001.png", "-s", "{media}/waves.png", "-o", "photos/shot_001.png"), 2)
    assert tree(tmp_path) == before


def test_file_of_another_program_is_never_overwritten(render: Tempera, tmp_path: Path) -> None:
    (tmp_path / "mine.mp4").write_bytes(b"holidays")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/00002.png").write_bytes(b"holidays")
    clip = ("{media}/clip.mp4", "-s", "{media}/waves.png")
    assert_refused(render(*clip, "-o", "mine.mp4"), 2, "mine.mp4", "-o")
    assert_refused(render(*clip, "-o", "out/%05d.png"), 2, "out/00002.png")
    assert render(*clip, "-o", "other.mp4", "--workdir", "work").code == 0
    assert_refused(render(*clip, "-o", "mine.mp4", "--workdir", "work"), 2, "mine.mp4")
    assert (tmp_path / "mine.mp4").read_bytes() == (tmp_path / "out/00002.png").read_bytes() == b"holidays"
    assert render(*clip, "-o", "mine.mp4", "--fresh").code == 0
    assert (tmp_path / "mine.old-1.mp4").read_bytes() == b"holidays"


def test_export_replaces_only_what_the_render_has_written(tempera: Tempera, rendered: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.mp4").write_bytes(b"holidays")
    assert_refused(tempera("export", rendered, "-o", "mine.mp4", "-q"), 2, "mine.mp4", "not of this render")
    (tmp_path / "out").mkdir()
    behind = tmp_path / f"out/{FRAMES:05d}.png"  # an in-between would have this name
    behind.write_bytes(b"holidays")
    images = ("-o", "out/%05d.png", "--set", "output.time.fps=48", "-q")
    assert_refused(tempera("export", rendered, *images), 2, behind.name)
    assert_refused(tempera("render", "{media}/clip.mp4", "-s", "{media}/waves.png", *images, *QUICK), 2, behind.name)
    assert (tmp_path / "mine.mp4").read_bytes() == behind.read_bytes() == b"holidays"
    behind.unlink()
    for _ in range(2):
        assert tempera("export", rendered, *images).code == 0
    assert behind.exists()


def test_a_dry_run_is_refused_where_the_render_is(render: Tempera, tempera: Tempera, rendered: Path) -> None:
    clip = ("{media}/clip.mp4", "-s", "{media}/waves.png", "--dry-run")
    Path("mine.mp4").write_bytes(b"holidays")
    assert_refused(render(*clip, "-o", "mine.mp4"), 2, "not of this render")
    assert_refused(render(*clip, "--workdir", rendered, "--seed", "7", "-o", "v.mp4"), 5, "seed: there 0, now 7")
    for settings in (("--seed", "7", "--fresh"), ()):
        assert render(*clip, "--workdir", rendered, "-o", "v.mp4", *settings).code == 0


def test_a_rate_that_the_container_does_not_take_is_refused_before_the_work(render: Tempera, tmp_path: Path) -> None:
    result = render("{media}/clip.mp4", "-s", "{media}/waves.png", "-o", "v.mxf", "--width", "256")
    assert_refused(result, 8, ".mxf does not take 10 frames per second", "output.time.fps=25", "--fps 25")
    assert everything(tmp_path) == set()


def test_what_is_no_output_and_what_is_no_render_is_said(tempera: Tempera, render: Tempera, tmp_path: Path) -> None:
    clip = ("{media}/clip.mp4", "-s", "{media}/waves.png")
    assert_refused(render(*clip, "-o", "v"), 2, "error: v: has no suffix", ".mp4")
    assert_refused(render(*clip, "-o", "v.txt"), 2, ".txt is no kind of file that can be written", ".mp4")
    assert_refused(tempera("status", "{media}/clip.mp4"), 5, "clip.mp4: not a render directory (is a file)")
    assert_refused(tempera("status", "v.render"), 5, "v.render: not a render directory (there is no such folder)")


def test_settings_that_do_nothing_for_an_input_are_noted(tempera: Tempera) -> None:
    def notes(name: str, output: str, *settings: str) -> str:
        words = [f"--set={setting}" for setting in ("styler=palette", *settings)]
        result = tempera("render", f"{{media}}/{name}", "-s", "{media}/waves.png", "-o", output, "-v", *words)
        assert result.code == 0, result.err
        return result.err

    said = notes("cut.mp4", "cut.mkv", "motion.loop=true", "input.align=burst", "input.fuse_group=2")
    for key in ("motion.loop does nothing", "input.align acts on photos", "input.fuse_group does nothing"):
        assert key in said
    said = notes("photos/shot_001.png", "one.png", "output.view.zoom=2", "output.codec=hevc")
    assert said.count("one.png (one .png image): output.codec, output.view do nothing") == 1
    assert "nothing" not in notes("photos/shot_001.png", "plain.png")


LONG = "x" * 300
"""Longer than a file system takes: looking for it raises OSError."""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["render", "{media}/clip.mp4", "-s", "{media}/waves.png", "-o", f"{LONG}.mp4"], 8, "shorter name"),
        (["render", "{media}/clip.mp4", "-s", "{media}/waves.png", "-o", f"{'x' * 250}.mp4"], 5, "shorter name"),
        (["render", f"{LONG}.mp4", "-s", "{media}/waves.png"], 4, "too long"),
        (["render", f"{LONG}.png", "a.png", "-s", "{media}/waves.png"], 4, "too long"),
        (["explain", f"{LONG}.png", "-s", "{media}/waves.png"], 4, "too long"),
        (["render", "{media}/clip.mp4", "-s", "{media}/waves.png", "--weights", LONG, "--encoder=compact"], 6, LONG),
        (["render", "{media}/clip.mp4", "-s", "{media}/waves.png", "--weights", LONG, "--encoder=vgg16"], 6, LONG),
        (["resume", "{rendered}", "--input", LONG], 4, LONG),
        (["export", "{rendered}", "-o", f"{LONG}/v.mp4"], 8, "shorter name"),
        (["preview", "{media}/waves.png", "--promote", "A1", f"{LONG}.yaml"], 4, "is not a sheet"),
    ],
    ids=[
        "output",
        "render directory",
        "input",
        "list",
        "explained",
        "compact",
        "vgg16",
        "moved input",
        "folder",
        "promoted",
    ],
)
def test_names_that_are_too_long_are_no_bugs(
    tempera: Tempera, rendered: Path, words: list[str], code: int, said: str
) -> None:
    result = tempera(*[word.replace("{rendered}", str(rendered)) for word in words])
    assert_refused(result, code, said)


def test_old_video_that_cannot_be_moved_aside_is_a_write_error(
    render: Tempera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.mp4").write_bytes(b"holidays")
    rename = Path.rename

    def refuse_video(path: Path, target: Path) -> Path:
        if path.name == "mine.mp4":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse_video)
    result = render("{media}/clip.mp4", "-s", "{media}/waves.png", "-o", "mine.mp4", "--fresh")
    assert_refused(result, 8, "mine.mp4", "permissions")
    assert (tmp_path / "mine.mp4").read_bytes() == b"holidays"


def test_second_output_of_a_render_may_be_written_again(render: Tempera, tmp_path: Path) -> None:
    clip = ("{media}/clip.mp4", "-s", "{media}/waves.png", "--workdir", "work")
    for output in ("first.mp4", "second.mkv", "second.mkv", "first.mp4"):
        assert render(*clip, "-o", output).out == f"{output}\n"
    assert len((tmp_path / "work/stats.jsonl").read_text().splitlines()) == FRAMES


def test_unreadable_input_is_refused_and_named(render: Tempera, media: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video\n" * 50)
    (tmp_path / "empty").mkdir()
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/readme.txt").write_text("nothing to see")
    shutil.copy(media / "clip.mp4", tmp_path / "cut.mp4")
    truncate(tmp_path / "cut.mp4", 0.3)
    cases: list[tuple[str, str]] = [
        ("missing.mp4", "missing.mp4"),
        ("text.mp4", "found text"),
        ("empty", "empty"),
        ("zero.mp4", "zero.mp4"),
        ("notes", "readme.txt"),
        ("*.jpg", "*.jpg"),
        ("frame_%04d.png", "frame_%04d.png"),
        ("cut.mp4", "cut.mp4"),
    ]
    before = everything(tmp_path)
    for given, word in cases:
        assert_refused(render(given, "-s", "{media}/waves.png", "-o", "o.mp4"), 4, word)
    assert everything(tmp_path) == before


def test_truncated_photo_is_refused_and_named(render: Tempera, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "burst", moving_square(3, size=(96, 64)), pattern="p{:03d}.jpg")
    truncate(photos[1], 0.5)
    assert_refused(render("burst", "-s", "{media}/waves.png", "-o", "o.mp4"), 4, "p002.jpg")
    assert not (tmp_path / "o.mp4").exists()


def test_photo_of_another_size_is_refused_unless_fitted(render: Tempera, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "burst", moving_square(3))
    Image.fromarray(texture((64, 64), 1)).save(photos[1])
    assert_refused(render("burst", "-s", "{media}/waves.png", "-o", "o.mp4"), 4, "shot_002.png", "input.fit")
    assert render("burst", "-s", "{media}/waves.png", "-o", "o.mp4", "--set=input.fit=cover").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--style", "swril"], 3, ["swril", "'swirl'"]),
        (["--style", "{media}/clip.mp4"], 3, ["clip.mp4"]),
        (["--style", "missing.yaml"], 3, ["missing.yaml"]),
        (["--style", "{media}/waves.png", "--set", "losses.content.wieght=2"], 3, ["'losses.content.weight'"]),
        (["--style", "{media}/waves.png", "--set", "losses.content.weight=much"], 3, ["losses.content.weight", "much"]),
        (["--style", "{media}/waves.png", "--set", "output.codec=prores"], 3, ["prores", "output.codec"]),
        (["--style", "{media}/waves.png", "--set", "seed"], 3, ["section.key=value"]),
        (["--style", "{media}/waves.png", "--set", "optimize.cold.init=gone.png"], 3, ["gone.png"]),
        (["--style", "{media}/waves.png", "--set", "optimize.cold.init=random"], 3, ["of optimize.cold.init", "noise"]),
        (["--style", "{media}/waves.png", "--style", "{media}/waves.png"], 2, ["'waves'"]),
        (["--style", "{media}/waves.png", "--frames", "3"], 2, ["--frames"]),
        (["--style", "{media}/waves.png", "--frames", "3:3"], 2, []),
        (["--style", "{media}/waves.png", "--frames", "90:"], 2, []),
        (["--style", "{media}/waves.png", "--fps", "0"], 2, ["--fps"]),
        (["--style", "{media}/waves.png", "--fps", "1e999999999"], 2, ["--fps"]),
        (["--style", "{media}/waves.png", "--fps", "1/0"], 2, ["--fps"]),
        (["--style", "{media}/waves.png", "--width", "0"], 2, ["--width"]),
        (["--style", "{media}/waves.png", "--width", "wide"], 2, ["--width"]),
        (["--style", "{media}/waves.png", "--width", "16"], 4, ["too small"]),
        (["--style", "{media}/waves.png", "--encoder", "resnet"], 2, ["resnet"]),
        (["--style", "{media}/waves.png", "--weights", "gone.pth", "--encoder", "vgg19"], 6, ["gone.pth"]),
        (["--style", "{media}/waves.png", "--bogus"], 2, ["--bogus"]),
        (["--style", "{media}/waves.png", "-o", "o.xyz"], 2, [".xyz", ".mp4"]),
        (["--style", "{media}/waves.png", "-o", "."], 2, ["-o"]),
        (["--style", "{media}/waves.png", "--style", "{media}/other.png", "-o", ".."], 2, ["-o"]),
        (["--style", "{media}/waves.png", "-o", "o.png"], 2, ["%05d"]),
        (["--style", "{media}/waves.png", "-o", "file/o.mp4"], 8, ["file"]),
        (["--style", "{media}/waves.png", "-o", "folder.mp4"], 8, ["folder"]),
        (["--style", "{media}/waves.png", "--workdir", "file"], 5, ["file"]),
        (["--style", "{media}/waves.png", "--workdir", "full"], 5, ["full"]),
        ([], 2, ["--style"]),
    ],
    ids=lambda value: " ".join(value).replace("{media}/", "") if isinstance(value, list) else None,
)
def test_invalid_argument_is_refused_and_named(
    render: Tempera, tempera: Tempera, tmp_path: Path, arguments: Sequence[str], code: int, words: Sequence[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").touch()
    before = everything(tmp_path)
    if "--encoder" in arguments:
        result = tempera("render", "{media}/clip.mp4", *arguments, "--progress", "none")
    else:
        result = render("{media}/clip.mp4", *arguments)
    assert_refused(result, code, *words)
    assert everything(tmp_path) == before


def test_output_in_a_read_only_folder_is_refused(render: Tempera, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):  # root may write everywhere except here
        locked = Path("/proc")
        if not locked.is_dir():
            pytest.skip("no folder is read-only for this user")
    assert_refused(render("{media}/clip.mp4", "-s", "{media}/waves.png", "-o", locked / "o.mp4"), 8, "-o")


@pytest.mark.parametrize("command", ["status", "verify", "resume", "export"])
def test_path_that_is_no_render_directory_is_refused(tempera: Tempera, tmp_path: Path, command: str) -> None:
    assert_refused(tempera(command, "gone.render"), 5, "gone.render")
    (tmp_path / "some").mkdir()
    assert_refused(tempera(command, "some"), 5, "plan.json")


def test_locked_render_is_refused(render: Tempera, tmp_path: Path, media: Path) -> None:
    from pipeline.store.directory import RenderDirectory

    clip = ("{media}/clip.mp4", "-s", "{media}/waves.png", "-o", "a.mp4")
    render(*clip)
    with RenderDirectory.open(tmp_path / "a.render").lock():
        assert_refused(render(*clip), 5, "a.render")
        assert_refused(render(*clip, "--fresh"), 5, "a.render")


def test_keyboard_interrupt_ends_a_command_with_code_130(tempera: Tempera, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.config.reading.config_schema", interrupted)
    result = tempera("schema")
    assert (result.code, result.out) == (130, "") and result.err.startswith("interrupted: ")


def test_choices_of_a_missing_argument_stand_on_one_line(tempera: Tempera) -> None:
    result = tempera("completion")
    assert result.code == 2 and "\\" not in result.err
    assert result.err.startswith("error: Missing argument 'shell'. Choose from: bash, zsh, fish, powershell\n")


def test_names_that_the_encoding_of_the_terminal_does_not_have_are_escaped(tmp_path: Path) -> None:
    name = os.fsdecode("é☃".encode() + b"\xff.png")
    Image.new("RGB", (16, 16)).save(tmp_path / name, format="PNG")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-m", "pipeline", "probe", name, "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    assert b'"path": "\xe9\\u2603\xff.png"' in done.stdout  # in Latin-1, as an escape, and as the byte that it is


SLOW_MODULE = "import sys, time; sys.stdout.write('loading'); sys.stdout.flush(); time.sleep(60)"


@pytest.mark.parametrize(("module", "code"), [("typing", -signal.SIGINT), ("typer", -signal.SIGINT), ("torch", 130)])
def test_ctrl_c_while_modules_load_prints_no_traceback(tmp_path: Path, module: str, code: int) -> None:
    """At the start nothing can be lost: the signal ends the process as if it had no handler, and a shell shows 130."""
    (tmp_path / f"{module}.py").write_text(SLOW_MODULE)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "doctor"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.read(len("loading")) == b"loading"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert said.startswith(b"interrupted: stopped at once" if code == 130 else b"") and b"Traceback" not in said


def test_closed_stdout_ends_a_command_without_a_message(tmp_path: Path) -> None:
    code = "import sys; from pipeline.cli import run; sys.exit(run(['schema']))"
    root = Path(cli.__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root
    ) as gone:
        assert gone.stdout is not None and gone.stderr is not None
        gone.stdout.close()
        assert gone.stderr.read() == b""
    assert gone.returncode == 128 + 13


def test_unexpected_exception_is_reported_as_a_bug(tempera: Tempera, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("pipeline.config.reading.config_schema", broken)
    result = tempera("schema")
    assert result.code == 1 and "ZeroDivisionError: ours" in result.err and "bug in Tempera" in result.err

"""The command line from end to end: what it prints where, what it leaves on the disk, and how it says no."""

from __future__ import annotations

import errno
import importlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline import cli
from pipeline.config.settings import Config
from pipeline.errors import InputError
from pipeline.execute.chain_frames import ChainFrame
from pipeline.execute.prefetch import Prefetcher
from pipeline.store.directory import resume_command
from tests.support.clips import moving_square, texture, truncate, write_photos, write_video

FRAMES = 5
QUICK = ["--encoder", "tiny", "--progress", "none"]
QUICK += [f"--set={key}" for key in ("optimize.cold.evaluations=2", "optimize.warm.evaluations=1")]
QUICK += [f"--set={key}" for key in ("optimize.cold.min_scale_px=32", "output.preset=ultrafast")]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip with sound, one with a cut, photos, and two paintings."""
    folder = tmp_path_factory.mktemp("media")
    write_video(folder / "clip.mp4", moving_square(FRAMES), rate=10, tone_s=0.5)
    write_video(folder / "cut.mp4", moving_square(6, cut_at=3))
    write_video(folder / "uneven.mp4", moving_square(4), time_base=Fraction(1, 1000), pts=[0, 40, 140, 200])
    write_photos(folder / "photos", moving_square(3))
    for number, name in enumerate(("paint", "other")):
        Image.fromarray(texture((64, 48), number + 50)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def rendered(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The render directory of a finished render of the clip; copy it before changing it."""
    folder = tmp_path_factory.mktemp("rendered")
    assert (
        cli.run(["render", str(media / "clip.mp4"), "-s", str(media / "paint.png"), *QUICK, "-o", f"{folder}/v.mp4"])
        == 0
    )
    return folder / "v.render"


@dataclass(frozen=True)
class Result:
    """What a command left."""

    code: int
    out: str
    err: str


Tempera = Callable[..., Result]


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
    """`tempera render` with settings that take no time."""
    return lambda *arguments: tempera("render", *arguments, *QUICK)


def assert_refused(result: Result, code: int, *words: str) -> None:
    """It ended with this code and exactly an error and a hint, and no traceback."""
    assert result.code == code, result.err
    assert result.out == ""
    assert "Traceback" not in result.err
    lines = result.err.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    hints = [number for number, line in enumerate(lines) if line.startswith("hint: ")]
    assert len(errors) == len(hints) == 1 and errors[0] < hints[0], result.err
    assert len(lines[hints[0]]) > len("hint: ") + 5
    for word in words:
        assert word in result.err


def video_times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [Fraction(frame.pts or 0) * (frame.time_base or 1) for frame in container.decode(stream)]


def audio_seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams.audio[0]))
        return sum(frame.samples for frame in frames) / frames[0].sample_rate


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# Rendering


def test_a_clip_becomes_a_video_with_its_timing_and_sound(render: Tempera, media: Path, tmp_path: Path) -> None:
    result = render("{media}/clip.mp4", "--style", "{media}/paint.png", "-o", "out/film.mp4")
    assert (result.code, result.out, result.err) == (0, "out/film.mp4\n", "")
    film = tmp_path / "out" / "film.mp4"
    assert video_times(film) == [Fraction(index, 10) for index in range(FRAMES)]
    assert audio_seconds(film) == pytest.approx(0.5, abs=0.05)
    assert len(list((tmp_path / "out/film.render/frames/paint-s000").glob("*.png"))) == FRAMES
    stats = [json.loads(line) for line in (tmp_path / "out/film.render/stats.jsonl").read_text().splitlines()]
    assert [(line["frame"], line["phase"]) for line in stats] == [(0, "cold"), *((i, "warm") for i in range(1, FRAMES))]
    needed = {"chain", "evaluations", "loss", "content_loss", "style_loss", "temporal_loss", "seconds"}
    assert all(needed <= line.keys() for line in stats)


def test_uneven_timing_is_kept(render: Tempera, tmp_path: Path) -> None:
    assert render("{media}/uneven.mp4", "-s", "{media}/paint.png", "-o", "u.mp4").code == 0
    assert video_times(tmp_path / "u.mp4") == [Fraction(ms, 1000) for ms in (0, 40, 140, 200)]


def test_photos_become_a_video_named_after_folder_and_style(render: Tempera, tmp_path: Path) -> None:
    result = render("{media}/photos", "-s", "{media}/paint.png", "--fps", "5")
    assert (result.code, result.out) == (0, "photos-paint.mp4\n")
    assert video_times(tmp_path / "photos-paint.mp4") == [Fraction(index, 5) for index in range(3)]
    assert everything(tmp_path) >= {"photos-paint.mp4", "photos-paint.render", "photos-paint.render/plan.json"}


def test_the_same_command_again_paints_nothing_again(render: Tempera, tmp_path: Path) -> None:
    command = ("{media}/clip.mp4", "-s", "{media}/paint.png", "-o", "a.mp4")
    assert render(*command).code == 0
    before = tree(tmp_path / "a.render/frames"), (tmp_path / "a.render/stats.jsonl").read_bytes()
    video = (tmp_path / "a.mp4").read_bytes()
    assert render(*command).out == "a.mp4\n"
    assert (tree(tmp_path / "a.render/frames"), (tmp_path / "a.render/stats.jsonl").read_bytes()) == before
    assert (tmp_path / "a.mp4").read_bytes() == video


def test_output_settings_may_change_without_painting_again(render: Tempera, tmp_path: Path) -> None:
    command = ("{media}/clip.mp4", "-s", "{media}/paint.png", "-o", "a.mp4")
    render(*command)
    stats, video = (tmp_path / "a.render/stats.jsonl").read_bytes(), (tmp_path / "a.mp4").read_bytes()
    assert render(*command, "--set", "output.finish.preserve_color=1", "--set", "runtime.batch_size=3").code == 0
    assert (tmp_path / "a.render/stats.jsonl").read_bytes() == stats
    assert (tmp_path / "a.mp4").read_bytes() != video


def test_a_changed_setting_is_refused_with_both_values_and_both_ways_out(render: Tempera, tmp_path: Path) -> None:
    command = ("{media}/clip.mp4", "-s", "{media}/paint.png", "-o", "a.mp4")
    render(*command)
    before = tree(tmp_path)
    changed = render(*command, "--seed", "41", "--set", "losses.content.weight=2.5", "--width", "40")
    assert_refused(changed, 5, "seed: there 0, now 41", "content.weight: there 1.0, now 2.5", "--fresh", "--workdir")
    assert "geometry.width_px: there 48, now 40" in changed.err
    assert tree(tmp_path) == before


def test_fresh_begins_anew_and_deletes_nothing(render: Tempera, tmp_path: Path) -> None:
    command = ("{media}/clip.mp4", "-s", "{media}/paint.png", "-o", "a.mp4")
    render(*command)
    old = tree(tmp_path / "a.render/frames")
    video = (tmp_path / "a.mp4").read_bytes()
    result = render(*command, "--seed", "41", "--fresh")
    assert (result.code, result.out) == (0, "a.mp4\n")
    assert tree(tmp_path / "a.render.old-1/frames") == old
    assert (tmp_path / "a.old-1.mp4").read_bytes() == video
    assert tree(tmp_path / "a.render/frames").keys() == old.keys() and tree(tmp_path / "a.render/frames") != old


def test_several_styles_make_several_videos(render: Tempera, tmp_path: Path) -> None:
    styles = ("-s", "{media}/paint.png", "-s", "{media}/other.png")
    assert render("{media}/clip.mp4", *styles, "-o", "o.mp4").out == "o-paint.mp4\no-other.mp4\n"
    assert render("{media}/clip.mp4", *styles).out == "clip-paint.mp4\nclip-other.mp4\n"
    assert everything(tmp_path) >= {"o-paint.mp4", "o-other.mp4", "o.render", "clip-paint.mp4", "clip-other.mp4"}
    assert {path.name for path in (tmp_path / "o.render/frames").iterdir()} == {"paint-s000", "other-s000"}
    # A style is painted the same with others beside it.
    alone = render("{media}/clip.mp4", "-s", "{media}/other.png", "-o", "alone.mp4")
    assert alone.code == 0
    assert tree(tmp_path / "alone.render/frames/other-s000") == tree(tmp_path / "o.render/frames/other-s000")


def test_a_batch_changes_the_speed_and_not_the_picture(render: Tempera, tmp_path: Path) -> None:
    command = ("{media}/cut.mp4", "-s", "{media}/paint.png")
    assert render(*command, "-o", "one.mp4", "--set", "runtime.batch_size=1").code == 0
    assert render(*command, "-o", "two.mp4", "--set", "runtime.batch_size=2").code == 0
    batches = [json.loads(line)["batch"] for line in (tmp_path / "two.render/stats.jsonl").read_text().splitlines()]
    assert batches == [2] * 6
    for name in tree(tmp_path / "one.render/frames"):
        one, two = (np.asarray(Image.open(tmp_path / f"{which}.render/frames" / name)) for which in ("one", "two"))
        assert np.abs(one.astype(int) - two).max() <= 2  # float tolerance


def test_a_failing_chain_does_not_harm_the_others(
    render: Tempera, tempera: Tempera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Prefetcher.next_item

    def failing(self: Prefetcher[ChainFrame]) -> ChainFrame:
        frame = real(self)
        if frame.index == 1:
            raise InputError("frame 1 is damaged", hint="replace it")
        return frame

    with monkeypatch.context() as patched:
        patched.setattr(Prefetcher, "next_item", failing)
        result = render("{media}/cut.mp4", "-s", "{media}/paint.png", "-o", "a.mp4")
        assert_refused(result, 9, "1 of 2 chains", "chain paint-s000, frame 1: frame 1 is damaged", "tempera resume")
        alone = render("{media}/clip.mp4", "-s", "{media}/paint.png", "-o", "b.mp4")
        assert_refused(alone, 4, "frame 1 is damaged")  # nothing else was left to do
    assert not (tmp_path / "a.mp4").exists()
    assert len(tree(tmp_path / "a.render/frames/paint-s001")) == 3
    assert tempera("resume", "a.render", "--progress", "none").code == 0
    assert len(video_times(tmp_path / "a.mp4")) == 6


@pytest.mark.parametrize("place", ["pipeline.analysis.cuts.find_cuts", "pipeline.media.writer.output.write_video"])
def test_an_interruption_beside_the_painting(
    render: Tempera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    module, _, name = place.rpartition(".")
    real = getattr(importlib.import_module(module), name)

    def interrupted(*arguments: Any, **settings: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(place, interrupted)
        result = render("{media}/clip.mp4", "-s", "{media}/paint.png", "-o", "a.mp4")
    assert (result.code, result.out) == (130, "") and result.err.startswith("interrupted")
    assert not (tmp_path / "a.mp4").exists() and not list(tmp_path.glob(".*"))
    assert render("{media}/clip.mp4", "-s", "{media}/paint.png", "-o", "a.mp4").code == 0


@pytest.mark.parametrize(
    ("output", "directory"),
    [("out/%05d.png", "out.render"), ("%d.png", "frames.render"), ("a/../b/%03d.jpg", "b.render")],
)
def test_numbered_pictures(render: Tempera, tmp_path: Path, output: str, directory: str) -> None:
    (tmp_path / "a").mkdir()
    result = render("{media}/clip.mp4", "-s", "{media}/paint.png", "-o", output)
    assert (result.code, result.out) == (0, f"{output}\n")
    assert all((tmp_path / (output % index)).is_file() for index in range(FRAMES))
    assert (tmp_path / directory / "plan.json").is_file() or (tmp_path / "a" / ".." / directory / "plan.json").is_file()
    assert render("{media}/clip.mp4", "-s", "{media}/paint.png", "-o", output).code == 0


def test_one_photo_becomes_one_picture(render: Tempera, tmp_path: Path) -> None:
    result = render("{media}/photos/shot_001.png", "-s", "{media}/paint.png", "-o", "one.png")
    assert (result.code, result.out) == (0, "one.png\n")
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.size == (48, 32) and picture.mode == "RGB"
        stored = Image.open(tmp_path / "one.render/frames/paint-s000/00000000.png")
        assert np.array_equal(np.asarray(picture), np.asarray(stored))
    assert render("{media}/photos/shot_002.png", "-s", "{media}/paint.png").out == "shot_002-paint.png\n"


@pytest.mark.parametrize("name", ["100%.mp4", "two  spaces & quote's.mp4", "冰 été #1 50%d.mp4", "-dash.mp4"])
def test_strange_names(render: Tempera, media: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(media / "clip.mp4", tmp_path / name)
    given = name if not name.startswith("-") else f"./{name}"
    result = render(given, "-s", "{media}/paint.png")
    stem = name.removesuffix(".mp4")
    assert (result.code, result.out) == (0, f"{stem}-paint.mp4\n"), result.err
    assert (tmp_path / f"{stem}-paint.render/plan.json").is_file()


@pytest.mark.parametrize(("option", "size"), [(("--width", "40"), (40, 26)), (("--height", "64"), (96, 64))])
def test_width_and_height_keep_the_aspect(
    render: Tempera, tmp_path: Path, option: tuple[str, str], size: tuple[int, int]
) -> None:
    assert render("{media}/photos/shot_001.png", "-s", "{media}/paint.png", "-o", "one.png", *option).code == 0
    width, height = size
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.size[0] == width and abs(picture.size[1] - height) <= 1


def test_frames_choose_a_part(render: Tempera, tmp_path: Path) -> None:
    assert render("{media}/clip.mp4", "-s", "{media}/paint.png", "-o", "p.mp4", "--frames", "1:3").code == 0
    assert len(video_times(tmp_path / "p.mp4")) == 2


def test_a_panorama_and_a_narrow_painting(render: Tempera, tmp_path: Path) -> None:
    # The coarse scales of a strip, and a long painting beside a small frame, are too flat for the feature network.
    Image.fromarray(texture((300, 20), 1)).save(tmp_path / "strip.png")
    assert render("strip.png", "-s", "strip.png", "-o", "s.png").code == 0
    assert render("{media}/photos/shot_001.png", "-s", "strip.png", "-o", "t.png").code == 0


@pytest.mark.parametrize("styler", ["palette", "superpixel"])
def test_painters_without_a_network(render: Tempera, tmp_path: Path, styler: str) -> None:
    result = render("{media}/clip.mp4", "-s", "{media}/paint.png", "-o", "p.mp4", f"--set=styler={styler}")
    assert (result.code, result.out) == (0, "p.mp4\n")
    assert len(video_times(tmp_path / "p.mp4")) == FRAMES


def test_a_shipped_style_is_found_again_from_anywhere(
    render: Tempera, tempera: Tempera, media: Path, tmp_path: Path
) -> None:
    """The plan has its picture as seen from the render directory, which has moved two folders down since."""
    home, away = tmp_path / "home", tmp_path / "far/away/home"
    home.mkdir()
    shutil.copy(media / "clip.mp4", home)
    assert render(home / "clip.mp4", "-s", "ink", "-o", home / "v.mp4", "--set=styler=palette").code == 0
    before = (home / "v.mp4").read_bytes()
    away.parent.mkdir(parents=True)
    home.rename(away)
    (away / "v.mp4").unlink()
    next((away / "v.render/frames").glob("*/00000004.png")).unlink()
    assert tempera("resume", away / "v.render", "--progress", "none").code == 0
    assert (away / "v.mp4").read_bytes() == before
    (away / "clip.mp4").rename(tmp_path / "clip.mp4")
    result = tempera("resume", away / "v.render", "--progress", "none")
    assert result.code == 4 and "not there" in result.err
    assert f"--workdir {away / 'v.render'}" in result.err


@pytest.mark.parametrize("name", ["template", "swirl"])
def test_a_printed_config_paints_as_it_is(render: Tempera, tempera: Tempera, tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.yaml").write_text(tempera("styles", name).out)
    assert render("{media}/photos/shot_001.png", "-s", "mine.yaml", "-o", "p.png", "--set=styler=palette").code == 0


def test_a_rate_above_the_inputs_is_explained(tempera: Tempera) -> None:
    quick = [word for word in QUICK if word not in ("--progress", "none")]
    words = ("render", "{media}/clip.mp4", "-s", "{media}/paint.png", "-o", "f.mp4", "--dry-run", *quick)
    assert "shown twice" in tempera(*words, "--fps", "60", "--progress", "plain").err
    assert "shown twice" not in tempera(*words, "--fps", "10", "--progress", "plain").err


def test_a_dry_run_writes_nothing(render: Tempera, tmp_path: Path) -> None:
    result = render("{media}/clip.mp4", "-s", "{media}/paint.png", "-o", "new/out.mp4", "--dry-run")
    assert result.code == 0 and everything(tmp_path) == set()
    for word in (f"{FRAMES} frames", "48x32", "new/out.mp4", "new/out.render"):
        assert word in result.out


def test_progress_as_json_lines(tempera: Tempera) -> None:
    quick = [word for word in QUICK if word not in ("--progress", "none")]
    result = tempera(
        "render", "{media}/clip.mp4", "-s", "{media}/paint.png", "-o", "j.mp4", *quick, "--progress", "json"
    )
    assert result.out == "j.mp4\n"
    events = [json.loads(line) for line in result.err.splitlines()]
    assert [event["frame"] for event in events if event["event"] == "frame"] == list(range(FRAMES))


# What must not be overwritten


def test_the_input_is_never_overwritten(render: Tempera, media: Path, tmp_path: Path) -> None:
    shutil.copy(media / "clip.mp4", tmp_path / "clip.mp4")
    (tmp_path / "link.mp4").symlink_to("clip.mp4")
    photos = shutil.copytree(media / "photos", tmp_path / "photos")
    before = tree(tmp_path)
    for output in ("clip.mp4", "./clip.mp4", "link.mp4"):
        assert_refused(render("clip.mp4", "-s", "{media}/paint.png", "-o", output), 2, "input itself")
        assert_refused(render("clip.mp4", "-s", "{media}/paint.png", "-o", output, "--fresh"), 2, "input itself")
    assert_refused(render(photos, "-s", "{media}/paint.png", "-o", "photos/shot_%03d.png"), 2, "shot_001.png")
    for output in ("photos/p_%03d.png", "photos/all.gif"):  # would be input of the second run
        assert_refused(render("photos", "-s", "{media}/paint.png", "-o", output), 2, output)
    assert_refused(render("photos/shot_001.png", "-s", "{media}/paint.png", "-o", "photos/shot_001.png"), 2)
    assert tree(tmp_path) == before


def test_a_strangers_video_is_never_overwritten(render: Tempera, tmp_path: Path) -> None:
    (tmp_path / "mine.mp4").write_bytes(b"holidays")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/00002.png").write_bytes(b"holidays")
    clip = ("{media}/clip.mp4", "-s", "{media}/paint.png")
    assert_refused(render(*clip, "-o", "mine.mp4"), 2, "mine.mp4", "-o")
    assert_refused(render(*clip, "-o", "out/%05d.png"), 2, "out/00002.png")
    assert render(*clip, "-o", "other.mp4", "--workdir", "work").code == 0
    assert_refused(render(*clip, "-o", "mine.mp4", "--workdir", "work"), 2, "mine.mp4")
    assert (tmp_path / "mine.mp4").read_bytes() == (tmp_path / "out/00002.png").read_bytes() == b"holidays"
    assert render(*clip, "-o", "mine.mp4", "--fresh").code == 0
    assert (tmp_path / "mine.old-1.mp4").read_bytes() == b"holidays"


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
    result = render("{media}/clip.mp4", "-s", "{media}/paint.png", "-o", "mine.mp4", "--fresh")
    assert_refused(result, 8, "mine.mp4", "permissions")
    assert (tmp_path / "mine.mp4").read_bytes() == b"holidays"


def test_another_output_of_the_same_render_may_be_written_again(render: Tempera, tmp_path: Path) -> None:
    clip = ("{media}/clip.mp4", "-s", "{media}/paint.png", "--workdir", "work")
    for output in ("first.mp4", "second.mkv", "second.mkv", "first.mp4"):
        assert render(*clip, "-o", output).out == f"{output}\n"
    assert len((tmp_path / "work/stats.jsonl").read_text().splitlines()) == FRAMES


# Bad input


def test_bad_inputs(render: Tempera, media: Path, tmp_path: Path) -> None:
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
        assert_refused(render(given, "-s", "{media}/paint.png", "-o", "o.mp4"), 4, word)
    assert everything(tmp_path) == before


def test_a_truncated_photo_is_named(render: Tempera, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "burst", moving_square(3, size=(96, 64)), pattern="p{:03d}.jpg")
    truncate(photos[1], 0.5)
    assert_refused(render("burst", "-s", "{media}/paint.png", "-o", "o.mp4"), 4, "p002.jpg")
    assert not (tmp_path / "o.mp4").exists()


def test_photos_of_another_size(render: Tempera, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "burst", moving_square(3))
    Image.fromarray(texture((64, 64), 1)).save(photos[1])
    assert_refused(render("burst", "-s", "{media}/paint.png", "-o", "o.mp4"), 4, "shot_002.png", "input.fit")
    assert render("burst", "-s", "{media}/paint.png", "-o", "o.mp4", "--set=input.fit=cover").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--style", "swril"], 3, ["swril", "'swirl'"]),
        (["--style", "{media}/clip.mp4"], 3, ["clip.mp4"]),
        (["--style", "missing.yaml"], 3, ["missing.yaml"]),
        (["--style", "{media}/paint.png", "--set", "losses.content.wieght=2"], 3, ["'losses.content.weight'"]),
        (["--style", "{media}/paint.png", "--set", "losses.content.weight=much"], 3, ["losses.content.weight", "much"]),
        (["--style", "{media}/paint.png", "--set", "output.codec=prores"], 3, ["prores", "output.codec"]),
        (["--style", "{media}/paint.png", "--set", "seed"], 3, ["section.key=value"]),
        (["--style", "{media}/paint.png", "--set", "optimize.cold.init=gone.png"], 3, ["gone.png"]),
        (["--style", "{media}/paint.png", "--style", "{media}/paint.png"], 2, ["'paint'"]),
        (["--style", "{media}/paint.png", "--frames", "3"], 2, ["--frames"]),
        (["--style", "{media}/paint.png", "--frames", "3:3"], 2, []),
        (["--style", "{media}/paint.png", "--frames", "90:"], 2, []),
        (["--style", "{media}/paint.png", "--fps", "0"], 2, ["--fps"]),
        (["--style", "{media}/paint.png", "--fps", "1e999999999"], 2, ["--fps"]),
        (["--style", "{media}/paint.png", "--fps", "1/0"], 2, ["--fps"]),
        (["--style", "{media}/paint.png", "--width", "0"], 2, ["--width"]),
        (["--style", "{media}/paint.png", "--width", "wide"], 2, ["--width"]),
        (["--style", "{media}/paint.png", "--width", "16"], 4, ["too small"]),
        (["--style", "{media}/paint.png", "--encoder", "resnet"], 2, ["resnet"]),
        (["--style", "{media}/paint.png", "--weights", "gone.pth", "--encoder", "vgg19"], 6, ["gone.pth"]),
        (["--style", "{media}/paint.png", "--bogus"], 2, ["--bogus"]),
        (["--style", "{media}/paint.png", "-o", "o.xyz"], 2, [".xyz", ".mp4"]),
        (["--style", "{media}/paint.png", "-o", "."], 2, ["-o"]),
        (["--style", "{media}/paint.png", "--style", "{media}/other.png", "-o", ".."], 2, ["-o"]),
        (["--style", "{media}/paint.png", "-o", "o.png"], 2, ["%05d"]),
        (["--style", "{media}/paint.png", "-o", "file/o.mp4"], 8, ["file"]),
        (["--style", "{media}/paint.png", "-o", "folder.mp4"], 8, ["folder"]),
        (["--style", "{media}/paint.png", "--workdir", "file"], 5, ["file"]),
        (["--style", "{media}/paint.png", "--workdir", "full"], 5, ["full"]),
        ([], 2, ["--style"]),
    ],
    ids=lambda value: " ".join(value).replace("{media}/", "") if isinstance(value, list) else None,
)
def test_bad_arguments(
    render: Tempera, tempera: Tempera, tmp_path: Path, arguments: Sequence[str], code: int, words: Sequence[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").touch()
    before = everything(tmp_path)
    if "--encoder" in arguments:
        result = tempera("render", "{media}/clip.mp4", *arguments, "--progress", "none")
    else:
        result = render("{media}/clip.mp4", *arguments)
    assert_refused(result, code, *words)
    assert everything(tmp_path) == before


def test_a_folder_that_takes_no_files(render: Tempera, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):  # root may write everywhere but here
        locked = Path("/proc")
        if not locked.is_dir():
            pytest.skip("no folder is read-only for this user")
    assert_refused(render("{media}/clip.mp4", "-s", "{media}/paint.png", "-o", locked / "o.mp4"), 8, "-o")


@pytest.mark.parametrize("command", ["status", "verify", "resume", "export"])
def test_what_is_no_render_directory(tempera: Tempera, tmp_path: Path, command: str) -> None:
    assert_refused(tempera(command, "gone.render"), 5, "gone.render")
    (tmp_path / "some").mkdir()
    assert_refused(tempera(command, "some"), 5, "plan.json")


def test_a_render_in_use_is_left_alone(render: Tempera, tmp_path: Path, media: Path) -> None:
    from pipeline.store.directory import RenderDirectory

    clip = ("{media}/clip.mp4", "-s", "{media}/paint.png", "-o", "a.mp4")
    render(*clip)
    with RenderDirectory.open(tmp_path / "a.render").lock():
        assert_refused(render(*clip), 5, "a.render")
        assert_refused(render(*clip, "--fresh"), 5, "a.render")


def test_ctrl_c_anywhere_is_no_bug(tempera: Tempera, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.config.reading.config_schema", interrupted)
    result = tempera("schema")
    assert (result.code, result.out) == (130, "") and result.err.startswith("interrupted: ")


def test_a_reader_that_left_is_no_bug(tmp_path: Path) -> None:
    code = "import sys; from pipeline.cli import run; sys.exit(run(['schema']))"
    root = Path(cli.__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root
    ) as gone:
        assert gone.stdout is not None and gone.stderr is not None
        gone.stdout.close()
        assert gone.stderr.read() == b""
    assert gone.returncode == 128 + 13


def test_a_bug_of_ours_says_so(tempera: Tempera, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("pipeline.config.reading.config_schema", broken)
    result = tempera("schema")
    assert result.code == 1 and "ZeroDivisionError: ours" in result.err and "bug in Tempera" in result.err


# A finished render


def test_status(tempera: Tempera, rendered: Path) -> None:
    result = tempera("status", rendered)
    assert result.code == 0 and f"finished: {FRAMES} of {FRAMES} frames" in result.out and "resume" not in result.out
    facts = json.loads(tempera("status", rendered, "--json").out)
    assert (facts["total"]["done"], facts["total"]["left"], facts["total"]["seconds_left"]) == (FRAMES, 0, 0)
    assert [chain["id"] for chain in facts["chains"]] == ["paint-s000"]


def test_status_of_an_interrupted_render(tempera: Tempera, rendered: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(rendered, tmp_path / "with space.render")
    for index in (3, 4):
        (copy / f"frames/paint-s000/{index:08d}.png").unlink()
    result = tempera("status", copy)
    assert f"3 of {FRAMES} frames" in result.out and f"tempera resume '{copy}'" in result.out
    facts = json.loads(tempera("status", copy, "--json").out)
    assert (facts["total"]["done"], facts["total"]["left"]) == (3, 2) and facts["total"]["seconds_left"] > 0


def test_verify_finds_the_damaged_frame(tempera: Tempera, rendered: Path, tmp_path: Path) -> None:
    result = tempera("verify", rendered, "--progress", "none")
    assert (result.code, result.err) == (0, "") and f"{FRAMES} frames checked" in result.out
    copy = shutil.copytree(rendered, tmp_path / "copy.render")
    frame = copy / "frames/paint-s000/00000002.png"
    data = bytearray(frame.read_bytes())
    data[len(data) // 2] ^= 1
    frame.write_bytes(data)
    (copy / "frames/paint-s000/00000001.png").unlink()
    result = tempera("verify", copy, "--progress", "none")
    assert result.code == 5 and "error: " in result.err and "hint: " in result.err
    assert "00000001.png: missing" in result.out and "damaged: frames/paint-s000/00000002.png" in result.out
    facts = json.loads(tempera("verify", copy, "--json", "--progress", "none").out)
    assert facts["ok"] is False and {finding["index"] for finding in facts["findings"]} == {1, 2}


@pytest.mark.parametrize("name", ["my film.render", "-o.render", "it's.render", "/a b/c.render"])
def test_the_printed_command_survives_a_shell(name: str) -> None:
    words = shlex.split(resume_command(Path(name)))
    assert words[:2] == ["tempera", "resume"] and not words[2].startswith("-") and Path(words[2]) == Path(name)


def test_a_name_that_is_not_text_is_printed_as_it_is(rendered: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"bad\xff.render")
    try:
        shutil.copytree(rendered, tmp_path / name)
    except OSError:
        pytest.skip("this disk takes only names that are text")
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict", "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    export = [sys.executable, "-m", "pipeline", "export", name, "-o", os.fsdecode(b"o\xfe.png").replace(".", "%d.")]
    done = subprocess.run(export, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"o\xfe%d.png\n"), done.stderr


def test_export_writes_again_without_painting(tempera: Tempera, rendered: Path, tmp_path: Path) -> None:
    before = tree(rendered)
    result = tempera("export", rendered, "-o", "again.mkv", "--progress", "none", "--set", "output.finish.sharpen=1")
    assert (result.code, result.out) == (0, "again.mkv\n")
    assert len(video_times(tmp_path / "again.mkv")) == FRAMES
    slow = tempera("export", rendered, "-o", "slow.mp4", "--fps", "4", "--progress", "plain")
    assert slow.code == 0 and "no sound" in slow.err
    assert video_times(tmp_path / "slow.mp4") == [Fraction(index, 4) for index in range(FRAMES)]
    assert tempera("export", rendered, "-o", "p/%d.png", "--progress", "none").out == "p/%d.png\n"
    stored = Image.open(rendered / "frames/paint-s000/00000003.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "p/3.png")), np.asarray(stored))
    after = tree(rendered)
    before.pop("cache/videos.jsonl")  # which says what was written where
    after.pop("cache/videos.jsonl")
    assert after == before


def test_export_changes_only_the_output(tempera: Tempera, rendered: Path, media: Path) -> None:
    assert_refused(tempera("export", rendered, "-o", "x.mp4", "--set", "seed=3"), 3, "output")
    assert_refused(tempera("export", rendered, "-o", "x.mp4", "--set", "output.cfr=3"), 3, "output.crf")
    clip = (media / "clip.mp4").read_bytes()
    assert_refused(tempera("export", rendered, "-o", media / "clip.mp4", "--progress", "none"), 2, "input itself")
    assert (media / "clip.mp4").read_bytes() == clip


def test_export_of_what_is_painted_so_far(tempera: Tempera, rendered: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(rendered, tmp_path / "copy.render")
    for index in (2, 4):
        (copy / f"frames/paint-s000/{index:08d}.png").unlink()
    result = tempera("export", copy, "-o", "part.mp4", "--progress", "plain")
    assert result.code == 0 and f"2 of {FRAMES} frames" in result.err
    assert len(video_times(tmp_path / "part.mp4")) == 2
    shutil.rmtree(copy / "frames")
    assert_refused(tempera("export", copy, "-o", "none.mp4", "--progress", "none"), 5, "no frame")


def test_resume_of_a_finished_render_writes_the_video_again(tempera: Tempera, rendered: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(rendered, tmp_path / "inner/v.render")
    plan = json.loads((copy / "plan.json").read_text())
    assert "/" not in plan["outputs"]["paint"].replace("../", "")
    result = tempera("resume", rendered, "--progress", "none")
    assert (result.code, result.out) == (0, f"{rendered.parent / 'v.mp4'}\n")


# The other commands


def test_probe(tempera: Tempera) -> None:
    result = tempera("probe", "{media}/clip.mp4")
    assert result.code == 0
    for word in (f"video, {FRAMES} frames", "48x32 px", "10.000 fps, constant", "0.500 s", "audio     yes"):
        assert word in result.out
    assert "variable" in tempera("probe", "{media}/uneven.mp4").out
    facts = json.loads(tempera("probe", "{media}/photos", "--json", "--fps", "12").out)
    assert (facts["kind"], facts["frame_count"], facts["width_px"], facts["height_px"]) == ("photos", 3, 48, 32)
    assert Fraction(facts["frame_rate"]) == 12 and facts["duration_s"] == pytest.approx(0.25)
    assert_refused(tempera("probe", "gone.mp4"), 4, "gone.mp4")


def test_preview(tempera: Tempera, tmp_path: Path) -> None:
    common = ("preview", "{media}/clip.mp4", "-s", "{media}/paint.png", *QUICK, "--width", "48")
    assert tempera(*common, "-o", "new/sheet.png").out == "new/sheet.png\n"
    small = Image.open(tmp_path / "new/sheet.png").size
    sweep = ("--sweep", "losses.content.weight=0.5,2", "--at", "0", "--at", "4", "-s", "{media}/other.png")
    assert tempera(*common, *sweep, "-o", "sheet.png").code == 0
    large = Image.open(tmp_path / "sheet.png").size
    assert large[0] - 8 == (small[0] - 8) // 2 * 5  # the photo, and two styles with two values
    assert large[1] - 8 == (small[1] - 8) * 2
    assert everything(tmp_path) == {"new", "new/sheet.png", "sheet.png"}


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["-o", "x.jpg"], 2, ".png"),
        (["-o", "."], 2, ".png"),
        (["-o", "x.png", "--at", "99"], 2, "99"),
        (["-o", "x.png", "--sweep", "losses.content.weight"], 2, "--sweep"),
        (["-o", "x.png", "--sweep", "output.finish.preserve_color=0,1"], 2, "tempera export"),
        (["-o", "x.png", "--sweep", "seed=1,2", "--sweep", "style.scale=1,2"], 2, "--sweep is given 2 times"),
        (["-o", "x.png", "--sweep", "losses.content.wieght=1,2"], 3, "losses.content.weight"),
        (["-o", "x.png", "--frames", "9:9"], 2, ""),
        (["-o", "file/x.png"], 8, "file"),
        (["-o", "{media}/photos/shot_002.png"], 2, "input itself"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_preview_says_no(tempera: Tempera, tmp_path: Path, arguments: list[str], code: int, word: str) -> None:
    (tmp_path / "file").touch()
    result = tempera("preview", "{media}/photos", "-s", "{media}/paint.png", *QUICK, *arguments)
    assert_refused(result, code, word)


def test_styles(tempera: Tempera) -> None:
    listing = tempera("styles").out.splitlines()
    names = [line.split()[0] for line in listing]
    assert "swirl" in names and len(names) >= 6 and all(len(line.split()) > 3 for line in listing)
    assert yaml.safe_load(tempera("styles", "swirl").out)["name"] == "swirl"
    assert yaml.safe_load(tempera("styles", "template").out).keys() == {
        field.alias or name for name, field in Config.model_fields.items()
    }
    assert_refused(tempera("styles", "swril"), 3, "swirl")


def test_schema(tempera: Tempera) -> None:
    schema = json.loads(tempera("schema").out)
    assert schema["type"] == "object" and "losses" in schema["properties"]


def test_doctor(tempera: Tempera) -> None:
    result = tempera("doctor", "--json")
    facts = json.loads(result.out)
    assert {"torch", "device", "codecs", "encoder compact", "encoder vgg19", "styles"} <= facts.keys()
    assert result.code == (0 if facts["encoder compact"].startswith("works") else 6)
    text = tempera("doctor")
    assert text.code == result.code and "torch" in text.out and "Traceback" not in text.err


def test_weights(tempera: Tempera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert tempera("weights", "path", "compact").out.strip().endswith("compact.safetensors")
    assert tempera("weights", "path", "vgg19").code == 0
    assert_refused(tempera("weights", "path", "resnet"), 2, "resnet")


def test_demo(tempera: Tempera, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.workflows.demo.FRAMES", 2)
    monkeypatch.setattr("pipeline.workflows.demo.SHEET_FRAMES", (0, 1))
    (tmp_path / "flat.yaml").write_text(f"styler: palette\nstyle: {{images: [{{path: {media / 'paint.png'}}}]}}")
    result = tempera("demo", "-o", "here", "-s", "flat.yaml", "--progress", "none")
    assert (result.code, result.out) == (0, "here/sample-flat.mp4\nhere/sample-flat.png\n")
    assert len(list((tmp_path / "here/sample-flat.render/frames/flat-s000").glob("*.png"))) == 2
    assert Image.open(tmp_path / "here/sample-flat.png").size[0] > 2 * 640


OPTIONS = {
    "render": "--style --output -o --width --height --frames --fps --encoder --weights --device --seed --set "
    "--workdir --fresh --dry-run --progress",
    "resume": "",
    "status": "--json",
    "verify": "",
    "export": "--output -o --fps --set",
    "probe": "--json --frames --fps",
    "preview": "--style --sweep --at --output -o",
    "styles": "",
    "schema": "",
    "weights": "fetch verify path",
    "weights fetch": "",
    "weights verify": "",
    "weights path": "",
    "doctor": "--json",
    "demo": "--output -o",
}
"""The contract: DESIGN section 4."""


@pytest.mark.parametrize("command", OPTIONS)
def test_help_names_every_option(tempera: Tempera, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = tempera(*command.split(), "--help")
    assert result.code == 0 and result.out.startswith("Usage: tempera") and result.err == ""
    words = result.out.replace(",", " ").split()
    for option in OPTIONS[command].split():
        assert option in words, option


def test_help_lists_every_command(tempera: Tempera) -> None:
    for arguments in ([], ["--help"]):
        result = tempera(*arguments)
        assert result.code == 0
        assert {command.split()[0] for command in OPTIONS} <= set(result.out.split())
    assert tempera("--version").out.startswith("tempera ")
    assert_refused(tempera("rendr"), 2, "rendr")

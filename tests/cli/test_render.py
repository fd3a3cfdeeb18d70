"""Rendering by the command line: outputs, their names and timing, options, stylers and interruptions."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InputError
from pipeline.execute.chain_frames import ChainFrame
from pipeline.execute.prefetch import Prefetcher
from tests.support.clips import texture
from tests.support.command_line import (
    FRAMES,
    QUICK,
    Tempera,
    assert_refused,
    audio_seconds,
    everything,
    tree,
    video_times,
)


def test_video_of_a_clip_has_its_timing_and_audio(render: Tempera, media: Path, tmp_path: Path) -> None:
    result = render("{media}/clip.mp4", "--style", "{media}/waves.png", "-o", "out/film.mp4")
    assert (result.code, result.out, result.err) == (0, "out/film.mp4\n", "")
    film = tmp_path / "out" / "film.mp4"
    assert video_times(film) == [Fraction(index, 10) for index in range(FRAMES)]
    assert audio_seconds(film) == pytest.approx(0.5, abs=0.05)
    assert len(list((tmp_path / "out/film.render/frames/waves-s000").glob("*.png"))) == FRAMES
    stats = [json.loads(line) for line in (tmp_path / "out/film.render/stats.jsonl").read_text().splitlines()]
    assert [(line["frame"], line["phase"]) for line in stats] == [(0, "cold"), *((i, "warm") for i in range(1, FRAMES))]
    needed = {"chain", "evaluations", "loss", "content_loss", "style_loss", "temporal_loss", "seconds"}
    assert all(needed <= line.keys() for line in stats)


def test_uneven_timing_is_kept(render: Tempera, tmp_path: Path) -> None:
    assert render("{media}/uneven.mp4", "-s", "{media}/waves.png", "-o", "u.mp4").code == 0
    assert video_times(tmp_path / "u.mp4") == [Fraction(ms, 1000) for ms in (0, 40, 140, 200)]


def test_photos_become_a_video_named_after_folder_and_style(render: Tempera, tmp_path: Path) -> None:
    result = render("{media}/photos", "-s", "{media}/waves.png", "--fps", "5")
    assert (result.code, result.out) == (0, "photos-waves.mp4\n")
    assert video_times(tmp_path / "photos-waves.mp4") == [Fraction(index, 5) for index in range(3)]
    assert everything(tmp_path) >= {"photos-waves.mp4", "photos-waves.render", "photos-waves.render/plan.json"}


def test_repeated_command_stylizes_nothing_again(render: Tempera, tmp_path: Path) -> None:
    command = ("{media}/clip.mp4", "-s", "{media}/waves.png", "-o", "a.mp4")
    assert render(*command).code == 0
    before = tree(tmp_path / "a.render/frames"), (tmp_path / "a.render/stats.jsonl").read_bytes()
    video = (tmp_path / "a.mp4").read_bytes()
    assert render(*command).out == "a.mp4\n"
    assert (tree(tmp_path / "a.render/frames"), (tmp_path / "a.render/stats.jsonl").read_bytes()) == before
    assert (tmp_path / "a.mp4").read_bytes() == video


def test_changed_output_settings_stylize_nothing_again(render: Tempera, tmp_path: Path) -> None:
    command = ("{media}/clip.mp4", "-s", "{media}/waves.png", "-o", "a.mp4")
    render(*command)
    stats, video = (tmp_path / "a.render/stats.jsonl").read_bytes(), (tmp_path / "a.mp4").read_bytes()
    assert render(*command, "--set", "output.finish.preserve_color=1", "--set", "runtime.batch_size=3").code == 0
    assert (tmp_path / "a.render/stats.jsonl").read_bytes() == stats
    assert (tmp_path / "a.mp4").read_bytes() != video


def test_changed_setting_is_refused_with_both_values_and_both_options(render: Tempera, tmp_path: Path) -> None:
    command = ("{media}/clip.mp4", "-s", "{media}/waves.png", "-o", "a.mp4")
    render(*command)
    before = tree(tmp_path)
    changed = render(*command, "--seed", "41", "--set", "losses.content.weight=2.5", "--width", "40")
    assert_refused(changed, 5, "seed: there 0, now 41", "content.weight: there 1.0, now 2.5", "--fresh", "--workdir")
    assert "geometry.width_px: there 48, now 40" in changed.err
    assert tree(tmp_path) == before


def test_fresh_render_keeps_the_old_directory_and_video(render: Tempera, tmp_path: Path) -> None:
    command = ("{media}/clip.mp4", "-s", "{media}/waves.png", "-o", "a.mp4")
    render(*command)
    old = tree(tmp_path / "a.render/frames")
    video = (tmp_path / "a.mp4").read_bytes()
    result = render(*command, "--seed", "41", "--fresh")
    assert (result.code, result.out) == (0, "a.mp4\n")
    assert tree(tmp_path / "a.render.old-1/frames") == old
    assert (tmp_path / "a.old-1.mp4").read_bytes() == video
    assert tree(tmp_path / "a.render/frames").keys() == old.keys() and tree(tmp_path / "a.render/frames") != old


def test_several_styles_make_several_videos(render: Tempera, tmp_path: Path) -> None:
    styles = ("-s", "{media}/waves.png", "-s", "{media}/other.png")
    assert render("{media}/clip.mp4", *styles, "-o", "o.mp4").out == "o-waves.mp4\no-other.mp4\n"
    assert render("{media}/clip.mp4", *styles).out == "clip-waves.mp4\nclip-other.mp4\n"
    assert everything(tmp_path) >= {"o-waves.mp4", "o-other.mp4", "o.render", "clip-waves.mp4", "clip-other.mp4"}
    assert {path.name for path in (tmp_path / "o.render/frames").iterdir()} == {"waves-s000", "other-s000"}
    # The frames of a style do not depend on other styles.
    alone = render("{media}/clip.mp4", "-s", "{media}/other.png", "-o", "alone.mp4")
    assert alone.code == 0
    assert tree(tmp_path / "alone.render/frames/other-s000") == tree(tmp_path / "o.render/frames/other-s000")


def test_batch_size_does_not_change_the_frames(render: Tempera, tmp_path: Path) -> None:
    command = ("{media}/cut.mp4", "-s", "{media}/waves.png")
    assert render(*command, "-o", "one.mp4", "--set", "runtime.batch_size=1").code == 0
    assert render(*command, "-o", "two.mp4", "--set", "runtime.batch_size=2").code == 0
    batches = [json.loads(line)["batch"] for line in (tmp_path / "two.render/stats.jsonl").read_text().splitlines()]
    assert batches == [2] * 6
    for name in tree(tmp_path / "one.render/frames"):
        one, two = (np.asarray(Image.open(tmp_path / f"{which}.render/frames" / name)) for which in ("one", "two"))
        assert np.abs(one.astype(int) - two).max() <= 2  # float tolerance


def test_failing_chain_does_not_stop_the_others(
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
        result = render("{media}/cut.mp4", "-s", "{media}/waves.png", "-o", "a.mp4")
        assert_refused(result, 9, "1 of 2 chains", "chain waves-s000, frame 1: frame 1 is damaged", "tempera resume")
        alone = render("{media}/clip.mp4", "-s", "{media}/waves.png", "-o", "b.mp4")
        assert_refused(alone, 4, "frame 1 is damaged")  # the only chain failed
    assert not (tmp_path / "a.mp4").exists()
    assert len(tree(tmp_path / "a.render/frames/waves-s001")) == 3
    assert tempera("resume", "a.render", "--progress", "none").code == 0
    assert len(video_times(tmp_path / "a.mp4")) == 6


@pytest.mark.parametrize("function", ["pipeline.analysis.cuts.find_cuts", "pipeline.media.writer.output.write_video"])
def test_interruption_before_or_after_stylizing_leaves_no_output(
    render: Tempera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    module, _, name = function.rpartition(".")
    real = getattr(importlib.import_module(module), name)

    def interrupted(*arguments: Any, **settings: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(function, interrupted)
        result = render("{media}/clip.mp4", "-s", "{media}/waves.png", "-o", "a.mp4")
    assert (result.code, result.out) == (130, "") and result.err.startswith("interrupted")
    assert not (tmp_path / "a.mp4").exists() and not list(tmp_path.glob(".*"))
    assert render("{media}/clip.mp4", "-s", "{media}/waves.png", "-o", "a.mp4").code == 0


@pytest.mark.parametrize(
    ("output", "directory"),
    [("out/%05d.png", "out.render"), ("%d.png", "frames.render"), ("a/../b/%03d.jpg", "b.render")],
)
def test_output_pattern_writes_numbered_images(render: Tempera, tmp_path: Path, output: str, directory: str) -> None:
    (tmp_path / "a").mkdir()
    result = render("{media}/clip.mp4", "-s", "{media}/waves.png", "-o", output)
    assert (result.code, result.out) == (0, f"{output}\n")
    assert all((tmp_path / (output % index)).is_file() for index in range(FRAMES))
    assert (tmp_path / directory / "plan.json").is_file()
    assert render("{media}/clip.mp4", "-s", "{media}/waves.png", "-o", output).code == 0


def test_one_photo_becomes_one_image(render: Tempera, tmp_path: Path) -> None:
    result = render("{media}/photos/shot_001.png", "-s", "{media}/waves.png", "-o", "one.png")
    assert (result.code, result.out) == (0, "one.png\n")
    with Image.open(tmp_path / "one.png") as image:
        assert image.size == (48, 32) and image.mode == "RGB"
        stored = Image.open(tmp_path / "one.render/frames/waves-s000/00000000.png")
        assert np.array_equal(np.asarray(image), np.asarray(stored))
    assert render("{media}/photos/shot_002.png", "-s", "{media}/waves.png").out == "shot_002-waves.png\n"


@pytest.mark.parametrize("name", ["100%.mp4", "two  spaces & quote's.mp4", "冰 été #1 50%d.mp4", "-dash.mp4"])
def test_input_with_unusual_name_is_rendered(render: Tempera, media: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(media / "clip.mp4", tmp_path / name)
    given = name if not name.startswith("-") else f"./{name}"
    result = render(given, "-s", "{media}/waves.png")
    stem = name.removesuffix(".mp4")
    assert (result.code, result.out) == (0, f"{stem}-waves.mp4\n"), result.err
    assert (tmp_path / f"{stem}-waves.render/plan.json").is_file()


@pytest.mark.parametrize(("option", "size"), [(("--width", "40"), (40, 26)), (("--height", "64"), (96, 64))])
def test_width_and_height_keep_the_aspect(
    render: Tempera, tmp_path: Path, option: tuple[str, str], size: tuple[int, int]
) -> None:
    assert render("{media}/photos/shot_001.png", "-s", "{media}/waves.png", "-o", "one.png", *option).code == 0
    width, height = size
    with Image.open(tmp_path / "one.png") as image:
        assert image.size[0] == width and abs(image.size[1] - height) <= 1


def test_frames_option_renders_a_range(render: Tempera, tmp_path: Path) -> None:
    assert render("{media}/clip.mp4", "-s", "{media}/waves.png", "-o", "p.mp4", "--frames", "1:3").code == 0
    assert len(video_times(tmp_path / "p.mp4")) == 2


def test_narrow_content_and_narrow_style_image_are_rendered(render: Tempera, tmp_path: Path) -> None:
    # The small scales of a strip, and a long style image beside a small frame, have too few rows for the encoder.
    Image.fromarray(texture((300, 20), 1)).save(tmp_path / "strip.png")
    assert render("strip.png", "-s", "strip.png", "-o", "s.png").code == 0
    assert render("{media}/photos/shot_001.png", "-s", "strip.png", "-o", "t.png").code == 0


@pytest.mark.parametrize("styler", ["palette", "superpixel"])
def test_stylers_without_a_network_render_every_frame(render: Tempera, tmp_path: Path, styler: str) -> None:
    result = render("{media}/clip.mp4", "-s", "{media}/waves.png", "-o", "p.mp4", f"--set=styler={styler}")
    assert (result.code, result.out) == (0, "p.mp4\n")
    assert len(video_times(tmp_path / "p.mp4")) == FRAMES


def test_moved_render_finds_its_shipped_style(render: Tempera, tempera: Tempera, media: Path, tmp_path: Path) -> None:
    """The plan names its image relative to the render directory, which is moved two folders down."""
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
    assert f"tempera resume {away / 'v.render'} --input" in result.err


@pytest.mark.parametrize("name", ["template", "swirl"])
def test_printed_config_renders_unchanged(render: Tempera, tempera: Tempera, tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.yaml").write_text(tempera("styles", name).out)
    assert render("{media}/photos/shot_001.png", "-s", "mine.yaml", "-o", "p.png", "--set=styler=palette").code == 0


def test_frame_rate_above_the_inputs_is_reported(tempera: Tempera) -> None:
    quick = [word for word in QUICK if word not in ("--progress", "none")]
    words = ("render", "{media}/clip.mp4", "-s", "{media}/waves.png", "-o", "f.mp4", "--dry-run", *quick)
    assert "shown twice" in tempera(*words, "--fps", "60", "--progress", "plain").err
    assert "shown twice" not in tempera(*words, "--fps", "10", "--progress", "plain").err


def test_dry_run_writes_nothing(render: Tempera, tmp_path: Path) -> None:
    result = render("{media}/clip.mp4", "-s", "{media}/waves.png", "-o", "new/out.mp4", "--dry-run")
    assert result.code == 0 and everything(tmp_path) == set()
    for word in (f"{FRAMES} frames", "48x32", "new/out.mp4", "new/out.render"):
        assert word in result.out


def test_json_progress_has_a_line_for_every_frame(tempera: Tempera) -> None:
    quick = [word for word in QUICK if word not in ("--progress", "none")]
    result = tempera(
        "render", "{media}/clip.mp4", "-s", "{media}/waves.png", "-o", "j.mp4", *quick, "--progress", "json"
    )
    assert result.out == "j.mp4\n"
    events = [json.loads(line) for line in result.err.splitlines()]
    assert [event["frame"] for event in events if event["event"] == "frame"] == list(range(FRAMES))

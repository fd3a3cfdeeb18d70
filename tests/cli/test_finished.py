"""Commands on a render: status, verify, export and resume."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipeline import cli
from pipeline.store.directory import resume_command
from tests.support.command_line import (
    FRAMES,
    Tempera,
    assert_refused,
    tree,
    video_times,
)


def test_status_of_a_finished_render(tempera: Tempera, rendered: Path) -> None:
    result = tempera("status", rendered)
    assert result.code == 0 and f"finished: {FRAMES} of {FRAMES} frames" in result.out and "resume" not in result.out
    facts = json.loads(tempera("status", rendered, "--json").out)
    assert (facts["total"]["done"], facts["total"]["left"], facts["total"]["seconds_left"]) == (FRAMES, 0, 0)
    assert [chain["id"] for chain in facts["chains"]] == ["waves-s000"]


def test_status_of_an_interrupted_render(tempera: Tempera, rendered: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(rendered, tmp_path / "with space.render")
    for index in (3, 4):
        (copy / f"frames/waves-s000/{index:08d}.png").unlink()
    result = tempera("status", copy)
    assert f"3 of {FRAMES} frames" in result.out and f"tempera resume '{copy}'" in result.out
    facts = json.loads(tempera("status", copy, "--json").out)
    assert (facts["total"]["done"], facts["total"]["left"]) == (3, 2) and facts["total"]["seconds_left"] > 0


def test_verify_names_damaged_and_missing_frames(tempera: Tempera, rendered: Path, tmp_path: Path) -> None:
    result = tempera("verify", rendered, "--progress", "none")
    assert (result.code, result.err) == (0, "") and f"{FRAMES} frames checked" in result.out
    copy = shutil.copytree(rendered, tmp_path / "copy.render")
    frame = copy / "frames/waves-s000/00000002.png"
    data = bytearray(frame.read_bytes())
    data[len(data) // 2] ^= 1
    frame.write_bytes(data)
    (copy / "frames/waves-s000/00000001.png").unlink()
    result = tempera("verify", copy, "--progress", "none")
    assert result.code == 5 and "error: " in result.err and "hint: " in result.err
    assert "00000001.png: missing" in result.out and "damaged: frames/waves-s000/00000002.png" in result.out
    facts = json.loads(tempera("verify", copy, "--json", "--progress", "none").out)
    assert facts["ok"] is False and {finding["index"] for finding in facts["findings"]} == {1, 2}


def test_export_names_a_damaged_frame_and_writes_no_video(tempera: Tempera, rendered: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(rendered, tmp_path / "copy.render")
    frame = copy / "frames/waves-s000/00000002.png"
    data = bytearray(frame.read_bytes())
    data[len(data) // 2] ^= 1
    frame.write_bytes(data)
    result = tempera("export", copy, "-o", tmp_path / "new.mp4", "--progress", "none")
    assert result.code == 5 and "00000002.png: " in result.err and "tempera resume" in result.err
    assert not (tmp_path / "new.mp4").exists()


@pytest.mark.parametrize("name", ["my film.render", "-o.render", "it's.render", "/a b/c.render"])
def test_printed_resume_command_is_quoted_for_the_shell(name: str) -> None:
    words = shlex.split(resume_command(Path(name)))
    assert words[:2] == ["tempera", "resume"] and not words[2].startswith("-") and Path(words[2]) == Path(name)


def test_hint_names_the_render_as_a_shell_takes_it(tempera: Tempera, copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(copy / "frames")
    copy.rename(tmp_path / "my film.render")
    result = tempera("export", "my film.render", "-o", "a.mp4")
    assert result.code == 5 and "tempera resume 'my film.render'" in result.err


def test_file_name_that_is_not_unicode_is_printed_unchanged(rendered: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"bad\xff.render")
    try:
        shutil.copytree(rendered, tmp_path / name)
    except OSError:
        pytest.skip("this disk takes only names that are text")
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict", "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    export = [sys.executable, "-m", "pipeline", "export", name, "-o", os.fsdecode(b"o\xfe.png").replace(".", "%d.")]
    done = subprocess.run(export, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"o\xfe%d.png\n"), done.stderr


def test_export_writes_a_video_without_stylizing(tempera: Tempera, rendered: Path, tmp_path: Path) -> None:
    before = tree(rendered)
    result = tempera("export", rendered, "-o", "again.mkv", "--progress", "none", "--set", "output.finish.sharpen=1")
    assert (result.code, result.out) == (0, "again.mkv\n")
    assert len(video_times(tmp_path / "again.mkv")) == FRAMES
    slow = tempera("export", rendered, "-o", "slow.mp4", "--fps", "4", "--progress", "plain")
    assert slow.code == 0 and "no audio" in slow.err
    assert video_times(tmp_path / "slow.mp4") == [Fraction(index, 4) for index in range(FRAMES)]
    assert tempera("export", rendered, "-o", "p/%d.png", "--progress", "none").out == "p/%d.png\n"
    stored = Image.open(rendered / "frames/waves-s000/00000003.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "p/3.png")), np.asarray(stored))
    after = tree(rendered)
    before.pop("cache/videos.jsonl")  # lists the written videos
    after.pop("cache/videos.jsonl")
    assert after == before


def test_export_for_editing_has_the_fractions_of_the_finish(tempera: Tempera, rendered: Path, tmp_path: Path) -> None:
    """ProRes of the profile, and in 16 bits each value of a contrast of 1.1, not that of 8 bits."""
    master = ("--set", "output.profile=master", "--progress", "none", "--set", "output.finish.follow_level=0")
    assert tempera("export", rendered, "-o", "clip.mov", *master).code == 0
    with av.open(str(tmp_path / "clip.mov")) as video:
        assert video.streams.video[0].codec_context.name == "prores"
    contrast = ("--set", "output.finish.grade.contrast=1.1")
    assert tempera("export", rendered, "-o", "clip.mkv", *master, *contrast).code == 0
    with av.open(str(tmp_path / "clip.mkv")) as video:
        frame = next(video.decode(video=0))
        assert frame.format.name == "gbrp16le"
        green = np.frombuffer(memoryview(frame.planes[0]), np.uint16)
    assert (green % 257 != 0).mean() > 0.5
    assert_refused(tempera("export", rendered, "-o", "clip.webm", *master), 3, ".mov")
    noted = tempera("export", rendered, "-o", "clip.mov", *master[:2], "--set", "output.crf=9", "--progress", "plain")
    assert noted.err.count("clip.mov (prores in .mov): output.crf does nothing") == 1


def test_export_refuses_settings_of_the_render_and_keeps_the_input(
    tempera: Tempera, rendered: Path, media: Path
) -> None:
    assert_refused(tempera("export", rendered, "-o", "x.mp4", "--set", "seed=3"), 3, "output")
    assert_refused(tempera("export", rendered, "-o", "x.mp4", "--set", "output.cfr=3"), 3, "output.crf")
    clip = (media / "clip.mp4").read_bytes()
    assert_refused(tempera("export", rendered, "-o", media / "clip.mp4", "--progress", "none"), 2, "input itself")
    assert (media / "clip.mp4").read_bytes() == clip


def test_export_of_an_unfinished_render_has_its_stored_frames(tempera: Tempera, rendered: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(rendered, tmp_path / "copy.render")
    for index in (2, 4):
        (copy / f"frames/waves-s000/{index:08d}.png").unlink()
    result = tempera("export", copy, "-o", "part.mp4", "--progress", "plain")
    assert result.code == 0 and f"2 of {FRAMES} frames" in result.err
    assert len(video_times(tmp_path / "part.mp4")) == 2
    shutil.rmtree(copy / "frames")
    assert_refused(tempera("export", copy, "-o", "none.mp4", "--progress", "none"), 5, "no frame")


def test_resumed_finished_render_writes_its_video_again(tempera: Tempera, rendered: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(rendered, tmp_path / "inner/v.render")
    plan = json.loads((copy / "plan.json").read_text())
    assert "/" not in plan["outputs"]["waves"].replace("../", "")
    result = tempera("resume", rendered, "--progress", "none")
    assert (result.code, result.out) == (0, f"{rendered.parent / 'v.mp4'}\n")

"""Disk space is estimated before the work, and when it runs out every stored frame is kept."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from pipeline import cli
from pipeline.errors import WriteError
from pipeline.media.image.png import encode_png
from pipeline.workflows.forecast.disk import Need, check_space, in_words
from tests.support.command_line import clip_and_style, render_of

FRAMES = 6
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return clip_and_style(tmp_path)


def free_bytes(monkeypatch: pytest.MonkeyPatch, free: int, total: int = 10**12) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(total, total - free, free))


def test_render_that_cannot_fit_is_refused_before_anything_is_written(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(home.iterdir())
    free_bytes(monkeypatch, 10_000)
    assert cli.run(render_of(home)) == 8
    message = capsys.readouterr().err
    assert "10.0 kB are free" in message and "--workdir" in message and "Traceback" not in message
    assert sorted(home.iterdir()) == before


def test_render_that_barely_fits_is_reported(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    free_bytes(monkeypatch, 1_000_000)
    assert cli.run(render_of(home)) == 0
    assert "space is tight" in capsys.readouterr().err
    free_bytes(monkeypatch, 10**11)
    assert cli.run(render_of(home)) == 0
    assert "space" not in capsys.readouterr().err


def test_stored_frames_need_no_more_space(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(render_of(home)) == 0
    free_bytes(monkeypatch, 10_000)
    assert cli.run(render_of(home)) == 0  # only the video again
    assert cli.run(["resume", f"{home}/v.render"]) == 0
    for path in sorted((home / "v.render/frames/one-s000").iterdir())[2:]:
        path.unlink()
    capsys.readouterr()
    assert cli.run(["resume", f"{home}/v.render"]) == 8
    assert cli.run(render_of(home, "--fresh")) == 8
    assert (home / "v.render/plan.json").exists() and not (home / "v.render.old-1").exists()


@pytest.mark.parametrize("silent", [Usage(0, 0, 0), OSError(38, "Function not implemented")])
def test_disk_of_unknown_free_space_is_not_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, silent: Usage | OSError
) -> None:
    def usage(path: Path) -> Usage:
        if isinstance(silent, OSError):
            raise silent
        return silent

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert cli.run(render_of(home)) == 0


def test_sizes_in_words_and_the_limit_of_space() -> None:
    assert [in_words(size) for size in (0, 999, 1000, 12_345_678, 2.5e9, 3e12)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "12.3 MB",
        "2.5 GB",
        "3.0 TB",
    ]
    assert check_space([Need(Path("a"), 100, 90, 10**9)]) == []
    with pytest.raises(WriteError, match="at least 90 bytes"):
        check_space([Need(Path("a"), 100, 90, 89)])


def test_estimated_bytes_per_pixel_of_a_frame() -> None:
    """Noise is the worst case; a stylized frame takes less, and the estimate lies below that."""
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert 2.2 < len(encode_png(noise)) / 128**2 < 3.2


# In a mount namespace of its own: a disk of a few pages, which fills up before the last frame and is then enlarged.
SMALL_DISK = """
import os, subprocess, sys
from pipeline import cli
disk, command = sys.argv[1], sys.argv[2:]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=44k", "tmpfs", disk], check=True)
codes = [cli.run([*command, "--workdir", disk + "/r"])]
print("stored", len(os.listdir(disk + "/r/frames/one-s000")))
codes.append(cli.run([*command, "--workdir", disk + "/r"]))
print("stored", len(os.listdir(disk + "/r/frames/one-s000")))
codes.append(cli.run(["verify", disk + "/r", "--progress", "none"]))
subprocess.run(["mount", "-o", "remount,size=2m", disk], check=True)
codes.append(cli.run([*command, "--workdir", disk + "/r"]))
codes.append(cli.run(["verify", disk + "/r", "--progress", "none"]))
print("codes", *codes)
subprocess.run(["cp", "-r", disk + "/r/frames", disk + "/../kept"], check=True)
"""


def no_namespaces() -> bool:
    if shutil.which("unshare") is None:
        return True
    probe = ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode != 0


@pytest.mark.skipif(no_namespaces(), reason="needs user namespaces to mount a small disk")
def test_render_stopped_by_a_full_disk_continues_after_space_is_freed(home: Path) -> None:
    (home / "disk").mkdir()
    words = [sys.executable, "-c", SMALL_DISK, str(home / "disk"), *render_of(home)]
    done = subprocess.run(
        ["unshare", "-Urm", *words], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "codes 8 8 0 0 0", done.stderr
    stored = [int(line.split()[1]) for line in lines if line.startswith("stored")]
    assert 0 < stored[0] < FRAMES and stored[1] == stored[0]
    assert "Traceback" not in done.stderr and "Logging error" not in done.stderr
    assert "free some space" in done.stderr
    assert cli.run(render_of(home, "-o", f"{home}/whole.mp4")) == 0
    frames = {path.name: path.read_bytes() for path in (home / "whole.render/frames/one-s000").iterdir()}
    assert {path.name: path.read_bytes() for path in (home / "kept/one-s000").iterdir()} == frames


def test_dry_run_prints_the_needed_space(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(render_of(home, "--dry-run")) == 0
    assert "disk       about 2" in capsys.readouterr().out
    assert not (home / "v.render").exists()

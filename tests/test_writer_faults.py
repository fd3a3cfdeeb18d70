"""Writing that fails leaves no incomplete file and keeps the old one; impossible outputs are refused beforehand."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from pipeline.config.settings import OutputSettings
from pipeline.errors import ConfigError, TemperaError, UsageError, WriteError
from pipeline.media.writer.output import write_video
from pipeline.media.writer.target import check_output, describe_codecs
from tests.support.full_disk import largest_file
from tests.support.written import FAST, RGB, leftovers, ramps, source_of

if TYPE_CHECKING:
    from collections.abc import Iterator


# Faults


RESULTS = ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.gif", "a.webp", "a.apng", "a.avif", "a/%05d.png", "a/%05d.exr"]


class Boom(BaseException):
    """An exception that is neither an error of the package nor an `Exception`."""


@pytest.mark.parametrize("error", [ValueError("wrong"), OSError("disk"), KeyboardInterrupt(), GeneratorExit(), Boom()])
@pytest.mark.parametrize("name", RESULTS)
def test_error_of_the_frames_is_raised_and_keeps_the_old_file(tmp_path: Path, name: str, error: BaseException) -> None:
    path = tmp_path / name
    settings = OutputSettings(preset="ultrafast")
    write_video(path, ramps(6), source=source_of(), settings=settings)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

    def failing() -> Iterator[RGB]:
        yield from [255 - frame for frame in ramps(4)]
        raise error

    with pytest.raises(type(error)) as caught:
        write_video(path, failing(), source=source_of(), settings=settings)
    assert caught.value is error
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("count", [0, 4, 9])
def test_wrong_number_of_frames_is_refused(tmp_path: Path, name: str, count: int) -> None:
    if count > 6 and name.endswith((".webp", ".avif")):
        pytest.skip("an animation stops reading at the last frame that it needs")
    with pytest.raises(WriteError, match=f"expected 6 frames, found {count}") as caught:
        write_video(tmp_path / name, ramps(count), source=source_of(), settings=FAST)
    assert "resume" in caught.value.hint
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_full_disk_keeps_the_old_file(tmp_path: Path, name: str, fraction: float) -> None:
    """The disk is full at once, in the middle, or one byte before the end, where a missing check would show."""
    path = tmp_path / name
    noise = [np.random.default_rng(i).integers(0, 256, (64, 96, 3), dtype=np.uint8) for i in range(6)]
    write_video(path, noise, source=source_of(), settings=FAST)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    largest = max(len(data) for data in before.values())
    with largest_file(max(int(largest * fraction) - 1, 0)), pytest.raises(WriteError, match="File too large") as caught:
        write_video(path, noise, source=source_of(), settings=FAST)
    assert "disk" in caught.value.hint
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a/%05d.png"])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failing_flush_or_rename_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync" if call == "fsync" else "pathlib.Path.replace", full)
    with pytest.raises(WriteError, match="No space left") as caught:
        write_video(tmp_path / name, ramps(6), source=source_of(), settings=FAST)
    assert "free some space" in caught.value.hint
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not leftovers(tmp_path)


def test_video_is_on_the_disk_before_it_replaces_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    from pathlib import Path as RealPath

    real_sync, real_replace = os.fsync, RealPath.replace

    def fsync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real_sync(descriptor)

    def replace(self: RealPath, target: RealPath) -> RealPath:
        steps.append("replace")
        return real_replace(self, target)

    monkeypatch.setattr("os.fsync", fsync)
    monkeypatch.setattr("pathlib.Path.replace", replace)
    write_video(tmp_path / "a.mp4", ramps(6), source=source_of(), settings=FAST)
    assert steps == ["file", "replace", "folder"]


def test_file_system_that_cannot_flush_folders_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_sync = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real_sync(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    assert write_video(tmp_path / "a.mp4", ramps(6), source=source_of(), settings=FAST).exists()


def test_file_that_cannot_be_read_back_does_not_replace_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[int] = []
    real = av.container.OutputContainer.mux

    class Losing:
        """A container that silently loses a packet."""

        def __init__(self, container: Any) -> None:
            self.container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self.container, name)

        def mux(self, packet: Any) -> None:
            dropped.append(1)
            if len(dropped) != 3:
                real(self.container, packet)

    opened = av.open

    def losing(file: str, mode: str = "r", **options: Any) -> Any:
        container = opened(file, mode, **options)  # type: ignore[call-overload]
        return Losing(container) if mode == "w" else container

    monkeypatch.setattr("av.open", losing)
    with pytest.raises(WriteError, match="6 frames were written, 5 can be read back"):
        write_video(tmp_path / "a.mp4", ramps(6), source=source_of(), settings=FAST)
    assert not list(tmp_path.iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.media.writer.partial import filling, replacing
with (filling if "%" in sys.argv[1] else replacing)(Path(sys.argv[1])) as partial:
    print(partial, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["a.mp4", "out/%05d.png"])
def test_partial_file_of_a_killed_process_does_not_disturb_the_next(tmp_path: Path, name: str) -> None:
    """A partial file of a living process is kept; both outputs are complete, and the later one replaces the other."""
    path = tmp_path / name
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as other:
        assert other.stdout is not None
        partial = Path(other.stdout.readline().strip())
        assert partial.exists()
        write_video(path, ramps(6), source=source_of(), settings=FAST)
        assert partial.exists()
        other.kill()
        other.wait()
    assert partial.exists()
    write_video(path, ramps(6), source=source_of(), settings=FAST)
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("name", ["a file/a.mp4", "a file/a.gif", "a file/%d.png"])
def test_file_instead_of_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").write_text("")
    with pytest.raises(WriteError) as caught:
        write_video(tmp_path / name, ramps(6), source=source_of(), settings=FAST)
    assert "-o" in caught.value.hint
    with pytest.raises(WriteError):
        check_output(tmp_path / name, FAST, frame_count=6)


def test_output_with_a_difficult_name_is_written(tmp_path: Path) -> None:
    for name in ("c:d.mp4", "-o.mp4", "50% größer.mp4", "a 'b'  c.mkv", "#1.gif"):
        path = write_video(tmp_path / name, ramps(2), source=source_of((0, 1)), settings=FAST)
        assert path.stat().st_size > 0
    assert len(list(tmp_path.iterdir())) == 5


# Checks before the work


@pytest.mark.parametrize(
    ("name", "options", "kind", "hint"),
    [
        ("a.avi", {}, UsageError, ".mp4"),
        ("a", {}, UsageError, ".mp4"),
        ("%d-%d.png", {}, UsageError, "%05d"),
        ("a.png", {}, UsageError, "%05d.png"),
        ("a.mp4", {"codec": "ffv1"}, ConfigError, ".mkv"),
        ("a.webm", {"codec": "h264"}, ConfigError, "vp9"),
        ("a.mov", {"codec": "av1"}, ConfigError, "prores"),
        ("a.mp4", {"crf": 60}, ConfigError, "51"),
        ("a.mp4", {"preset": "quick"}, ConfigError, "veryfast"),
        ("a.webm", {"preset": "quick"}, ConfigError, "veryfast"),
    ],
)
def test_impossible_output_is_refused_before_the_work(
    tmp_path: Path, name: str, options: dict[str, Any], kind: type[TemperaError], hint: str
) -> None:
    settings = OutputSettings(**options)
    for call in (
        lambda: check_output(tmp_path / name, settings, frame_count=6),
        lambda: write_video(tmp_path / name, iter([]), source=source_of(), settings=settings),
    ):
        with pytest.raises(kind) as caught:
            call()
        assert hint in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_missing_codec_is_refused_with_an_alternative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("av.codecs_available", {"libx264"})
    with pytest.raises(ConfigError, match="libx265") as caught:
        check_output(tmp_path / "a.mp4", OutputSettings(codec="hevc"), frame_count=6)
    assert "h264" in caught.value.hint
    assert describe_codecs()["codecs"]["hevc"]["encoder"] is None


def test_possible_output_is_described_and_no_file_is_left(tmp_path: Path) -> None:
    descriptions = [
        check_output(tmp_path / "new" / "deep" / name, OutputSettings(), frame_count=6, width_px=641, height_px=359)
        for name in ("a.mp4", "a.webm", "a.gif", "%05d.png")
    ]
    assert descriptions == ["h264 in .mp4", "vp9 in .webm", "animated .gif", "numbered .png images"]
    assert not list(tmp_path.iterdir())


def test_size_beyond_the_format_is_refused(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.webp"):
        with pytest.raises(WriteError) as caught:
            check_output(tmp_path / name, OutputSettings(), frame_count=6, width_px=20_000, height_px=20_000)
        assert "--width" in caught.value.hint


def test_folder_without_write_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is simulated, because the tests may run as root, which may write anywhere."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(WriteError, match="Permission denied") as caught:
        check_output(tmp_path / "a.mp4", OutputSettings(), frame_count=6)
    assert "folder" in caught.value.hint


def test_folder_with_the_name_of_the_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(WriteError, match="is a folder"):
        check_output(tmp_path / "a.mp4", OutputSettings(), frame_count=6)
    with pytest.raises(WriteError):
        write_video(tmp_path / "a.mp4", ramps(6), source=source_of(), settings=FAST)
    assert not leftovers(tmp_path)


def test_codecs_are_described_with_their_containers() -> None:
    found = describe_codecs()
    h264 = found["codecs"]["h264"]
    assert (h264["encoder"], h264["containers"]) == ("libx264", [".mp4", ".mov", ".mkv"])
    assert h264["pixels"] == {"8 bits": ["4:2:0", "4:2:2", "4:4:4"], "10 bits": ["4:2:0", "4:2:2", "4:4:4"]}
    assert found["codecs"]["dnxhr"]["variants"] == ["hq", "sq", "lb", "hqx", "444"]
    assert found["containers"][".webm"] == ["vp9", "av1"]
    assert "aac" in found["audio"]

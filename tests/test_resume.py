"""A render that is interrupted at any moment and continued stores the bytes of an uninterrupted one."""

from __future__ import annotations

import errno
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import cli
from pipeline.media.image.png import decode_png, encode_png
from pipeline.runtime import atomic
from pipeline.store import frames
from pipeline.store.directory import RenderDirectory
from pipeline.store.where import WHERE_NAME
from tests.support.clips import moving_square, texture, write_video
from tests.support.command_line import pictures
from tests.support.interruptions import PauseAtFrame, SignalAtFrame
from tests.support.torture import children

FRAMES, CUT = 8, 5
CHAINS = [f"waves-s000/{index:08d}.png" for index in range(CUT)]
CHAINS += [f"waves-s001/{index:08d}.png" for index in range(CUT, FRAMES)]
SETTINGS = ["encoder=tiny", "optimize.cold.evaluations=2", "optimize.warm.evaluations=2", "runtime.threads=1"]
SETTINGS += [
    "optimize.cold.min_scale_px=32",
    "output.preset=ultrafast",
    "losses.style.layers={relu1_1: 64, relu2_1: 16}",
]

ROOT = Path(__file__).parents[1]


def command(folder: Path) -> list[str]:
    settings = [f"--set={setting}" for setting in SETTINGS]
    inputs = ["render", str(folder / "in/clip.mp4"), "-s", str(folder / "in/waves.png")]
    return [*inputs, "-o", str(folder / "my film.mp4"), "--progress", "none", *settings]


def frames_of(folder: Path) -> dict[str, bytes]:
    root = folder / "my film.render/frames"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.glob("*/*")}


@pytest.fixture(autouse=True, scope="module")
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the input and an uninterrupted render of it."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "in").mkdir()
    write_video(folder / "in/clip.mp4", moving_square(FRAMES, cut_at=CUT), rate=10, tone_s=0.5)
    Image.fromarray(texture((64, 48), 50)).save(folder / "in/waves.png")
    assert cli.run(command(folder)) == 0
    assert sorted(frames_of(folder)) == CHAINS  # the cut was found: two chains
    return folder


@pytest.fixture
def begun(whole: Path, tmp_path: Path) -> Path:
    """A folder with the same input and nothing rendered yet."""
    shutil.copytree(whole / "in", tmp_path / "in")
    return tmp_path


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    """A copy of the whole render, without its video."""
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    (folder / "my film.mp4").unlink()
    return folder


@dataclass(frozen=True)
class Finished:
    """Exit code and output of a render in a process of its own."""

    returncode: int | None
    stdout: str
    stderr: str


def interrupted_render(folder: Path, moment: str, name: str, number: int, times: int = 1) -> Finished:
    out, err = folder / "out.txt", folder / "err.txt"
    process = children.start(command(folder), hook=SignalAtFrame(moment, name, int(number), times), out=out, err=err)
    process.join(60)
    return Finished(process.exitcode, out.read_text(), err.read_text())


def assert_whole(folder: Path, whole: Path) -> None:
    assert frames_of(folder) == frames_of(whole)
    found, wanted = pictures(folder / "my film.mp4"), pictures(whole / "my film.mp4")
    assert len(found) == FRAMES
    assert all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_finishes_the_frame_and_prints_the_resume_command(
    begun: Path, whole: Path, number: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    done = interrupted_render(begun, "before", CHAINS[2], number)
    assert done.returncode == code, done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr
    assert done.stderr.startswith("interrupted: ")
    stored = frames_of(begun)
    assert sorted(stored) == CHAINS[:3]  # the frame in flight was finished, and no other begun
    assert all(decode_png(data).shape == (32, 48, 3) for data in stored.values())
    assert not (begun / "my film.mp4").exists()
    words = shlex.split(done.stderr.partition("go on with: ")[2])
    assert words[:2] == ["tempera", "resume"]
    capsys.readouterr()
    assert cli.run([*words[1:], "--progress", "none"]) == 0
    assert capsys.readouterr().out == f"{begun / 'my film.mp4'}\n"
    assert_whole(begun, whole)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_second_signal_stops_at_once(begun: Path, whole: Path, number: int, code: int) -> None:
    done = interrupted_render(begun, "stylizing", CHAINS[2], number, times=2)
    assert done.returncode == code and done.stdout == ""
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == ["interrupted", "hint"]
    assert sorted(frames_of(begun)) == CHAINS[:2]
    assert cli.run(command(begun)) == 0
    assert_whole(begun, whole)


@contextmanager
def waiting(folder: Path, name: str, *arguments: str, **options: Any) -> Iterator[tuple[ForkServerProcess, Path]]:
    """A render that waits before it stores a frame, until the flag is removed; its stderr is `err.txt`."""
    flag, err = folder / "flag", folder / "err.txt"
    process = children.start([*command(folder), *arguments], hook=PauseAtFrame(name, flag, **options), err=err)
    try:
        end = time.monotonic() + 60
        while not flag.exists():
            assert process.is_alive() and time.monotonic() < end, err.read_text()
            time.sleep(0.01)
        yield process, flag
    finally:
        process.kill()


def code_of(process: ForkServerProcess) -> int | None:
    process.join(60)
    return process.exitcode


def closed_terminal(folder: Path, name: str, *, ignoring: int = 0) -> int | None:
    """Exit code of a render whose terminal is closed while a frame is being stylized."""
    master, slave = pty.openpty()
    options = {"terminal": os.ttyname(slave), "ignoring": int(ignoring)}
    with waiting(folder, name, "--progress", "json", **options) as (process, flag):
        os.close(slave)
        os.close(master)
        flag.unlink()
        return code_of(process)


def test_closed_terminal_stops_after_the_frame(begun: Path, whole: Path) -> None:
    """Writing progress to the closed terminal is no error."""
    assert closed_terminal(begun, CHAINS[2]) == 128 + signal.SIGHUP
    assert sorted(frames_of(begun)) == CHAINS[:3]
    assert cli.run(command(begun)) == 0
    assert_whole(begun, whole)


def test_render_that_ignores_hangups_finishes_after_its_terminal_closes(begun: Path, whole: Path) -> None:
    """As under `nohup`, but without its file: every line of progress goes to the closed terminal."""
    assert closed_terminal(begun, CHAINS[2], ignoring=signal.SIGHUP) == 0
    assert_whole(begun, whole)


def test_hangup_never_counts_as_the_second_signal(begun: Path, whole: Path) -> None:
    """A closed terminal sends two: one comes from the kernel, one from the shell."""
    for first, second, last, stored in (
        (signal.SIGHUP, signal.SIGHUP, signal.SIGHUP, 3),  # counts as one request, however often it is sent
        (signal.SIGHUP, signal.SIGTERM, signal.SIGTERM, 4),  # a second request: the stylized frame is still stored
    ):
        with waiting(begun, CHAINS[stored - 1], "--progress", "none") as (process, flag):
            assert process.pid is not None
            for number in (first, second):
                os.kill(process.pid, number)
                time.sleep(0.05)  # two that arrive at once may come in any order
            flag.unlink(missing_ok=True)
            assert code_of(process) == 128 + last
        message = (begun / "err.txt").read_text()
        assert ("stopped at once" in message) == (first != second)
        assert sorted(frames_of(begun)) == CHAINS[:stored]
    assert cli.run(command(begun)) == 0
    assert_whole(begun, whole)


def test_closed_stderr_pipe_does_not_stop_a_render(begun: Path, whole: Path) -> None:
    os.mkfifo(begun / "err.txt")
    reader = os.open(begun / "err.txt", os.O_RDONLY | os.O_NONBLOCK)
    with waiting(begun, CHAINS[2], "--progress", "json") as (process, flag):
        os.close(reader)
        flag.unlink()
        assert code_of(process) == 0
    assert_whole(begun, whole)


def test_render_without_standard_streams_finishes(begun: Path, whole: Path) -> None:
    words = [sys.executable, "-m", "pipeline", *command(begun), "--progress", "json"]
    closed = ["sh", "-c", 'exec "$@" 2>&- 1>&- 0<&-', "sh", *words]
    assert subprocess.run(closed, cwd=ROOT, check=False).returncode == 0
    assert_whole(begun, whole)


def test_export_does_not_disturb_a_running_render(begun: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Export uses the stored frames; the render is not disturbed, even where both write the same file."""
    with waiting(begun, CHAINS[3]) as (process, flag):
        directory = str(begun / "my film.render")
        for output in (["-o", str(begun / "so far.mp4")], []):
            capsys.readouterr()
            assert cli.run(["export", directory, *output, "--progress", "plain"]) == 0
            assert f"3 of {FRAMES} frames are stored" in capsys.readouterr().err
        assert cli.run(["resume", directory]) == 5
        assert f"process {process.pid}" in capsys.readouterr().err
        flag.unlink()
        assert code_of(process) == 0
    assert len(pictures(begun / "so far.mp4")) == 3
    assert_whole(begun, whole)


@pytest.mark.parametrize(
    ("moment", "name", "stored"),
    [("before", CHAINS[0], 0), ("during", CHAINS[3], 3), ("after", CHAINS[4], 5), ("after", CHAINS[6], 7)],
    ids=["before the first", "in mid-write", "at the cut", "in the second chain"],
)
def test_killed_render_continues_to_the_same_bytes(
    begun: Path, whole: Path, moment: str, name: str, stored: int
) -> None:
    done = interrupted_render(begun, moment, name, signal.SIGKILL)
    assert done.returncode == -signal.SIGKILL
    whole_frames = {key: data for key, data in frames_of(begun).items() if key in CHAINS}
    assert sorted(whole_frames) == CHAINS[:stored]
    assert all(frames_of(whole)[key] == data for key, data in whole_frames.items())
    assert cli.run(command(begun)) == 0
    assert_whole(begun, whole)


def test_moved_render_is_resumed(copied: Path, whole: Path, tmp_path: Path) -> None:
    for name in (*CHAINS[3:5], *CHAINS[6:]):
        (copied / "my film.render/frames" / name).unlink()
    moved = tmp_path / "another folder" / "deeper"
    moved.parent.mkdir()
    copied.rename(moved)
    assert cli.run(["resume", str(moved / "my film.render"), "--progress", "none"]) == 0
    assert_whole(moved, whole)
    assert not copied.exists()


def flip(data: bytes) -> bytes:
    return data[:-30] + bytes([data[-30] ^ 1]) + data[-29:]


@pytest.mark.parametrize("damage", [flip, lambda data: data[:100], lambda data: b""], ids=["flipped", "cut", "empty"])
def test_damaged_last_frame_is_stylized_again(copied: Path, whole: Path, damage: Callable[[bytes], bytes]) -> None:
    for name in CHAINS[CUT - 1 :]:
        (copied / "my film.render/frames" / name).unlink()
    last = copied / "my film.render/frames" / CHAINS[CUT - 2]
    last.write_bytes(damage(last.read_bytes()))
    assert cli.run(command(copied)) == 0
    assert_whole(copied, whole)


def test_frames_after_a_gap_are_stylized_again(copied: Path, whole: Path) -> None:
    frames = copied / "my film.render/frames"
    (frames / CHAINS[1]).unlink()
    # Frames after a gap are not used, whatever they contain.
    shutil.copy(frames / CHAINS[0], frames / CHAINS[2])
    assert cli.run(command(copied)) == 0
    assert_whole(copied, whole)


def test_damaged_frame_inside_a_chain_is_named_and_repaired(
    copied: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = copied / "my film.render"
    bad = directory / "frames" / CHAINS[1]
    bad.write_bytes(flip(bad.read_bytes()))
    capsys.readouterr()
    assert cli.run(["verify", str(directory), "--progress", "none"]) == 5
    shown = capsys.readouterr()
    assert f"damaged: frames/{CHAINS[1]}" in shown.out
    assert "tempera resume" in shown.err
    lines_before = len((directory / "stats.jsonl").read_text().splitlines())
    assert cli.run(command(copied)) == 0
    assert_whole(copied, whole)
    # The damaged frame and those that depend on it, neither the frame before nor another chain.
    assert len((directory / "stats.jsonl").read_text().splitlines()) - lines_before == CUT - 1


def written_at(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and modification time of every stored frame: they change when it is written again."""
    root = folder / "my film.render/frames"
    return {p.relative_to(root).as_posix(): (p.stat().st_ino, p.stat().st_mtime_ns) for p in root.glob("*/*.png")}


def other_size(data: bytes) -> bytes:
    return encode_png(decode_png(data)[:, :-1])


def broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "flipped": lambda path: path.write_bytes(flip(path.read_bytes())),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-5]),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "other size": lambda path: path.write_bytes(other_size(path.read_bytes())),
    "a link to nowhere": broken_link,
}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("positions", [(0,), (2, CUT + 1), (CUT - 1,)], ids=["first", "inside of both", "last"])
def test_only_a_damaged_frame_and_its_dependents_are_stylized_again(
    copied: Path, whole: Path, how: str, positions: tuple[int, ...]
) -> None:
    """The damaged frame and those that depend on it; neither the frames before nor another chain."""
    before = written_at(copied)
    for position in positions:
        DAMAGES[how](copied / "my film.render/frames" / CHAINS[position])
    assert cli.run(["resume", str(copied / "my film.render"), "--progress", "none"]) == 0
    assert_whole(copied, whole)
    after = written_at(copied)
    again = [name for position in positions for name in CHAINS[position : CUT if position < CUT else FRAMES]]
    assert {name for name in CHAINS if before[name] != after[name]} == set(again)


def test_several_damaged_frames_of_a_chain_are_repaired_in_one_session(copied: Path, whole: Path) -> None:
    before = written_at(copied)
    for position in (1, 2, 4, FRAMES - 2):
        DAMAGES["flipped"](copied / "my film.render/frames" / CHAINS[position])
    assert cli.run(command(copied)) == 0
    assert_whole(copied, whole)
    after = written_at(copied)
    again = {name for name in CHAINS if before[name] != after[name]}
    assert again == set(CHAINS[1:CUT] + CHAINS[FRAMES - 2 :])


@pytest.mark.parametrize("patience", [0.0, 5.0])
def test_damage_found_while_stylizing_is_repaired(
    copied: Path, whole: Path, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of a large render outlasts the wait for it; without patience it begins after the first stored frame."""
    stored = threading.Event()
    real_check, real_store = frames.checksum_problem, RenderDirectory.write_frame

    def slow_check(path: Path, width_px: int, height_px: int) -> str | None:
        if not patience:
            stored.wait(30)
        return real_check(path, width_px, height_px)

    def store(directory: RenderDirectory, chain: str, index: int, rgb: Any) -> None:
        real_store(directory, chain, index, rgb)
        stored.set()
        for thread in threading.enumerate():
            if thread.name == "frame check":
                thread.join(30)

    monkeypatch.setattr("pipeline.execute.background_check.WAIT_FOR_CHECK_S", patience)
    monkeypatch.setattr(frames, "checksum_problem", slow_check)
    monkeypatch.setattr(RenderDirectory, "write_frame", store)
    (copied / "my film.render/frames" / CHAINS[FRAMES - 1]).unlink()
    (copied / "my film.render/frames" / CHAINS[FRAMES - 2]).unlink()
    before = written_at(copied)
    DAMAGES["flipped"](copied / "my film.render/frames" / CHAINS[2])
    assert cli.run(command(copied)) == 0
    assert_whole(copied, whole)
    after = written_at(copied)
    assert {name for name in before if before[name] != after[name]} == set(CHAINS[2:CUT])


def test_clock_that_jumps_changes_no_frame(begun: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock jumps to 1970 and to 2100, in and between sessions; frames and the lock have times in the future."""
    real = time.time
    for jump in (-1.7e9, 2.3e9):
        interrupted_render(begun, "after", CHAINS[2 if jump < 0 else 5], signal.SIGKILL)
        for path in (begun / "my film.render").rglob("*"):
            os.utime(path, (real() + jump, real() + jump))
        monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
        assert cli.run(["status", str(begun / "my film.render")]) == 0
    ticks = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: real() + (-1e9 if next(ticks) % 2 else 1e9))
    assert cli.run(command(begun)) == 0
    assert_whole(begun, whole)


def test_foreign_files_are_kept_and_ignored(copied: Path, whole: Path) -> None:
    root = copied / "my film.render"
    foreign = [root / "notes.txt", root / "frames/Thumbs.db", root / "frames/waves-s000/00000001 (copy).png"]
    foreign += [root / "frames/waves-s000/00000007.png", root / "frames/waves-s000/.DS_Store"]
    for path in foreign:
        path.write_bytes(b"foreign")
    (root / "frames" / CHAINS[3]).unlink()
    assert cli.run(command(copied)) == 0
    assert all(path.read_bytes() == b"foreign" for path in foreign)
    for path in foreign:
        path.unlink()
    assert_whole(copied, whole)


@pytest.mark.parametrize(
    ("code", "exit_code"), [(errno.EROFS, 8), (errno.ENOSPC, 8), (errno.EIO, 8), (errno.EDQUOT, 8), (errno.ENOENT, 5)]
)
def test_disk_error_keeps_stored_frames_and_the_render_can_be_continued(
    begun: Path,
    whole: Path,
    code: int,
    exit_code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The disk is read-only, full, failing, over quota or missing, while the third frame is stored."""
    create = atomic.create

    def refuse(path: Path) -> int:
        if CHAINS[2].rpartition("/")[2] in path.name:
            raise OSError(code, os.strerror(code))
        return create(path)

    monkeypatch.setattr(atomic, "create", refuse)
    assert cli.run(command(begun)) == exit_code
    message = capsys.readouterr().err
    assert "Traceback" not in message and "hint: " in message
    assert sorted(frames_of(begun)) == CHAINS[:2]
    monkeypatch.undo()
    before = written_at(begun)
    assert cli.run(command(begun)) == 0
    assert_whole(begun, whole)
    assert before.items() <= written_at(begun).items()


def test_vanished_directory_is_an_error_and_the_render_can_be_continued(begun: Path, whole: Path) -> None:
    with waiting(begun, CHAINS[2], "--progress", "none") as (process, flag):
        (begun / "my film.render").rename(begun / "unplugged")
        flag.unlink()
        assert code_of(process) == 5
    assert "vanished" in (begun / "err.txt").read_text()
    assert not (begun / "my film.render").exists()
    (begun / "unplugged").rename(begun / "my film.render")
    assert cli.run(command(begun)) == 0
    assert_whole(begun, whole)


@pytest.mark.parametrize("how", ["deleted", "edited", "cut"])
def test_missing_or_damaged_plan_is_refused_and_frames_are_kept(
    copied: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = copied / "my film.render/plan.json"
    text = plan.read_text()
    if how == "deleted":
        plan.unlink()
    else:
        plan.write_text(text.replace('"seed": 0', '"seed": 1') if how == "edited" else text[:-100])
    before = frames_of(copied)
    for words in (command(copied), ["resume", str(copied / "my film.render")], ["verify", str(plan.parent)]):
        capsys.readouterr()
        assert cli.run(words) == 5
        assert "plan.json" in capsys.readouterr().err
    assert frames_of(copied) == before


def test_frames_and_video_do_not_depend_on_prefetch_batch_or_other_styles(begun: Path, whole: Path) -> None:
    """Frames and video do not depend on how far ahead is decoded, nor on another style in the same render."""
    videos = {(whole / "my film.mp4").read_bytes()}
    for number, more in enumerate((["runtime.prefetch=0"], ["runtime.prefetch=64"], ["runtime.batch_size=1"])):
        folder = begun / str(number)
        shutil.copytree(begun / "in", folder / "in")
        assert cli.run([*command(folder), *(f"--set={key}" for key in more)]) == 0
        assert_whole(folder, whole)
        videos.add((folder / "my film.mp4").read_bytes())
    assert len(videos) == 1
    Image.fromarray(texture((64, 48), 77)).save(begun / "in/other.png")
    assert cli.run([*command(begun), "-s", str(begun / "in/other.png")]) == 0
    both = frames_of(begun)
    assert {name: data for name, data in both.items() if name in CHAINS} == frames_of(whole)
    assert len(both) == 2 * FRAMES


def test_resume_refuses_another_input_or_style_image(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resume = ["resume", str(copied / "my film.render"), "--progress", "none"]
    clip, style_image = copied / "in/clip.mp4", copied / "in/waves.png"
    (copied / "my film.render" / WHERE_NAME).unlink()  # which says where the files that were copied are
    before = frames_of(copied)
    original = style_image.read_bytes()
    Image.fromarray(texture((64, 48), 51)).save(style_image)
    assert cli.run(resume) == 5
    assert "styles.waves.style.images.0.digest" in capsys.readouterr().err
    style_image.unlink()
    assert cli.run(resume) == 3
    style_image.write_bytes(original)
    write_video(clip, moving_square(FRAMES, seed=3), rate=10)
    assert cli.run(resume) == 5
    assert "source.digest" in capsys.readouterr().err
    clip.unlink()
    assert cli.run(resume) == 4
    assert "clip.mp4" in capsys.readouterr().err
    assert frames_of(copied) == before

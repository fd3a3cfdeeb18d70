"""The render directory: every disk operation fails once, and every kind of damage is found and named."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.errors import RenderDirectoryError, TemperaError, WriteError
from pipeline.media.image.png import encode_png
from pipeline.runtime import atomic as disk
from pipeline.runtime.atomic import write_bytes
from pipeline.store.directory import RenderDirectory, fresh
from pipeline.store.status import read_status
from pipeline.store.verification import verify_frames
from tests.support.torture.fault_cases import CASES, noise, small_plan, small_render, snapshot
from tests.support.torture.faults import MODES, Case, Crash, Faults, try_every_fault

pytestmark = pytest.mark.usefixtures("no_real_flushes")


# --- one frame ----------------------------------------------------------------------------------------------------


def test_stored_frames_are_read_back_exactly(tmp_path: Path) -> None:
    directory = RenderDirectory.create(tmp_path / "x.render", small_plan())
    first, second = directory.plan.chains
    with directory.lock():
        for index in range(4):
            assert directory.done(first) == index
            directory.write_frame(first.id, index, noise(index))
        directory.write_frame(second.id, 5, noise(5))  # behind a gap: does not count
    assert directory.done(first) == 4
    assert directory.done(second) == 4
    assert [np.array_equal(directory.read_frame(first.id, index), noise(index)) for index in range(4)] == [True] * 4
    assert sorted(snapshot(tmp_path / "x.render")) == [
        *(f"frames/a-s000/0000000{index}.png" for index in range(4)),
        "frames/a-s001/00000005.png",
        "plan.json",
    ]


def test_writing_a_frame_outside_the_plan_is_an_error(tmp_path: Path) -> None:
    directory = RenderDirectory.create(tmp_path, small_plan())
    with directory.lock():
        with pytest.raises(KeyError):
            directory.write_frame("../x", 0, noise(0))
        with pytest.raises(IndexError):
            directory.write_frame("a-s000", 4, noise(0))
        with pytest.raises(IndexError):
            directory.write_frame("a-s000", -1, noise(0))
        for wrong in (noise(0)[1:], noise(0).astype(np.float32), noise(0)[..., :1]):
            with pytest.raises(ValueError, match="expected uint8"):
                directory.write_frame("a-s000", 0, wrong)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=r"directory\.lock"):
        directory.write_frame("a-s000", 0, noise(0))
    with pytest.raises(RuntimeError, match=r"directory\.lock"):
        directory.append_stats({})
    assert sorted(snapshot(tmp_path)) == ["plan.json"]


def test_writing_without_the_lock_file_is_refused(tmp_path: Path) -> None:
    directory = RenderDirectory.create(tmp_path, small_plan())
    with directory.lock():
        (tmp_path / "lock").unlink()
        with pytest.raises(RenderDirectoryError, match="removed"):
            directory.write_frame("a-s000", 0, noise(0))
    assert directory.stored(directory.plan.chains[0]) == set()


def test_frame_is_not_stored_before_the_folder_that_another_thread_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two chains store their first frames at once. The one that finds the folder of all frames must not be faster."""
    plan = small_plan()
    events: list[str] = []
    renamed = threading.Event()
    flush, rename = disk.sync_folder, disk.replace

    def sync_folder(path: Path) -> None:
        if path == tmp_path:
            renamed.wait(0.1)  # enough for the other thread to get there
            events.append("the folder is flushed")
        flush(path)

    def replace(old: Path, new: Path) -> None:
        events.append("a frame has its name")
        renamed.set()
        rename(old, new)

    directory = RenderDirectory.create(tmp_path, plan)
    with directory.lock(), ThreadPoolExecutor(2) as pool:
        monkeypatch.setattr(disk, "sync_folder", sync_folder)
        monkeypatch.setattr(disk, "replace", replace)
        writes = [pool.submit(directory.write_frame, chain.id, chain.start, noise(0)) for chain in plan.chains[:2]]
        for write in writes:
            write.result()
    assert events == ["the folder is flushed", "a frame has its name", "a frame has its name"]


def test_frames_of_many_threads_are_all_stored(tmp_path: Path) -> None:
    plan = small_plan()
    directory = RenderDirectory.create(tmp_path, plan)
    frames = [(chain.id, index) for chain in plan.chains for index in chain.frames]
    with directory.lock(), ThreadPoolExecutor(8) as pool:
        for write in [pool.submit(directory.write_frame, *key, noise(seed)) for seed, key in enumerate(frames)]:
            write.result()
    for seed, key in enumerate(frames):
        assert np.array_equal(directory.read_frame(*key), noise(seed))


def test_atomic_write_flushes_before_and_after_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is flushed, then renamed, then the folder is flushed; the file of the final name is never written to."""
    done: list[tuple[str, Any]] = []

    def recording(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any) -> Any:
            done.append((name, arguments[-1]))
            return real(*arguments)

        return operation

    for name in disk.OPERATIONS:
        monkeypatch.setattr(disk, name, recording(name, getattr(disk, name)))
    (tmp_path / "x").write_bytes(b"old")
    inode = (tmp_path / "x").stat().st_ino
    write_bytes(tmp_path / "x", b"new")
    assert [name for name, _ in done] == ["create", "write", "sync", "close", "replace", "sync_folder"]
    assert (done[0][1].parent, done[4][1], done[5][1]) == (tmp_path, tmp_path / "x", tmp_path)
    assert disk.is_temporary(done[0][1].name)
    assert (tmp_path / "x").read_bytes() == b"new"
    assert (tmp_path / "x").stat().st_ino != inode


# --- every operation fails once -----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_after_any_fault_the_old_or_the_new_state_is_found(case: Case) -> None:
    found = try_every_fault(case)
    assert found.total() >= 4 * len(MODES)
    assert found.keys() == ({"old"} if case.name == "the lock" else {"old", "new"})


def test_full_disk_names_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    directory = RenderDirectory.create(tmp_path, small_plan())
    with directory.lock():
        monkeypatch.setattr(disk, "write", full)
        with pytest.raises(WriteError, match="No space left") as caught:
            directory.write_frame("a-s000", 0, noise(0))
        assert "free some space" in caught.value.hint and "continues" in caught.value.hint
        monkeypatch.undo()
        directory.write_frame("a-s000", 0, noise(0))


def test_interrupted_write_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(disk, "sync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "x", b"1")
    assert list(tmp_path.iterdir()) == []


def test_failed_clean_up_does_not_hide_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(disk, "remove", refused)
    monkeypatch.setattr(disk, "replace", lambda old, new: refused(old))
    with pytest.raises(OSError, match="Input/output error") as caught:
        write_bytes(tmp_path / "x", b"1")
    assert "could not be removed" in caught.value.__notes__[0]


def test_taking_the_lock_removes_leftovers_and_nothing_else(tmp_path: Path) -> None:
    small_render(tmp_path)
    token = "0123456789abcdef"
    leftovers = [tmp_path / f".plan.json.{token}.tmp", tmp_path / "frames" / "a-s000" / f".00000003.png.{token}.tmp"]
    foreign = [tmp_path / "notes.tmp", tmp_path / ".hidden", tmp_path / "frames" / "a-s000" / ".x.tmp"]
    for path in (*leftovers, *foreign):
        path.write_bytes(b"x")
    directory = RenderDirectory.open(tmp_path)
    assert {finding.kind for finding in verify_frames(directory).findings} == {"leftover", "foreign"}
    with directory.lock():
        assert not any(path.exists() for path in leftovers)
        assert all(path.exists() for path in foreign)


# --- damage -------------------------------------------------------------------------------------------------------


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "delete":
        path.unlink()
        return
    if how == "flip in the head":
        data[18] ^= 4
    elif how == "flip in the middle":
        data[len(data) // 2] ^= 4
    elif how == "flip in the end":
        data[-3] ^= 4
    elif how == "truncate":
        del data[-5:]
    elif how == "truncate to the head":
        del data[20:]
    elif how == "empty":
        data.clear()
    elif how == "grow":
        data += b"more"
    elif how == "zeros":
        data[:] = bytes(len(data))
    elif how == "other size":
        data[:] = encode_png(noise(0)[:, :-1])
    elif how == "not an image":
        data[:] = b"hello" * 100
    path.write_bytes(data)


HOWS = ["delete", "flip in the head", "flip in the middle", "flip in the end", "truncate", "truncate to the head"]
HOWS += ["empty", "grow", "zeros", "other size", "not an image"]


def four_frames(folder: Path) -> RenderDirectory:
    directory = RenderDirectory.create(folder, small_plan())
    with directory.lock():
        for index in range(4):
            directory.write_frame("a-s000", index, noise(index))
    return directory


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("index", [0, 2, 3])
def test_damaged_frame_is_found_and_named(tmp_path: Path, how: str, index: int) -> None:
    directory = four_frames(tmp_path)
    chain = directory.plan.chains[0]
    path = directory.frame_path(chain.id, index)
    damage(path, how)
    found = verify_frames(directory)
    kind = "missing" if how == "delete" else "damaged"
    if how == "delete" and index == 3:
        assert found.ok and found.unstylized == 3
    else:
        [finding] = found.findings
        assert (finding.kind, finding.chain, finding.index) == (kind, chain.id, index)
        assert finding.path == f"frames/a-s000/0000000{index}.png"
        assert not found.ok
    with pytest.raises(RenderDirectoryError, match=f"0000000{index}.png"):
        directory.read_frame(chain.id, index)
    assert directory.done(chain) == (4 if how == "flip in the middle" and index < 3 else index)
    with directory.lock():  # storing it again repairs it
        directory.write_frame(chain.id, index, noise(index))
    assert directory.done(chain) == 4
    assert not verify_frames(directory).findings


def test_huge_frame_is_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = four_frames(tmp_path)
    path = directory.frame_path("a-s000", 3)
    data = bytearray(path.read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    path.write_bytes(data)
    monkeypatch.setattr("pipeline.media.image.png.decode_png", lambda data: pytest.fail("decoded"))
    with pytest.raises(RenderDirectoryError, match="is 60000x60000, expected 7x5"):
        directory.read_frame("a-s000", 3)


def test_damaged_last_frames_end_the_run_before_them(tmp_path: Path) -> None:
    directory = four_frames(tmp_path)
    for index in (2, 3):
        damage(directory.frame_path("a-s000", index), "flip in the middle")
    before = snapshot(tmp_path)
    assert directory.done(directory.plan.chains[0]) == 2
    assert snapshot(tmp_path) == before  # nothing is removed


def test_foreign_files_are_reported_and_kept(tmp_path: Path) -> None:
    directory = four_frames(tmp_path)
    foreign = ["notes.txt", "frames/x.txt", "frames/other-s000/00000000.png", "frames/a-s000/1.png"]
    foreign += ["frames/a-s000/00000004.png", "frames/a-s000/000000001.png", "frames/a-s000/Thumbs.db"]
    for name in foreign:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    report = verify_frames(directory)
    named = {finding.path for finding in report.findings}
    assert named == {name.replace("/00000000.png", "") if "other" in name else name for name in foreign}
    assert report.ok and {finding.kind for finding in report.findings} == {"foreign"}
    assert directory.done(directory.plan.chains[0]) == 4
    with directory.lock():
        pass
    assert all((tmp_path / name).read_bytes() == b"x" for name in foreign)


def test_folder_with_the_name_of_a_frame_is_damage(tmp_path: Path) -> None:
    directory = four_frames(tmp_path)
    path = directory.frame_path("a-s000", 2)
    path.unlink()
    path.mkdir()
    assert directory.done(directory.plan.chains[0]) == 2
    assert [finding.kind for finding in verify_frames(directory).findings] == ["damaged"]
    with directory.lock(), pytest.raises(TemperaError):
        directory.write_frame("a-s000", 2, noise(2))


def test_refused_read_is_an_error_and_not_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = four_frames(tmp_path)

    def refuse(*arguments: Any, **named: Any) -> Any:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(RenderDirectoryError, match="Input/output error"):
        directory.done(directory.plan.chains[0])
    monkeypatch.undo()
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(RenderDirectoryError, match="Input/output error"):
        verify_frames(directory)
    with pytest.raises(RenderDirectoryError, match="Input/output error"):
        RenderDirectory.open(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(RenderDirectoryError, match="Input/output error"):
        directory.done(directory.plan.chains[0])


def test_verify_reports_progress(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    report = verify_frames(four_frames(tmp_path), lambda checked, of: calls.append((checked, of)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (report.checked, report.unstylized) == (4, 2)


def test_temporary_files_of_a_running_render_are_not_leftovers(tmp_path: Path) -> None:
    directory = four_frames(tmp_path)
    with directory.lock():
        (tmp_path / "frames" / "a-s000" / ".00000003.png.0123456789abcdef.tmp").touch()
        assert not verify_frames(directory).findings
    assert [finding.kind for finding in verify_frames(directory).findings] == ["leftover"]


# --- the plan and the folder --------------------------------------------------------------------------------------


def test_equal_plan_continues_and_another_is_refused(tmp_path: Path) -> None:
    small_render(tmp_path)
    before = snapshot(tmp_path)
    assert RenderDirectory.create(tmp_path, small_plan()).plan == small_plan()
    with pytest.raises(RenderDirectoryError, match="seed: there 0, now 1") as caught:
        RenderDirectory.create(tmp_path, small_plan(seed=1))
    assert "--fresh" in caught.value.hint and "--workdir" in caught.value.hint
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("how", ["flip in the middle", "truncate", "empty", "zeros", "not an image", "grow"])
def test_damaged_plan_is_refused(tmp_path: Path, how: str) -> None:
    small_render(tmp_path)
    damage(tmp_path / "plan.json", how)
    with pytest.raises(RenderDirectoryError, match=r"plan\.json"):
        RenderDirectory.open(tmp_path)
    with pytest.raises(RenderDirectoryError, match=r"plan\.json"):
        RenderDirectory.create(tmp_path, small_plan())


def test_edited_plan_is_refused(tmp_path: Path) -> None:
    small_render(tmp_path)
    path = tmp_path / "plan.json"
    path.write_text(path.read_text().replace("../out.mp4", "../other.mp4"))
    with pytest.raises(RenderDirectoryError, match="edited or damaged"):
        RenderDirectory.open(tmp_path)


def test_frames_without_a_plan_are_refused(tmp_path: Path) -> None:
    small_render(tmp_path / "x.render")
    (tmp_path / "x.render" / "plan.json").unlink()
    with pytest.raises(RenderDirectoryError, match=r"no plan\.json"):
        RenderDirectory.create(tmp_path / "x.render", small_plan())
    assert fresh(tmp_path / "x.render") == tmp_path / "x.render.old-1"
    RenderDirectory.create(tmp_path / "x.render", small_plan())


def test_folder_with_foreign_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    for attempt in (lambda: RenderDirectory.create(tmp_path, small_plan()), lambda: fresh(tmp_path)):
        with pytest.raises(RenderDirectoryError, match=r"holiday\.jpg"):
            attempt()
    assert {path.name for path in tmp_path.iterdir()} <= {"holiday.jpg", "lock"}


def test_file_instead_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    for path in (tmp_path / "x", tmp_path / "x" / "y.render"):
        with pytest.raises(RenderDirectoryError, match="expected a folder"):
            RenderDirectory.create(path, small_plan())
        with pytest.raises(RenderDirectoryError, match="not a render directory"):
            RenderDirectory.open(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_write_permission_is_a_write_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(WriteError, match="cannot be written"):
            RenderDirectory.create(tmp_path / "x.render", small_plan())
    finally:
        tmp_path.chmod(0o700)


def test_render_directory_can_be_moved(tmp_path: Path) -> None:
    directory = four_frames(tmp_path / "x.render")
    (tmp_path / "x.render").rename(tmp_path / "moved")
    moved = RenderDirectory.open(tmp_path / "moved")
    assert moved.done(moved.plan.chains[0]) == 4
    with pytest.raises(RenderDirectoryError, match="vanished"), directory.lock():
        pass


def test_writing_to_a_moved_directory_is_refused(tmp_path: Path) -> None:
    directory = four_frames(tmp_path / "x.render")
    with directory.lock():
        (tmp_path / "x.render").rename(tmp_path / "moved")
        with pytest.raises(RenderDirectoryError, match="vanished"):
            directory.write_frame("a-s000", 0, noise(0))
    assert not (tmp_path / "x.render").exists()


def test_fresh_moves_the_directory_and_deletes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.render"
    assert fresh(path) is None
    path.mkdir()
    assert fresh(path) is None
    for number in (1, 2):
        small_render(path)
        before = snapshot(path)
        aside = fresh(path)
        assert aside == tmp_path / f"x.render.old-{number}"
        assert snapshot(aside) == before
        assert not path.exists()
    with RenderDirectory.create(path, small_plan()).lock(), pytest.raises(RenderDirectoryError, match="working here"):
        fresh(path)
    assert path.exists()


# --- statistics and status ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", ['{"chain": "a-s0', '{"frame": 1}', "\0\0\0", '"text"'])
def test_incomplete_line_of_statistics_is_repaired(tmp_path: Path, tail: str) -> None:
    small_render(tmp_path)
    directory = RenderDirectory.open(tmp_path)
    with directory.stats_path.open("a") as file:
        file.write(tail)
    complete = [{"frame": 1}] if tail == '{"frame": 1}' else []
    assert directory.read_stats()[1:] == complete
    with directory.lock() as lock:
        assert lock.holder is not None
        directory.append_stats({"frame": 2, "loss": float("inf")})
        session = lock.holder.session
    assert directory.read_stats()[1:] == [*complete, {"frame": 2, "loss": None, "session": session}]
    assert all(isinstance(json.loads(line), dict) for line in directory.stats_path.read_text().splitlines())


def test_invalid_statistics_are_ignored(tmp_path: Path) -> None:
    directory = four_frames(tmp_path)
    directory.stats_path.write_bytes(
        b'\xff\xfe\n[]\n\n{"frame": "x", "chain": 3, "session": 1}\n'
        + b'{"chain": "a-s000", "frame": 1, "seconds": "long"}\n'
        + b"[" * 100_000
        + b"\n"
    )
    assert len(directory.read_stats()) == 2
    assert read_status(directory).total.seconds_per_frame is None


def test_status_counts_frames_and_averages_the_latest_session(tmp_path: Path) -> None:
    directory = RenderDirectory.create(tmp_path, small_plan())
    empty = read_status(directory)
    assert (empty.state, empty.total.done, empty.total.left, empty.total.seconds_left) == ("stopped", 0, 6, None)
    for session in range(2):
        with directory.lock() as lock:
            for index in (2 * session, 2 * session + 1):
                directory.write_frame("a-s000", index, noise(index))
                directory.append_stats(
                    {"chain": "a-s000", "frame": index, "evaluations": 10 * index, "seconds": 1.0 + session}
                )
            status = read_status(directory)
            assert (status.state, status.holder) == ("running", lock.holder)
    status = read_status(directory)
    assert (status.state, status.holder, status.finished) == ("stopped", None, False)
    assert [(row.id, row.progress.done, row.progress.left) for row in status.chains] == [
        ("a-s000", 4, 0),
        ("a-s001", 0, 2),
    ]
    assert status.total.seconds_per_frame == 2.0  # of the latest session only
    assert status.total.mean_evaluations == 15.0
    assert status.total.seconds_left == 4.0
    assert status.chains[1].progress.mean_evaluations is None
    assert status.chains[0].progress.seconds_left == 0.0


def test_time_left_counts_the_cold_frames_to_come(tmp_path: Path) -> None:
    directory = RenderDirectory.create(tmp_path, small_plan())
    frames = [("cold", 30.0, False), ("warm", 2.0, False), ("cold", 30.0, True)]
    with directory.lock():
        for index, (phase, seconds, anew) in enumerate(frames):
            directory.write_frame("a-s000", index, noise(index))
            directory.append_stats(
                {"chain": "a-s000", "frame": index, "phase": phase, "seconds": seconds, "anew": anew}
            )
    status = read_status(directory)
    following = (30.0 + 2.0) / 2  # one of two frames that followed another started anew
    assert status.chains[0].progress.seconds_left == pytest.approx(following)
    assert status.chains[1].progress.seconds_left == pytest.approx(30.0 + following)
    assert status.total.seconds_left == pytest.approx(30.0 + 2 * following)
    assert (status.total.anew, status.chains[1].progress.anew) == (1, 0)


# --- against a model ----------------------------------------------------------------------------------------------


class StoreMachine(RuleBasedStateMachine):
    """Random writes, crashes, damage and restarts, against a dict that says what every frame must be."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.work = contextlib.ExitStack()
        self.frames: dict[tuple[str, int], int] = {}
        self.damaged: dict[tuple[str, int], str] = {}
        self.written = 0

    @initialize()
    def create(self) -> None:
        self.directory = RenderDirectory.create(self.home / "x.render", small_plan())
        self.work.enter_context(self.directory.lock())

    def teardown(self) -> None:
        self.work.close()
        shutil.rmtree(self.home)

    def key(self, number: int) -> tuple[str, int]:
        chain = next(chain for chain in self.directory.plan.chains if chain.start <= number < chain.stop)
        return chain.id, number

    def store(self, key: tuple[str, int], number: int) -> None:
        self.frames[key] = number
        self.damaged.pop(key, None)

    @rule(number=st.integers(0, 5))
    def write(self, number: int) -> None:
        self.written += 1
        self.directory.write_frame(*self.key(number), noise(self.written))
        self.store(self.key(number), self.written)

    @rule(at=st.integers(0, 9), number=st.integers(0, 5), mode=st.sampled_from(MODES))
    def write_and_fail(self, at: int, number: int, mode: int | str) -> None:
        self.written += 1
        key = self.key(number)
        with Faults(at, mode).installed() as faults:
            try:
                self.directory.write_frame(*key, noise(self.written))
            except Crash:
                pass
            except TemperaError as error:
                assert error.hint
            else:
                self.store(key, self.written)
            faults.reboot()
        path = self.directory.frame_path(*key)
        if path.exists() and path.read_bytes() == encode_png(noise(self.written)):
            self.store(key, self.written)  # it failed after the rename: the new frame, complete
        if faults.dead:
            self.restart()

    @rule(number=st.integers(0, 5), how=st.sampled_from(HOWS))
    def damage_frame(self, number: int, how: str) -> None:
        key = self.key(number)
        if key not in self.frames or key in self.damaged:
            return
        damage(self.directory.frame_path(*key), how)
        if how == "delete":
            del self.frames[key]
        else:
            self.damaged[key] = how

    @rule()
    @precondition(lambda self: hasattr(self, "directory"))
    def restart(self) -> None:
        self.work.close()
        self.directory = RenderDirectory.open(self.home / "x.render")
        self.work.enter_context(self.directory.lock())

    @rule()
    def move(self) -> None:
        self.work.close()
        self.home.rename(self.home.with_name(self.home.name + "m"))
        self.home = self.home.with_name(self.home.name + "m")
        self.directory = RenderDirectory.open(self.home / "x.render")
        self.work.enter_context(self.directory.lock())

    @invariant()
    def same_as_the_model(self) -> None:
        if not hasattr(self, "directory"):
            return
        for chain in self.directory.plan.chains:
            stop = chain.start
            while (chain.id, stop) in self.frames and self.damaged.get((chain.id, stop)) in (
                None,
                "flip in the middle",
            ):
                stop += 1
            while stop > chain.start and (chain.id, stop - 1) in self.damaged:
                stop -= 1
            assert self.directory.done(chain) == stop
            for index in range(chain.start, chain.stop):
                key = chain.id, index
                if key in self.frames and key not in self.damaged:
                    assert np.array_equal(self.directory.read_frame(*key), noise(self.frames[key]))
                else:
                    with pytest.raises(RenderDirectoryError):
                        self.directory.read_frame(*key)
        found = {(f.chain, f.index) for f in verify_frames(self.directory).findings if f.kind == "damaged"}
        assert found == set(self.damaged)


StoreMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStoreAgainstAModel = StoreMachine.TestCase

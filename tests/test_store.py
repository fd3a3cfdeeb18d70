"""The render directory, tested like a storage engine: every operation fails once, and damage is found and named."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
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
from pipeline.store.report import read_status, verify_frames
from tests.support.torture.fault_cases import CASES, a_plan, a_render, picture, snapshot
from tests.support.torture.faults import MODES, STORE_OPERATIONS, Case, Crash, Faults, try_every_fault


@pytest.fixture(autouse=True, scope="module")
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Whether `sync` is called, and when, is tested by `Faults`; thousands of real ones would only wear a disk."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)
        yield


# --- one frame ----------------------------------------------------------------------------------------------------


def test_frames_come_back_exactly_and_in_order(tmp_path: Path) -> None:
    directory = RenderDirectory.create(tmp_path / "x.render", a_plan())
    first, second = directory.plan.chains
    with directory.lock():
        for index in range(4):
            assert directory.done(first) == index
            directory.write_frame(first.id, index, picture(index))
        directory.write_frame(second.id, 5, picture(5))  # behind a gap: not trusted
    assert directory.done(first) == 4
    assert directory.done(second) == 4
    assert [np.array_equal(directory.read_frame(first.id, index), picture(index)) for index in range(4)] == [True] * 4
    assert sorted(snapshot(tmp_path / "x.render")) == [
        *(f"frames/a-s000/0000000{index}.png" for index in range(4)),
        "frames/a-s001/00000005.png",
        "plan.json",
    ]


def test_what_is_not_in_the_plan_cannot_be_written(tmp_path: Path) -> None:
    directory = RenderDirectory.create(tmp_path, a_plan())
    with directory.lock():
        with pytest.raises(KeyError):
            directory.write_frame("../x", 0, picture(0))
        with pytest.raises(IndexError):
            directory.write_frame("a-s000", 4, picture(0))
        with pytest.raises(IndexError):
            directory.write_frame("a-s000", -1, picture(0))
        for wrong in (picture(0)[1:], picture(0).astype(np.float32), picture(0)[..., :1]):
            with pytest.raises(ValueError, match="expected uint8"):
                directory.write_frame("a-s000", 0, wrong)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=r"directory\.lock"):
        directory.write_frame("a-s000", 0, picture(0))
    with pytest.raises(RuntimeError, match=r"directory\.lock"):
        directory.append_stats({})
    assert sorted(snapshot(tmp_path)) == ["plan.json"]


def test_a_frame_is_not_written_when_the_lock_is_lost(tmp_path: Path) -> None:
    directory = RenderDirectory.create(tmp_path, a_plan())
    with directory.lock():
        (tmp_path / "lock").unlink()
        with pytest.raises(RenderDirectoryError, match="removed"):
            directory.write_frame("a-s000", 0, picture(0))
    assert directory.stored(directory.plan.chains[0]) == set()


def test_the_recipe_of_an_atomic_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Synced before it is renamed, renamed before the folder is synced, and never touched under its real name."""
    done: list[tuple[str, Any]] = []

    def recording(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any) -> Any:
            done.append((name, arguments[-1]))
            return real(*arguments)

        return operation

    for name in STORE_OPERATIONS:
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
def test_afterwards_it_is_the_old_or_the_new(case: Case) -> None:
    found = try_every_fault(case)
    assert found.total() >= 4 * len(MODES)
    assert found.keys() == ({"old"} if case.name == "the lock" else {"old", "new"})


def test_a_full_disk_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    directory = RenderDirectory.create(tmp_path, a_plan())
    with directory.lock():
        monkeypatch.setattr(disk, "write", full)
        with pytest.raises(WriteError, match="No space left") as caught:
            directory.write_frame("a-s000", 0, picture(0))
        assert "free some space" in caught.value.hint and "continues" in caught.value.hint
        monkeypatch.undo()
        directory.write_frame("a-s000", 0, picture(0))


def test_an_interrupted_write_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(disk, "sync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "x", b"1")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_clean_up_does_not_hide_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(disk, "remove", refused)
    monkeypatch.setattr(disk, "replace", lambda old, new: refused(old))
    with pytest.raises(WriteError) as caught:
        write_bytes(tmp_path / "x", b"1")
    assert caught.value.__cause__ is not None
    assert "could not be removed" in caught.value.__cause__.__notes__[0]


def test_the_lock_sweeps_leftovers_and_nothing_else(tmp_path: Path) -> None:
    a_render(tmp_path)
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
    elif how == "flip in the midst":
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
        data[:] = encode_png(picture(0)[:, :-1])
    elif how == "not a picture":
        data[:] = b"hello" * 100
    path.write_bytes(data)


HOWS = ["delete", "flip in the head", "flip in the midst", "flip in the end", "truncate", "truncate to the head"]
HOWS += ["empty", "grow", "zeros", "other size", "not a picture"]


def four_frames(folder: Path) -> RenderDirectory:
    directory = RenderDirectory.create(folder, a_plan())
    with directory.lock():
        for index in range(4):
            directory.write_frame("a-s000", index, picture(index))
    return directory


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("index", [0, 2, 3])
def test_damage_is_found_and_named(tmp_path: Path, how: str, index: int) -> None:
    directory = four_frames(tmp_path)
    chain = directory.plan.chains[0]
    path = directory.frame_path(chain.id, index)
    damage(path, how)
    found = verify_frames(directory)
    kind = "missing" if how == "delete" else "damaged"
    if how == "delete" and index == 3:
        assert found.ok and found.unpainted == 3
    else:
        [finding] = found.findings
        assert (finding.kind, finding.chain, finding.index) == (kind, chain.id, index)
        assert finding.path == f"frames/a-s000/0000000{index}.png"
        assert not found.ok
    with pytest.raises(RenderDirectoryError, match=f"0000000{index}.png"):
        directory.read_frame(chain.id, index)
    assert directory.done(chain) == (4 if how == "flip in the midst" and index < 3 else index)
    with directory.lock():  # painting again repairs
        directory.write_frame(chain.id, index, picture(index))
    assert directory.done(chain) == 4
    assert not verify_frames(directory).findings


def test_a_bomb_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = four_frames(tmp_path)
    path = directory.frame_path("a-s000", 3)
    data = bytearray(path.read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    path.write_bytes(data)
    monkeypatch.setattr("pipeline.media.image.png.decode_png", lambda data: pytest.fail("decoded"))
    with pytest.raises(RenderDirectoryError, match="is 60000x60000, expected 7x5"):
        directory.read_frame("a-s000", 3)


def test_if_the_last_frames_are_all_damaged_the_run_ends_before_them(tmp_path: Path) -> None:
    directory = four_frames(tmp_path)
    for index in (2, 3):
        damage(directory.frame_path("a-s000", index), "flip in the midst")
    before = snapshot(tmp_path)
    assert directory.done(directory.plan.chains[0]) == 2
    assert snapshot(tmp_path) == before  # looking removes nothing


def test_foreign_files_are_named_and_left_alone(tmp_path: Path) -> None:
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


def test_a_folder_in_the_place_of_a_frame_is_damage(tmp_path: Path) -> None:
    directory = four_frames(tmp_path)
    path = directory.frame_path("a-s000", 2)
    path.unlink()
    path.mkdir()
    assert directory.done(directory.plan.chains[0]) == 2
    assert [finding.kind for finding in verify_frames(directory).findings] == ["damaged"]
    with directory.lock(), pytest.raises(TemperaError):
        directory.write_frame("a-s000", 2, picture(2))


def test_a_disk_that_refuses_to_read_does_not_start_the_render_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_verify_tells_how_far_it_is(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    report = verify_frames(four_frames(tmp_path), lambda checked, of: calls.append((checked, of)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (report.checked, report.unpainted) == (4, 2)


def test_a_writer_at_work_has_no_leftovers(tmp_path: Path) -> None:
    directory = four_frames(tmp_path)
    with directory.lock():
        (tmp_path / "frames" / "a-s000" / ".00000003.png.0123456789abcdef.tmp").touch()
        assert not verify_frames(directory).findings
    assert [finding.kind for finding in verify_frames(directory).findings] == ["leftover"]


# --- the plan and the folder --------------------------------------------------------------------------------------


def test_the_same_plan_continues_and_another_is_refused(tmp_path: Path) -> None:
    a_render(tmp_path)
    before = snapshot(tmp_path)
    assert RenderDirectory.create(tmp_path, a_plan()).plan == a_plan()
    with pytest.raises(RenderDirectoryError, match="seed: there 0, now 1") as caught:
        RenderDirectory.create(tmp_path, a_plan(seed=1))
    assert "--fresh" in caught.value.hint and "--workdir" in caught.value.hint
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("how", ["flip in the midst", "truncate", "empty", "zeros", "not a picture", "grow"])
def test_a_damaged_plan_is_refused(tmp_path: Path, how: str) -> None:
    a_render(tmp_path)
    damage(tmp_path / "plan.json", how)
    with pytest.raises(RenderDirectoryError, match=r"plan\.json"):
        RenderDirectory.open(tmp_path)
    with pytest.raises(RenderDirectoryError, match=r"plan\.json"):
        RenderDirectory.create(tmp_path, a_plan())


def test_an_edited_plan_is_refused(tmp_path: Path) -> None:
    a_render(tmp_path)
    path = tmp_path / "plan.json"
    path.write_text(path.read_text().replace("../out.mp4", "../other.mp4"))
    with pytest.raises(RenderDirectoryError, match="edited or damaged"):
        RenderDirectory.open(tmp_path)


def test_frames_without_a_plan_are_not_adopted(tmp_path: Path) -> None:
    a_render(tmp_path / "x.render")
    (tmp_path / "x.render" / "plan.json").unlink()
    with pytest.raises(RenderDirectoryError, match=r"no plan\.json"):
        RenderDirectory.create(tmp_path / "x.render", a_plan())
    assert fresh(tmp_path / "x.render") == tmp_path / "x.render.old-1"
    RenderDirectory.create(tmp_path / "x.render", a_plan())


def test_other_peoples_folders_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    for attempt in (lambda: RenderDirectory.create(tmp_path, a_plan()), lambda: fresh(tmp_path)):
        with pytest.raises(RenderDirectoryError, match=r"holiday\.jpg"):
            attempt()
    assert {path.name for path in tmp_path.iterdir()} <= {"holiday.jpg", "lock"}


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    for path in (tmp_path / "x", tmp_path / "x" / "y.render"):
        with pytest.raises(RenderDirectoryError, match="expected a folder"):
            RenderDirectory.create(path, a_plan())
        with pytest.raises(RenderDirectoryError, match="not a render directory"):
            RenderDirectory.open(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_a_write_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(WriteError, match="cannot be written"):
            RenderDirectory.create(tmp_path / "x.render", a_plan())
    finally:
        tmp_path.chmod(0o700)


def test_the_folder_can_be_moved(tmp_path: Path) -> None:
    directory = four_frames(tmp_path / "x.render")
    (tmp_path / "x.render").rename(tmp_path / "moved")
    moved = RenderDirectory.open(tmp_path / "moved")
    assert moved.done(moved.plan.chains[0]) == 4
    with pytest.raises(RenderDirectoryError, match="vanished"), directory.lock():
        pass


def test_a_folder_that_vanishes_at_work_stops_the_work(tmp_path: Path) -> None:
    directory = four_frames(tmp_path / "x.render")
    with directory.lock():
        (tmp_path / "x.render").rename(tmp_path / "moved")
        with pytest.raises(RenderDirectoryError, match="vanished"):
            directory.write_frame("a-s000", 0, picture(0))
    assert not (tmp_path / "x.render").exists()


def test_fresh_moves_aside_and_never_destroys(tmp_path: Path) -> None:
    path = tmp_path / "x.render"
    assert fresh(path) is None
    path.mkdir()
    assert fresh(path) is None
    for number in (1, 2):
        a_render(path)
        before = snapshot(path)
        aside = fresh(path)
        assert aside == tmp_path / f"x.render.old-{number}"
        assert snapshot(aside) == before
        assert not path.exists()
    with RenderDirectory.create(path, a_plan()).lock(), pytest.raises(RenderDirectoryError, match="working here"):
        fresh(path)
    assert path.exists()


# --- statistics and status ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("torn", ['{"chain": "a-s0', '{"frame": 1}', "\0\0\0", '"text"'])
def test_a_torn_line_is_mended(tmp_path: Path, torn: str) -> None:
    a_render(tmp_path)
    directory = RenderDirectory.open(tmp_path)
    with directory.stats_path.open("a") as file:
        file.write(torn)
    whole = [{"frame": 1}] if torn == '{"frame": 1}' else []
    assert directory.read_stats()[1:] == whole
    with directory.lock() as held:
        assert held.holder is not None
        directory.append_stats({"frame": 2, "loss": float("inf")})
        session = held.holder.session
    assert directory.read_stats()[1:] == [*whole, {"frame": 2, "loss": None, "session": session}]
    assert all(isinstance(json.loads(line), dict) for line in directory.stats_path.read_text().splitlines())


def test_rubbish_in_the_statistics_harms_nothing(tmp_path: Path) -> None:
    directory = four_frames(tmp_path)
    directory.stats_path.write_bytes(
        b'\xff\xfe\n[]\n\n{"frame": "x", "chain": 3, "session": 1}\n'
        + b'{"chain": "a-s000", "frame": 1, "seconds": "long"}\n'
        + b"[" * 100_000
        + b"\n"
    )
    assert len(directory.read_stats()) == 2
    assert read_status(directory).total.seconds_per_frame is None


def test_status(tmp_path: Path) -> None:
    directory = RenderDirectory.create(tmp_path, a_plan())
    empty = read_status(directory)
    assert (empty.state, empty.total.done, empty.total.left, empty.total.seconds_left) == ("stopped", 0, 6, None)
    for session in range(2):
        with directory.lock() as held:
            for index in (2 * session, 2 * session + 1):
                directory.write_frame("a-s000", index, picture(index))
                directory.append_stats(
                    {"chain": "a-s000", "frame": index, "evaluations": 10 * index, "seconds": 1.0 + session}
                )
            status = read_status(directory)
            assert (status.state, status.holder) == ("running", held.holder)
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
        self.chance = random.Random(0)

    @initialize()
    def create(self) -> None:
        self.directory = RenderDirectory.create(self.home / "x.render", a_plan())
        self.work.enter_context(self.directory.lock())

    def teardown(self) -> None:
        self.work.close()
        shutil.rmtree(self.home)

    def place(self, number: int) -> tuple[str, int]:
        chain = next(chain for chain in self.directory.plan.chains if chain.start <= number < chain.stop)
        return chain.id, number

    def store(self, place: tuple[str, int], number: int) -> None:
        self.frames[place] = number
        self.damaged.pop(place, None)

    @rule(number=st.integers(0, 5))
    def write(self, number: int) -> None:
        self.written += 1
        self.directory.write_frame(*self.place(number), picture(self.written))
        self.store(self.place(number), self.written)

    @rule(at=st.integers(0, 9), number=st.integers(0, 5), mode=st.sampled_from(MODES))
    def write_and_fail(self, at: int, number: int, mode: int | str) -> None:
        self.written += 1
        place = self.place(number)
        with Faults(at, mode).installed() as faults:
            try:
                self.directory.write_frame(*place, picture(self.written))
            except Crash:
                pass
            except TemperaError as error:
                assert error.hint
            else:
                self.store(place, self.written)
            faults.reboot()
        path = self.directory.frame_path(*place)
        if path.exists() and path.read_bytes() == encode_png(picture(self.written)):
            self.store(place, self.written)  # failed behind the point of no return: the new frame, whole
        if faults.dead:
            self.restart()

    @rule(number=st.integers(0, 5), how=st.sampled_from(HOWS))
    def harm(self, number: int, how: str) -> None:
        place = self.place(number)
        if place not in self.frames or place in self.damaged:
            return
        damage(self.directory.frame_path(*place), how)
        if how == "delete":
            del self.frames[place]
        else:
            self.damaged[place] = how

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
            while (chain.id, stop) in self.frames and self.damaged.get((chain.id, stop)) in (None, "flip in the midst"):
                stop += 1
            while stop > chain.start and (chain.id, stop - 1) in self.damaged:
                stop -= 1
            assert self.directory.done(chain) == stop
            for index in range(chain.start, chain.stop):
                place = chain.id, index
                if place in self.frames and place not in self.damaged:
                    assert np.array_equal(self.directory.read_frame(*place), picture(self.frames[place]))
                else:
                    with pytest.raises(RenderDirectoryError):
                        self.directory.read_frame(*place)
        found = {(f.chain, f.index) for f in verify_frames(self.directory).findings if f.kind == "damaged"}
        assert found == set(self.damaged)


StoreMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStoreAgainstAModel = StoreMachine.TestCase

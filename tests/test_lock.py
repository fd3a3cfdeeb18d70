"""The lock: a dead holder never blocks, a living one always does, and another machine is believed."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import RenderDirectoryError, WriteError
from pipeline.runtime import atomic
from pipeline.store import lock
from pipeline.store.lock import Holder, RenderLock, probe

HOLD = """
import sys, time
from pathlib import Path
from pipeline.store.lock import RenderLock
with RenderLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

# Goes in and out many times; a file made and removed inside shows at once if two are in.
CROWD = """
import os, sys, time
from pathlib import Path
from pipeline.errors import RenderDirectoryError
from pipeline.store.lock import RenderLock
folder, entered, end = Path(sys.argv[1]), 0, time.monotonic() + 20
while entered < 10 and time.monotonic() < end:
    try:
        with RenderLock(folder):
            os.close(os.open(folder / "inside", os.O_CREAT | os.O_EXCL))
            entered += 1
            os.unlink(folder / "inside")
    except RenderDirectoryError:
        pass
print(entered)
"""


def child(code: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def elsewhere(**changes: object) -> Holder:
    holder = Holder(7, "far-away", "other machine", "other boot", "2026-01-01T00:00:00+00:00", "s", "tempera render")
    return dataclasses.replace(holder, **changes)  # type: ignore[arg-type]


def written(folder: Path, holder: Holder) -> None:
    (folder / "lock").write_text(json.dumps(dataclasses.asdict(holder)))


def test_a_second_process_is_refused_and_told_who_is_first_until_that_one_is_killed(tmp_path: Path) -> None:
    holder = child(HOLD, tmp_path)
    try:
        assert line_of(holder) == "held"
        state, seen = probe(tmp_path)
        assert state == "running"
        assert seen is not None and seen.pid == holder.pid
        with pytest.raises(RenderDirectoryError) as caught, RenderLock(tmp_path):
            pass
        assert f"process {holder.pid} on {seen.host}, since {seen.since}" in caught.value.message
        assert caught.value.exit_code == 5
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert probe(tmp_path) == ("stopped", None)
    with RenderLock(tmp_path) as held:
        held.check()


def test_many_processes_are_never_in_at_once(tmp_path: Path) -> None:
    crowd = [child(CROWD, tmp_path) for _ in range(3)]
    results = [process.communicate(timeout=60)[0].strip() for process in crowd]
    assert [process.returncode for process in crowd] == [0, 0, 0]
    assert sum(map(int, results)) >= 10


def test_one_process_cannot_take_it_twice(tmp_path: Path) -> None:
    with RenderLock(tmp_path) as held:
        with pytest.raises(RenderDirectoryError, match=f"process {os.getpid()}"):
            RenderLock(tmp_path).acquire()
        with pytest.raises(RuntimeError):
            held.acquire()
        held.check()
    with RenderLock(tmp_path):
        pass
    held.release()  # again, does nothing
    with pytest.raises(RuntimeError):
        held.check()


def test_letting_go_leaves_an_empty_file(tmp_path: Path) -> None:
    with RenderLock(tmp_path) as held:
        assert held.holder is not None
        assert json.loads((tmp_path / "lock").read_text()) == dataclasses.asdict(held.holder)
    assert (tmp_path / "lock").read_bytes() == b""


def test_probing_writes_nothing_and_needs_no_lock_file(tmp_path: Path) -> None:
    assert probe(tmp_path) == ("stopped", None)
    assert list(tmp_path.iterdir()) == []


def test_a_probe_in_the_wrong_moment_does_not_refuse_a_render(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lock").touch()
    descriptor = os.open(tmp_path / "lock", os.O_RDONLY)
    assert lock._try_lock(descriptor, tmp_path, shared=True)
    pauses = []

    def end_the_probe(seconds: float) -> None:
        pauses.append(seconds)
        os.close(descriptor)

    monkeypatch.setattr(time, "sleep", end_the_probe)
    with RenderLock(tmp_path) as held:
        held.check()
    assert len(pauses) == 1


def test_another_machine_is_believed_until_its_lock_is_deleted(tmp_path: Path) -> None:
    written(tmp_path, elsewhere())
    state, seen = probe(tmp_path)
    assert (state, seen) == ("unknown", elsewhere())
    with pytest.raises(RenderDirectoryError) as caught, RenderLock(tmp_path):
        pass
    assert "process 7 on far-away, since 2026-01-01T00:00:00+00:00" in caught.value.message
    assert f"delete {tmp_path / 'lock'} to take over" in caught.value.hint
    assert json.loads((tmp_path / "lock").read_text())["host"] == "far-away"
    (tmp_path / "lock").unlink()
    with RenderLock(tmp_path):
        pass


@pytest.mark.parametrize("same", ["boot", "host and machine"])
def test_a_dead_holder_on_this_machine_never_blocks(tmp_path: Path, same: str) -> None:
    """After a reboot the boot differs; in a new container the host name does."""
    with RenderLock(tmp_path) as held:
        me = held.holder
    assert me is not None
    gone = elsewhere(boot=me.boot) if same == "boot" else elsewhere(host=me.host, machine=me.machine)
    written(tmp_path, gone)
    assert probe(tmp_path) == ("stopped", None)
    with RenderLock(tmp_path):
        pass


@pytest.mark.parametrize(
    "torn",
    [b"{", b"\0" * 100, b"[1]", b'{"pid": 1}', b"null", b"[" * 60000, b"\xff\xfe", b'{"pid": 1, "host": 2}'],
    ids=lambda data: repr(data[:12]),
)
def test_a_torn_lock_file_never_blocks(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / "lock").write_bytes(torn)
    assert probe(tmp_path) == ("stopped", None)
    with RenderLock(tmp_path):
        pass


def test_wrong_types_in_the_lock_file_name_nobody(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(json.dumps({**dataclasses.asdict(elsewhere()), "pid": "7", "host": [1]}))
    assert probe(tmp_path) == ("stopped", None)


def test_who_loses_the_lock_file_stops(tmp_path: Path) -> None:
    with RenderLock(tmp_path) as held:
        (tmp_path / "lock").unlink()
        with pytest.raises(RenderDirectoryError, match="removed"):
            held.check()
        with RenderLock(tmp_path) as second:  # the one who took over
            second.check()
            with pytest.raises(RenderDirectoryError, match="removed"):
                held.check()


def test_a_lock_file_replaced_while_waiting_for_it_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    real = atomic.open_shared

    def slow_open(path: Path) -> int:
        descriptor = real(path)
        opened.append(path)
        if len(opened) == 1:
            path.unlink()  # somebody took over between our opening and our locking
        return descriptor

    monkeypatch.setattr("pipeline.runtime.atomic.open_shared", slow_open)
    with RenderLock(tmp_path) as held:
        held.check()
        assert len(opened) == 2


def test_who_is_overwritten_by_another_machine_stops_and_leaves_its_name(tmp_path: Path) -> None:
    with RenderLock(tmp_path) as held:
        written(tmp_path, elsewhere())
        with pytest.raises(RenderDirectoryError, match="far-away"):
            held.check()
    assert probe(tmp_path) == ("unknown", elsewhere())


def test_a_vanished_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "x.render"
    folder.mkdir()
    with RenderLock(folder) as held:
        folder.rename(tmp_path / "moved")
        with pytest.raises(RenderDirectoryError, match="vanished"):
            held.check()


def test_no_folder_no_lock(tmp_path: Path) -> None:
    with pytest.raises(RenderDirectoryError, match="vanished"), RenderLock(tmp_path / "none"):
        pass


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(fcntl_error, "No locks available")

    fcntl_error = 37  # ENOLCK
    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(RenderDirectoryError, match="no locks") as caught, RenderLock(tmp_path):
        pass
    assert "--workdir" in caught.value.hint


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_a_write_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(WriteError), RenderLock(tmp_path):
            pass
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_unlock_for_its_parent(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from pipeline.store.lock import RenderLock, probe
folder = Path(sys.argv[1])
held = RenderLock(folder)
held.acquire()
pid = os.fork()
if pid == 0:
    held.release()
    os._exit(0)
os.waitpid(pid, 0)
held.check()
print(probe(folder)[0])
held.release()
print(probe(folder)[0])
"""
    process = child(code, tmp_path)
    assert process.communicate(timeout=60)[0].split() == ["running", "stopped"]


def test_the_error_of_the_work_is_not_hidden_by_one_of_letting_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, size: int) -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(KeyboardInterrupt) as caught, RenderLock(tmp_path):
        monkeypatch.setattr("pipeline.runtime.atomic.truncate", full)
        raise KeyboardInterrupt
    assert any("Input/output error" in note for note in caught.value.__notes__)
    monkeypatch.undo()
    with pytest.raises(WriteError), RenderLock(tmp_path):
        monkeypatch.setattr("pipeline.runtime.atomic.truncate", full)
    monkeypatch.undo()
    with RenderLock(tmp_path):
        pass

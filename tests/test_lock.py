"""The lock of a render directory: a living holder and one on another machine block, a dead one does not."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.errors import RenderDirectoryError, WriteError
from pipeline.runtime import atomic
from pipeline.store.holder import Holder, read_holder
from pipeline.store.lock import RenderLock, probe
from pipeline.store.system_lock import try_lock

HOLD = """
import sys, time
from pathlib import Path
from pipeline.store.lock import RenderLock
with RenderLock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""

# Takes the lock many times; creating a file exclusively inside fails if two processes hold it.
CONTENDER = """
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


def test_second_process_is_refused_until_the_holder_is_killed(tmp_path: Path) -> None:
    holder = child(HOLD, tmp_path)
    try:
        assert line_of(holder) == "locked"
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
    with RenderLock(tmp_path) as lock:
        lock.check()


def test_only_one_of_many_processes_holds_the_lock(tmp_path: Path) -> None:
    contenders = [child(CONTENDER, tmp_path) for _ in range(3)]
    results = [process.communicate(timeout=60)[0].strip() for process in contenders]
    assert [process.returncode for process in contenders] == [0, 0, 0]
    assert sum(map(int, results)) >= 10


def test_taking_the_lock_twice_in_one_process_is_refused(tmp_path: Path) -> None:
    with RenderLock(tmp_path) as lock:
        with pytest.raises(RenderDirectoryError, match=f"process {os.getpid()}"):
            RenderLock(tmp_path).acquire()
        with pytest.raises(RuntimeError):
            lock.acquire()
        lock.check()
    with RenderLock(tmp_path):
        pass
    lock.release()  # again, does nothing
    with pytest.raises(RuntimeError):
        lock.check()


def test_several_threads_may_check_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They read one open file, whose position they share: two at once would find an empty lock."""
    reading = most = 0

    def read(descriptor: int) -> Holder | None:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        time.sleep(0.005)
        holder = read_holder(descriptor)
        reading -= 1
        return holder

    with RenderLock(tmp_path) as lock, ThreadPoolExecutor(4) as pool:
        monkeypatch.setattr("pipeline.store.lock.read_holder", read)
        for done in [pool.submit(lock.check) for _ in range(12)]:
            done.result()
        monkeypatch.undo()
    assert most == 1


def test_released_lock_leaves_an_empty_file(tmp_path: Path) -> None:
    with RenderLock(tmp_path) as lock:
        assert lock.holder is not None
        assert json.loads((tmp_path / "lock").read_text()) == dataclasses.asdict(lock.holder)
    assert (tmp_path / "lock").read_bytes() == b""


def test_probing_writes_nothing_and_needs_no_lock_file(tmp_path: Path) -> None:
    assert probe(tmp_path) == ("stopped", None)
    assert list(tmp_path.iterdir()) == []


def test_concurrent_probe_does_not_refuse_a_render(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lock").touch()
    descriptor = os.open(tmp_path / "lock", os.O_RDONLY)
    assert try_lock(descriptor, tmp_path, shared=True)
    pauses = []

    def end_the_probe(seconds: float) -> None:
        pauses.append(seconds)
        os.close(descriptor)

    monkeypatch.setattr(time, "sleep", end_the_probe)
    with RenderLock(tmp_path) as lock:
        lock.check()
    assert len(pauses) == 1


def test_lock_of_another_machine_holds_until_its_file_is_deleted(tmp_path: Path) -> None:
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
def test_dead_holder_on_this_machine_does_not_block(tmp_path: Path, same: str) -> None:
    """After a reboot the boot differs; in a new container the host name does."""
    with RenderLock(tmp_path) as lock:
        me = lock.holder
    assert me is not None
    gone = elsewhere(boot=me.boot) if same == "boot" else elsewhere(host=me.host, machine=me.machine)
    written(tmp_path, gone)
    assert probe(tmp_path) == ("stopped", None)
    with RenderLock(tmp_path):
        pass


@pytest.mark.parametrize(
    "content",
    [b"{", b"\0" * 100, b"[1]", b'{"pid": 1}', b"null", b"[" * 60000, b"\xff\xfe", b'{"pid": 1, "host": 2}'],
    ids=lambda data: repr(data[:12]),
)
def test_invalid_lock_file_does_not_block(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lock").write_bytes(content)
    assert probe(tmp_path) == ("stopped", None)
    with RenderLock(tmp_path):
        pass


def test_lock_file_with_wrong_types_is_invalid(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(json.dumps({**dataclasses.asdict(elsewhere()), "pid": "7", "host": [1]}))
    assert probe(tmp_path) == ("stopped", None)


def test_holder_without_its_lock_file_is_refused(tmp_path: Path) -> None:
    with RenderLock(tmp_path) as lock:
        (tmp_path / "lock").unlink()
        with pytest.raises(RenderDirectoryError, match="removed"):
            lock.check()
        with RenderLock(tmp_path) as second:  # takes over
            second.check()
            with pytest.raises(RenderDirectoryError, match="removed"):
                lock.check()


def test_lock_file_replaced_while_opening_it_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    real = atomic.open_shared

    def slow_open(path: Path) -> int:
        descriptor = real(path)
        opened.append(path)
        if len(opened) == 1:
            path.unlink()  # another process took over between opening and locking
        return descriptor

    monkeypatch.setattr("pipeline.runtime.atomic.open_shared", slow_open)
    with RenderLock(tmp_path) as lock:
        lock.check()
        assert len(opened) == 2


def test_holder_overwritten_by_another_machine_is_refused_and_keeps_that_name(tmp_path: Path) -> None:
    with RenderLock(tmp_path) as lock:
        written(tmp_path, elsewhere())
        with pytest.raises(RenderDirectoryError, match="far-away"):
            lock.check()
    assert probe(tmp_path) == ("unknown", elsewhere())


def test_vanished_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "x.render"
    folder.mkdir()
    with RenderLock(folder) as lock:
        folder.rename(tmp_path / "moved")
        with pytest.raises(RenderDirectoryError, match="vanished"):
            lock.check()


def test_locking_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RenderDirectoryError, match="vanished"), RenderLock(tmp_path / "none"):
        pass


def test_lock_file_that_is_another_one_at_every_look_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on file systems that give a file another number each time."""
    monkeypatch.setattr("pipeline.store.lock.is_file_at", lambda *_: False)
    with pytest.raises(RenderDirectoryError, match="another process is working here"), RenderLock(tmp_path):
        pass


def test_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(fcntl_error, "No locks available")

    fcntl_error = 37  # ENOLCK
    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(RenderDirectoryError, match="no locks") as caught, RenderLock(tmp_path):
        pass
    assert "--workdir" in caught.value.hint


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder_is_a_write_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(WriteError), RenderLock(tmp_path):
            pass
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_neither_holds_nor_releases_the_lock(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from pipeline.store.lock import RenderLock, probe
folder = Path(sys.argv[1])
lock = RenderLock(folder)
lock.acquire()
pid = os.fork()
if pid == 0:
    try:
        lock.check()
    except RuntimeError:
        lock.release()
        os._exit(7)
    os._exit(1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
lock.check()
print(probe(folder)[0])
lock.release()
print(probe(folder)[0])
"""
    process = child(code, tmp_path)
    assert process.communicate(timeout=60)[0].split() == ["7", "running", "stopped"]


def test_failed_release_does_not_hide_the_error_of_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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

"""Workers that write under the lock of another process, as long as that process holds it."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import RenderDirectoryError
from pipeline.store.directory import RenderDirectory
from pipeline.store.holder import Holder
from pipeline.store.lock import JoinedLock, LockToken, probe
from tests.support.torture.fault_cases import noise, small_plan

# Stores one frame of the first chain for every index that it is sent, until it is refused.
# Lines are written in one piece: two processes write into one pipe.
WORKER = """
import pickle, sys
from pipeline.errors import RenderDirectoryError
from pipeline.store.directory import RenderDirectory
from tests.support.torture.fault_cases import noise

def work(folder, token):
    directory = RenderDirectory.open(folder)
    try:
        with directory.join(token):
            sys.stdout.write("joined\\n"), sys.stdout.flush()
            for line in sys.stdin:
                directory.write_frame("a-s000", int(line), noise(int(line)))
                directory.append_stats({"chain": "a-s000", "frame": int(line)})
                sys.stdout.write("stored\\n"), sys.stdout.flush()
    except RenderDirectoryError as error:
        sys.stdout.write("refused\\n"), sys.stdout.flush()
"""
JOIN = f"{WORKER}\nwork(sys.argv[1], pickle.loads(bytes.fromhex(sys.argv[2])))"
# Holds the lock, prints its token, and is killed.
HOLD = """
import pickle, sys
from pipeline.store.directory import RenderDirectory
with RenderDirectory.open(sys.argv[1]).lock() as lock:
    print(pickle.dumps(lock.token).hex(), flush=True)
    sys.stdin.read()
"""
# Holds the lock and forks a worker that outlives it; prints its own process id.
FORK = f"""{WORKER}
import os, signal
with RenderDirectory.open(sys.argv[1]).lock() as lock:
    token = lock.token
    if os.fork() == 0:
        work(sys.argv[1], token)
        os._exit(0)
    sys.stdout.write(f"{{os.getpid()}}\\n"), sys.stdout.flush()
    signal.pause()
"""


class Child:
    """A Python process that is sent lines and answers with lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def answer(self, line: str = "") -> str:
        assert self.process.stdin is not None and self.process.stdout is not None
        if line:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@contextmanager
def child(code: str, *arguments: str | Path) -> Iterator[Child]:
    words = [sys.executable, "-c", code, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, cwd=Path(__file__).parents[1]) as process:
        try:
            yield Child(process)
        finally:
            process.kill()


def pickled(token: LockToken) -> str:
    return pickle.dumps(token).hex()


@pytest.fixture
def directory(tmp_path: Path) -> RenderDirectory:
    return RenderDirectory.create(tmp_path / "x.render", small_plan())


def test_worker_writes_until_the_holder_releases_the_lock(directory: RenderDirectory) -> None:
    with directory.lock() as lock, child(JOIN, directory.path, pickled(lock.token)) as worker:
        assert worker.answer() == "joined"
        assert [worker.answer("0"), worker.answer("1")] == ["stored", "stored"]
        directory.write_frame("a-s001", 4, noise(4))  # the holder writes too
        lock.release()
        assert worker.answer("2") == "refused"
    assert directory.stored(directory.plan.chains[0]) == {0, 1}
    assert all(np.array_equal(directory.read_frame("a-s000", index), noise(index)) for index in (0, 1))
    assert [record["frame"] for record in directory.read_stats()] == [0, 1]


def test_worker_writes_lines_of_the_holders_session(directory: RenderDirectory) -> None:
    with directory.lock() as lock, child(JOIN, directory.path, pickled(lock.token)) as worker:
        assert [worker.answer(), worker.answer("0")] == ["joined", "stored"]
        assert [record["session"] for record in directory.read_stats()] == [lock.token.holder.session]


def test_worker_is_refused_when_the_holder_is_killed_and_after_another_takes_over(directory: RenderDirectory) -> None:
    with child(HOLD, directory.path) as holder, child(JOIN, directory.path, token := holder.answer()) as worker:
        assert [worker.answer(), worker.answer("0")] == ["joined", "stored"]
        with child(JOIN, directory.path, token) as second:
            assert second.answer() == "joined"
            holder.process.kill()
            holder.process.wait()
            assert worker.answer("1") == "refused"
            with directory.lock():
                assert second.answer("1") == "refused"
    assert directory.stored(directory.plan.chains[0]) == {0}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_worker_does_not_keep_the_lock_of_its_killed_parent(directory: RenderDirectory) -> None:
    with child(FORK, directory.path) as parent:
        first, second = sorted([parent.answer(), parent.answer()], reverse=True)
        assert first == "joined"
        assert parent.answer("0") == "stored"
        os.kill(int(second), signal.SIGKILL)
        parent.process.wait()
        assert parent.answer("1") == "refused"
    assert probe(directory.path) == ("stopped", None)
    assert directory.stored(directory.plan.chains[0]) == {0}


@pytest.mark.parametrize("change", [{"session": "0" * 16}, {"pid": 1}, {"host": "far-away"}], ids=str)
def test_forged_token_is_refused(directory: RenderDirectory, change: dict[str, str | int]) -> None:
    with directory.lock() as lock:
        forged = LockToken(dataclasses.replace(lock.token.holder, **change))  # type: ignore[arg-type]
        with child(JOIN, directory.path, pickled(forged)) as worker:
            assert worker.answer() == "refused"
        lock.check()


def test_token_of_a_previous_holding_is_refused(directory: RenderDirectory) -> None:
    with directory.lock() as lock:
        token = lock.token
    with pytest.raises(RenderDirectoryError), directory.join(token):
        pass
    other = RenderDirectory.open(directory.path)
    with directory.lock(), pytest.raises(RenderDirectoryError), other.join(token):
        pass


def test_token_needs_the_lock_and_writing_needs_the_block(directory: RenderDirectory) -> None:
    other = RenderDirectory.open(directory.path)
    with directory.lock() as lock:
        with other.join(lock.token):
            other.write_frame("a-s000", 0, noise(0))
        with pytest.raises(RuntimeError):
            other.write_frame("a-s000", 1, noise(1))
    with pytest.raises(RuntimeError):
        lock.token  # noqa: B018 - the property raises


def test_worker_is_refused_when_the_directory_was_moved(directory: RenderDirectory) -> None:
    other = RenderDirectory.open(directory.path)
    with directory.lock() as lock, other.join(lock.token):
        directory.path.rename(directory.path.with_name("moved"))
        with pytest.raises(RenderDirectoryError, match="vanished"):
            other.write_frame("a-s000", 0, noise(0))


def test_worker_on_another_machine_writes_while_the_file_names_its_holder(tmp_path: Path) -> None:
    """There the system's lock may not be seen; no other process takes the lock while that name is in the file."""
    far = Holder(7, "far-away", "other machine", "other boot", "2026-01-01T00:00:00+00:00", "s", "tempera render")
    (tmp_path / "lock").write_bytes(far.to_json())
    joined = JoinedLock(tmp_path, LockToken(far))
    joined.check()
    (tmp_path / "lock").write_bytes(b"")
    with pytest.raises(RenderDirectoryError):
        joined.check()


def test_worker_does_not_repair_the_statistics_of_others(directory: RenderDirectory) -> None:
    with directory.lock() as held:
        directory.append_stats({"chain": "a-s000", "frame": 0})
        with directory.stats_path.open("ab") as file:
            file.write(b'{"chain": "a-s0')  # another process is about to write the rest
        worker = RenderDirectory.open(directory.path)
        with worker.join(held.token):
            worker.append_stats({"chain": "a-s000", "frame": 1})
        assert b'{"chain": "a-s0{' in directory.stats_path.read_bytes()

"""One render directory, one process at a time.

Two things guard a render directory. The operating system's lock on the file `lock` is exact on one machine and vanishes
with its process, however that one died. What is written in the file says who holds it, for messages, and guards
against another machine on a shared file system, where the system's lock may not reach: there the holder must have let
go, or a person must delete the file.
"""

from __future__ import annotations

import datetime
import errno
import hashlib
import json
import os
import secrets
import shlex
import socket
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pipeline.errors import RenderDirectoryError, TemperaError
from pipeline.runtime import atomic

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from types import TracebackType

LOCK_NAME: Final = "lock"
LockState = Literal["running", "stopped", "unknown"]

# `probe` holds a shared lock for an instant; who wants the real one waits that long before believing it is taken.
_TRIES: Final = 8
_PAUSE_S: Final = 0.05
_MAX_COMMAND: Final = 1000
_MAX_HOLDER_BYTES: Final = 1 << 16
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})


@dataclass(frozen=True, slots=True)
class Holder:
    """Who works in a render directory: for messages, and to tell this machine from another."""

    pid: int
    host: str
    machine: str
    """A hash of what identifies the machine, the same after a reboot."""
    boot: str
    """A hash of what identifies this run of the machine's kernel, the same in all of its containers."""
    since: str
    """UTC, ISO 8601."""
    session: str
    """Random, new for every holding of the lock; marks the lines of `stats.jsonl`."""
    command: str

    def same_machine(self) -> bool:
        """Whether this holder ran on the machine we are on: then the system's lock is exact."""
        host, machine, boot = _here()
        return (bool(self.boot) and self.boot == boot) or (self.host == host and self.machine == machine)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}: {self.command}"


class RenderLock:
    """The lock of one render directory; a context manager, held until the block ends or the process dies.

    Entering raises RenderDirectoryError if another process, another `RenderLock` of this process or another machine
    holds it, and WriteError if the lock file cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self.path: Final = Path(directory) / LOCK_NAME
        self.holder: Holder | None = None
        self._descriptor: int | None = None

    def __enter__(self) -> RenderLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.release()
        except TemperaError as second:
            if error is None:
                raise
            error.add_note(str(second))  # what went wrong first is what the user must see

    def acquire(self) -> None:
        """Take the lock, or raise as the class says; never waits longer than half a second."""
        if self._descriptor is not None:
            raise RuntimeError("this lock is already held")
        try:
            self._acquire()
        except OSError as error:
            raise atomic.explain(error, self.path) from error

    def _acquire(self) -> None:
        for attempt in range(_TRIES):
            descriptor = atomic.open_shared(self.path)
            try:
                if _try_lock(descriptor, self.path):
                    if _is_file_at(descriptor, self.path):
                        self._enter_name(descriptor)
                        self._descriptor = descriptor
                        return
                    continue  # the file was replaced between opening and locking it: what we hold guards nothing
                holder = _read_holder(descriptor)
            finally:
                if self._descriptor is None:
                    atomic.close(descriptor)
            if attempt + 1 < _TRIES:
                time.sleep(_PAUSE_S)
        who = str(holder) if holder else "another process"
        raise RenderDirectoryError(
            f"{self.path.parent}: another process is working here ({who})",
            hint="wait until it is done, or stop it and run the same command again; `tempera status` shows progress",
        )

    def release(self) -> None:
        """Let go; does nothing if the lock is not held."""
        descriptor, holder = self._descriptor, self.holder
        if descriptor is None or holder is None:
            return
        self._descriptor = self.holder = None
        try:
            # A forked child shares our lock: it must neither unlock it for us nor say that we are done.
            try:
                if holder.pid == os.getpid():
                    # An empty file tells other machines that we are done. If we were robbed, it is not ours to empty.
                    if _read_holder(descriptor) == holder:
                        atomic.truncate(descriptor, 0)
                    _unlock(descriptor)
            finally:
                atomic.close(descriptor)
        except OSError as error:
            raise atomic.explain(error, self.path) from error

    def check(self) -> None:
        """Raise RenderDirectoryError if the lock is no longer ours: then somebody else may be working here.

        That is so when its file was deleted to take over, or when another machine wrote its name into it.
        """
        if self._descriptor is None:
            raise RuntimeError("this lock is not held")
        if not _is_file_at(self._descriptor, self.path):
            if not self.path.parent.is_dir():
                raise RenderDirectoryError(
                    f"{self.path.parent}: the render directory has vanished",
                    hint="was it moved, or its disk unplugged? bring it back, then run the same command again",
                )
            raise RenderDirectoryError(
                f"{self.path}: the lock was removed while this render was working",
                hint="was it taken over by another process? if not, run the same command again to continue",
            )
        holder = _read_holder(self._descriptor)
        if holder != self.holder:
            raise RenderDirectoryError(
                f"{self.path}: the lock was taken over while this render was working ({holder or 'by nobody we know'})",
                hint="leave the render to that process, or stop it and run the same command again to continue",
            )

    def _enter_name(self, descriptor: int) -> None:
        """Write who we are into the locked file, unless another machine has not let go of it."""
        last = _read_holder(descriptor)
        if last is not None and not last.same_machine():
            seen = _utc(os.fstat(descriptor).st_mtime)
            raise RenderDirectoryError(
                f"{self.path.parent}: another machine is working here, or died doing so ({last}; lock written {seen})",
                hint=f"if it no longer runs, delete {self.path} to take over, then run the same command again",
            )
        host, machine, boot = _here()
        holder = Holder(
            pid=os.getpid(),
            host=host,
            machine=machine,
            boot=boot,
            since=_utc(time.time()),
            session=secrets.token_hex(8),
            command=shlex.join(sys.argv)[:_MAX_COMMAND],
        )
        os.lseek(descriptor, 0, os.SEEK_SET)
        atomic.truncate(descriptor, 0)
        atomic.write_all(descriptor, json.dumps(asdict(holder)).encode("ascii"))
        atomic.sync(descriptor)
        self.holder = holder


def probe(directory: Path) -> tuple[LockState, Holder | None]:
    """Whether somebody works in a render directory, without taking its lock and without writing anything.

    "unknown" means that another machine holds it, or died holding it: from here there is no telling.
    Raises RenderDirectoryError if the lock file cannot be read.
    """
    path = Path(directory) / LOCK_NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return "stopped", None
    except OSError as error:
        raise RenderDirectoryError(
            f"{path}: cannot be read ({error.strerror})", hint="check the permissions of the render directory"
        ) from error
    try:
        holder = _read_holder(descriptor)
        if not _try_lock(descriptor, path, shared=True):
            return "running", holder
        _unlock(descriptor)
    finally:
        os.close(descriptor)
    if holder is not None and not holder.same_machine():
        return "unknown", holder
    return "stopped", None


if sys.platform == "win32":
    # Windows locks are mandatory: this byte lies far behind the text, so that others can still read who holds it.
    _BYTE: Final = 1 << 30

    def _try_lock(descriptor: int, path: Path, *, shared: bool = False) -> bool:  # noqa: ARG001 - Windows has only one kind
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EDEADLK, errno.EAGAIN}:
                return False
            raise _no_locks(error, path) from error
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:

    def _try_lock(descriptor: int, path: Path, *, shared: bool = False) -> bool:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise _no_locks(error, path) from error
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _no_locks(error: OSError, path: Path) -> RenderDirectoryError:
    if error.errno in _NO_LOCKS:
        return RenderDirectoryError(
            f"{path}: this file system has no locks, so two renders could overwrite each other ({error.strerror})",
            hint="put the render directory on a local disk with --workdir; the video itself may go anywhere",
        )
    return RenderDirectoryError(
        f"{path}: cannot be locked ({error.strerror})", hint="put the render directory on a local disk with --workdir"
    )


def _is_file_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one that has this name."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), named)


def _read_holder(descriptor: int) -> Holder | None:
    """What the lock file says; None if it is empty or was torn by a crash in mid-write (nobody had begun to work)."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        data = json.loads(os.read(descriptor, _MAX_HOLDER_BYTES))
        holder = Holder(**data)
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(holder.pid, int) or not all(
        isinstance(value, str) for value in list(asdict(holder).values())[1:]
    ):
        return None
    return holder


def _here() -> tuple[str, str, str]:
    """Name of this machine, and hashes of what identifies it and the current run of its kernel ("" if unknown)."""
    host = socket.gethostname()
    machine = _text(Path("/etc/machine-id")) or f"{uuid.getnode():x}"
    return host, _digest(machine), _digest(_text(Path("/proc/sys/kernel/random/boot_id")))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""  # not this kind of system: the caller has another way to tell machines apart


def _digest(text: str) -> str:
    return hashlib.sha256(f"tempera {text}".encode()).hexdigest()[:16] if text else ""


def _utc(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")

"""One render directory, one process at a time; and the workers to which that process hands the right to write.

Two things guard a render directory: the operating system's lock on the file `lock` (`system_lock`), and the name in
that file (`holder`), which says who holds it and guards against other machines on a shared file system.

A worker process joins with the holder's token. It holds nothing itself: before every write it compares the name in the
file with the token, and on the holder's machine it checks that the system's lock is still held. So it may write as long
as its holder lives and holds the lock. A write that has begun when the holder dies is completed or fails as any other.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pipeline.errors import RenderDirectoryError, TemperaError
from pipeline.runtime import atomic
from pipeline.store.disk_errors import refused_read, writing
from pipeline.store.holder import Holder, read_holder, utc
from pipeline.store.system_lock import is_file_at, try_lock, unlock

if TYPE_CHECKING:
    from types import TracebackType

LOCK_NAME: Final = "lock"
LockState = Literal["running", "stopped", "unknown"]

# `probe` holds a shared lock for an instant; `acquire` tries again for this long before it takes the lock for held.
_TRIES: Final = 8
_PAUSE_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class LockToken:
    """The right to write in a render directory while this holder holds its lock; can be pickled."""

    holder: Holder


class RenderLock:
    """The lock of one render directory; a context manager, held until the block ends or the process dies.

    Entering raises RenderDirectoryError if another process, another `RenderLock` of this process or another machine
    holds it, and WriteError if the lock file cannot be written. A forked child does not hold its parent's lock.
    """

    def __init__(self, directory: Path) -> None:
        self.path: Final = Path(directory) / LOCK_NAME
        self.holder: Holder | None = None
        self._descriptor: int | None = None
        self._reading: Final = threading.Lock()

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
            error.add_note(str(second))  # the user must see what went wrong first

    @property
    def token(self) -> LockToken:
        """What a worker process joins with (see `JoinedLock`); RuntimeError if the lock is not held."""
        if self.holder is None:
            raise RuntimeError("this lock is not held")
        return LockToken(self.holder)

    def acquire(self) -> None:
        """Take the lock, or raise as the class says; never waits longer than half a second."""
        if self._descriptor is not None:
            raise RuntimeError("this lock is already held")
        with writing(self.path):
            self._acquire()
        _HELD.add(self)

    def _acquire(self) -> None:
        holder: Holder | None = None
        for attempt in range(_TRIES):
            descriptor = atomic.open_shared(self.path)
            try:
                if try_lock(descriptor, self.path):
                    if is_file_at(descriptor, self.path):
                        self.holder = self._write_holder(descriptor)
                        self._descriptor = descriptor
                        return
                    continue  # the file was replaced between opening and locking it: locking that one guards nothing
                holder = read_holder(descriptor)
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

    def _write_holder(self, descriptor: int) -> Holder:
        """Write this process into the locked file, unless another machine has not let go of it."""
        previous = read_holder(descriptor)
        if previous is not None and not previous.on_this_machine():
            written = utc(os.fstat(descriptor).st_mtime)
            raise RenderDirectoryError(
                f"{self.path.parent}: another machine is working here, or died doing so ({previous}; lock written "
                f"{written})",
                hint=f"if it no longer runs, delete {self.path} to take over, then run the same command again",
            )
        holder = Holder.here()
        os.lseek(descriptor, 0, os.SEEK_SET)
        atomic.truncate(descriptor, 0)
        atomic.write_all(descriptor, holder.to_json())
        atomic.sync(descriptor)
        return holder

    def release(self) -> None:
        """Let go; does nothing if the lock is not held."""
        descriptor, holder = self._descriptor, self.holder
        if descriptor is None:
            return
        self._descriptor = self.holder = None
        with writing(self.path):
            try:
                # An empty file tells other machines that we are done. If another took over, the name is its own.
                if read_holder(descriptor) == holder:
                    atomic.truncate(descriptor, 0)
                unlock(descriptor)
            finally:
                atomic.close(descriptor)

    def check(self) -> None:
        """Raise RenderDirectoryError if the lock is no longer ours: then another process may be working here.

        That is so when its file was deleted to take over, or when another machine wrote its name into it. May be
        called from several threads.
        """
        if self._descriptor is None:
            raise RuntimeError("this lock is not held")
        if not is_file_at(self._descriptor, self.path):
            if not self.path.parent.is_dir():
                raise _vanished(self.path.parent)
            raise RenderDirectoryError(
                f"{self.path}: the lock was removed while this render was working",
                hint="was it taken over by another process? if not, run the same command again to continue",
            )
        with self._reading:  # two threads that read the file by one descriptor would move each other's position
            holder = read_holder(self._descriptor)
        if holder != self.holder:
            raise RenderDirectoryError(
                f"{self.path}: the lock was taken over while this render was working ({holder or 'no name in it'})",
                hint="leave the render to that process, or stop it and run the same command again to continue",
            )

    def forget(self) -> None:
        """In a forked child: do not keep the parent's lock alive. The parent still holds it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = self.holder = None


class JoinedLock:
    """A worker's right to write under the lock of another process; raises as `check` if there is none."""

    def __init__(self, directory: Path, token: LockToken) -> None:
        self.path: Final = Path(directory) / LOCK_NAME
        self.holder: Final = token.holder
        self.check()

    def check(self) -> None:
        """Raise RenderDirectoryError unless the token's holder lives and holds the lock.

        Of a holder on another machine only the name in the file can be checked. No other process takes the lock while
        that name stands there.
        """
        state, holder = probe(self.path.parent)
        if state != "stopped" and holder == self.holder:
            return
        if not self.path.parent.is_dir():
            raise _vanished(self.path.parent)
        raise RenderDirectoryError(
            f"{self.path}: its holder no longer holds this lock, so its workers may not write ({self.holder}; now: "
            f"{holder or state})",
            hint="run the same command again to continue",
        )


def probe(directory: Path) -> tuple[LockState, Holder | None]:
    """Whether a process works in a render directory, without taking its lock and without writing anything.

    "unknown" means that another machine holds it, or died holding it: from here there is no telling.
    Raises RenderDirectoryError if the lock file cannot be read.
    """
    path = Path(directory) / LOCK_NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return "stopped", None
    except OSError as error:
        raise refused_read(path, error, hint="check the permissions of the render directory") from error
    try:
        holder = read_holder(descriptor)
        if not try_lock(descriptor, path, shared=True):
            return "running", holder
        unlock(descriptor)
    finally:
        os.close(descriptor)
    if holder is not None and not holder.on_this_machine():
        return "unknown", holder
    return "stopped", None


def _vanished(directory: Path) -> RenderDirectoryError:
    return RenderDirectoryError(
        f"{directory}: the render directory has vanished",
        hint="was it moved, or its disk unplugged? bring it back, then run the same command again",
    )


_HELD: Final[weakref.WeakSet[RenderLock]] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in _HELD:
        lock.forget()


if hasattr(os, "register_at_fork"):
    # The system's lock lives as long as any process has the file open. A forked worker that outlives its killed parent
    # would keep the lock held, and its own right to write with it.
    os.register_at_fork(after_in_child=_forget_all)

"""Results that exist complete or not at all: written beside their path and moved there when they are complete.

Results lie in folders of the user, where no render's lock tells who is writing. So every partial file is locked by the
process that writes it, and one that is not locked was left by a process that was killed and may be removed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import WriteError
from pipeline.runtime import atomic

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator

_HINTS = {
    errno.ENOSPC: "free some space, or choose another disk with -o; stylized frames are kept",
    errno.EDQUOT: "your disk quota is used up: free some space, or choose another disk with -o",
    errno.EFBIG: "the file grew beyond what this disk or your limits allow; choose another disk or a higher output.crf",
    errno.EACCES: "choose a folder that you may write to with -o, or change its permissions",
    errno.EPERM: "choose a folder that you may write to with -o, or change its permissions",
    errno.EROFS: "the disk is read-only: choose another folder with -o",
    errno.ENOENT: "the folder is gone or cannot be created: choose another one with -o",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another path with -o",
    errno.EISDIR: "there is a folder of this name: choose another name with -o",
    errno.ENAMETOOLONG: "choose a shorter name with -o",
}
_SHOWN_NAME: Final = 40
_TRIES: Final = 8


def write_error(path: Path, error: Exception, doing: str = "writing") -> WriteError:
    """The WriteError for what the operating system or a codec reported while working on `path`."""
    code: int = getattr(error, "errno", None) or 0
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    hint = _HINTS.get(code, "run `tempera doctor` for the codecs that work here, or try another -o")
    return WriteError(f"{path}: {doing} failed: {reason}", hint=hint)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of an empty partial file; when the block succeeds it becomes `path`, otherwise it is removed.

    Missing parent folders are created, and partial files that killed processes left for `path` are removed. The data
    and the name are flushed to the disk (see `atomic.publish`). Two processes may write the same `path`: the last one
    to finish wins. Raises WriteError.
    """
    with _partial(path, folder=False, named=path) as partial:
        yield partial
        with _explained(path):
            atomic.publish(partial, path)


@contextmanager
def filling(path: Path) -> Iterator[Path]:
    """Yield an empty partial folder; when the block succeeds its files move beside `path`, one after the other.

    `path` is a name with a number, as `out/%05d.png`. Files of other names stay. Raises WriteError.
    """
    with _partial(path, folder=True, named=path.parent) as partial:
        yield partial
        with _explained(path.parent):
            for file in sorted(partial.iterdir()):
                atomic.sync_file(file)
                atomic.replace(file, path.parent / file.name)
            atomic.sync_folder(path.parent)


def leftovers(path: Path) -> list[Path]:
    """Partial files and folders for `path` that killed processes left behind."""
    found = []
    for entry in _partials(path):
        with _abandoned(entry) as abandoned:
            if abandoned:
                found.append(entry)
    return found


def remove_leftovers(path: Path) -> None:
    """Remove the leftovers for `path`, as far as the system allows."""
    for entry in _partials(path):
        with _abandoned(entry) as abandoned:
            if abandoned:
                _remove(entry)


@contextmanager
def _partial(path: Path, *, folder: bool, named: Path) -> Iterator[Path]:
    """Yield a new partial of `path`, locked; afterwards whatever is left of it is removed. Errors speak of `named`."""
    with _explained(named):
        atomic.make_folders(path.parent)
        remove_leftovers(path)
        partial, descriptor = _begin(path, folder=folder)
    try:
        yield partial
    finally:
        try:
            _remove(partial)  # nothing, if it has become `path`
        finally:
            _close(descriptor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


def _begin(path: Path, *, folder: bool) -> tuple[Path, int]:
    """Create the partial of `path` and lock it; returns it with the descriptor of the lock (-1: no lock)."""
    for _ in range(_TRIES):
        partial = path.with_name(f"{_stem(path)}{secrets.token_hex(4)}.partial{path.suffix}")
        if folder:
            atomic.make_folder(partial)
        else:
            atomic.close(atomic.create(partial))
        # Another process that looks for leftovers right now may take it for one: then the next try has another name.
        with suppress(FileNotFoundError):
            descriptor = _open(partial, folder=folder)
            if _lock(descriptor) and partial.exists():
                return partial, descriptor
            _close(descriptor)
    raise OSError(errno.EBUSY, "partial files are removed as soon as they are made")


def _remove(partial: Path) -> None:
    """Remove a partial file or folder if it exists; one that cannot be removed is harmless, and tried again later."""
    with suppress(OSError):
        if partial.is_dir():
            atomic.remove_folder(partial)
        else:
            atomic.remove(partial)


def _stem(path: Path) -> str:
    """How the name of a partial begins: hidden, readable, not too long, and another one for every `path`."""
    name = path.name.replace("%", "")
    return f".{name[:_SHOWN_NAME]}.{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]}."


def _partials(path: Path) -> list[Path]:
    """Everything beside `path` that has the name of a partial of it."""
    pattern = re.compile(re.escape(_stem(path)) + r"[0-9a-f]{8}\.partial" + re.escape(path.suffix), re.DOTALL)
    try:
        return [entry for entry in path.parent.iterdir() if pattern.fullmatch(entry.name)]
    except OSError:
        return []


def _open(partial: Path, *, folder: bool) -> int:
    """A descriptor to lock a partial with, or -1. Files are opened for writing: some network disks require that."""
    if sys.platform == "win32":
        return -1  # a file that is open there cannot be renamed
    return os.open(partial, (os.O_RDONLY if folder else os.O_RDWR) | os.O_CLOEXEC)


def _close(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock an open file; False if another process has. True also where there are no such locks."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def _abandoned(partial: Path) -> Iterator[bool]:
    """Whether no process writes it, which stays so inside the block; False where the system cannot tell."""
    if sys.platform == "win32":
        yield False
        return
    try:
        descriptor = os.open(partial, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)

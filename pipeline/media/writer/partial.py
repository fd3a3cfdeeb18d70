"""Complete or not there at all: results are written beside their place and moved into it when they are whole."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import WriteError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator

_HINTS = {
    errno.ENOSPC: "free some space, or choose another disk with -o; painted frames are kept",
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
    and the name are flushed to the disk, so that after a power cut either the old file or the whole new one is there.
    Two processes that write the same `path` do not meet: the last one to finish wins. Raises WriteError.
    """
    try:
        make_folders(path.parent)
        sweep_partials(path)
        partial, descriptor = _begin(path, folder=False)
    except OSError as error:
        raise write_error(path, error) from error
    try:
        yield partial
        try:
            sync(partial)
            replace(partial, path)
            sync(path.parent)
        except OSError as error:
            raise write_error(path, error) from error
    except BaseException:
        with suppress(OSError):  # what went wrong first matters; the next one who writes `path` sweeps
            remove(partial)
        raise
    finally:
        _end(descriptor)


@contextmanager
def filling(path: Path) -> Iterator[Path]:
    """Yield an empty partial folder; when the block succeeds its files move beside `path`, one after the other.

    `path` is a name with a number, as `out/%05d.png`. Files of other names stay. Raises WriteError.
    """
    try:
        make_folders(path.parent)
        sweep_partials(path)
        partial, descriptor = _begin(path, folder=True)
    except OSError as error:
        raise write_error(path.parent, error) from error
    try:
        yield partial
        try:
            for file in sorted(partial.iterdir()):
                sync(file)
                replace(file, path.parent / file.name)
            sync(path.parent)
        except OSError as error:
            raise write_error(path.parent, error) from error
    finally:
        try:
            with suppress(OSError):
                remove(partial)
        finally:
            _end(descriptor)


def leftovers(path: Path) -> list[Path]:
    """Partial files and folders for `path` that nobody writes any more: left by processes that were killed."""
    found = []
    for entry in _partials(path):
        with _abandoned(entry) as abandoned:
            if abandoned:
                found.append(entry)
    return found


def sweep_partials(path: Path) -> None:
    """Remove the leftovers for `path`."""
    for entry in _partials(path):
        with _abandoned(entry) as abandoned, suppress(OSError):  # what cannot be removed is in nobody's way
            if abandoned:
                remove(entry)


# --- what touches the disk: short functions, so that tests can make each of them fail -------------------------------


def make_folders(path: Path) -> None:
    """Create a folder and its missing parents."""
    path.mkdir(parents=True, exist_ok=True)


def create(path: Path, *, folder: bool) -> int:
    """Create a new file, or a new folder, and return a descriptor of it (-1 for a folder on Windows)."""
    if not folder:
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o666)
    path.mkdir()
    return -1 if os.name == "nt" else os.open(path, os.O_RDONLY)


def replace(old: Path, new: Path) -> None:
    """Rename a file over another one, in one step."""
    old.replace(new)


def remove(path: Path) -> None:
    """Remove a file, or a folder with what is in it; it is fine if it is not there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk, as far as its file system can."""
    folder = path.is_dir()
    if folder and os.name == "nt":  # Windows has no handle for a folder
        return
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FAT file systems cannot flush a folder and say so; a file they must.
        if not folder or error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


# --- names, and who is writing --------------------------------------------------------------------------------------


def _begin(path: Path, *, folder: bool) -> tuple[Path, int]:
    """Create the partial of `path` and lock it, so that others see that somebody is writing it."""
    for _ in range(_TRIES):
        partial = path.with_name(f"{_stem(path)}{secrets.token_hex(4)}.partial{path.suffix}")
        descriptor = create(partial, folder=folder)
        if _lock(descriptor) and partial.exists():
            return partial, descriptor
        _end(descriptor)  # somebody looked for leftovers in this very moment, and took it for one
        remove(partial)
    raise OSError(errno.EBUSY, "partial files are removed as soon as they are made")


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


def _lock(descriptor: int) -> bool:
    """Lock an open file; False if somebody else has. True also where there are no such locks."""
    if sys.platform == "win32":
        return True  # an open file cannot be removed there anyway
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def _abandoned(partial: Path) -> Iterator[bool]:
    """Whether nobody writes it, which stays so inside the block; False where the system cannot tell."""
    if sys.platform == "win32":
        yield True
        return
    try:
        descriptor = os.open(partial, os.O_RDONLY | os.O_NONBLOCK)
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


def _end(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)

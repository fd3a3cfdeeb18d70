"""Atomic and durable writing: a file is complete or does not exist. Every temporary file, flush and rename is here.

The steps are a temporary file in the same folder, all the bytes, a flush of the file, a rename over the old name and a
flush of the folder. `write_bytes` does all of it; where a library writes the file itself (PyAV, Pillow, a download),
`publish` does what follows the bytes. Every change to a disk is one of the short functions in `OPERATIONS`, so that the
tests can make each of them fail in turn.

All functions raise OSError; callers turn it into an error that names the file's purpose and gives a hint.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import sys
from pathlib import Path
from typing import Final

if sys.platform == "darwin":
    import fcntl

OPERATIONS: Final = (
    *("create", "open_append", "open_shared", "write", "truncate", "sync", "close", "sync_file", "replace"),
    *("move_folder", "sync_folder", "remove", "remove_folder", "make_folder"),
)
"""Names of the functions here that change a disk."""

_TEMPORARY: Final = re.compile(r"^\..+\.[0-9a-f]{16}\.tmp$", re.DOTALL)
# What file systems answer that have no such flush: a FAT or network disk for a folder, a network disk for F_FULLFSYNC.
_NO_SUCH_FLUSH: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY})
_BINARY: Final[int] = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def create(path: Path) -> int:
    """Create a new file for writing and return its descriptor; an existing file is an error."""
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY, 0o666)


def open_append(path: Path) -> int:
    """Open a file, created if it is missing, for reading and for writing at its end; return its descriptor."""
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | _BINARY, 0o666)


def open_shared(path: Path) -> int:
    """Open a file, created if it is missing, for reading and writing in place; return its descriptor."""
    return os.open(path, os.O_CREAT | os.O_RDWR | _BINARY, 0o666)


def write(descriptor: int, data: bytes | memoryview) -> int:
    """Write as many bytes as the system accepts in one call and return how many that was."""
    return os.write(descriptor, data)


def truncate(descriptor: int, size: int) -> None:
    """Cut an open file to `size` bytes."""
    os.ftruncate(descriptor, size)


def sync(descriptor: int) -> None:
    """Return when the bytes of an open file are on the disk."""
    _flush(descriptor)


def close(descriptor: int) -> None:
    """Close a descriptor."""
    os.close(descriptor)


def sync_file(path: Path) -> None:
    """Return when the bytes of a closed file are on the disk."""
    descriptor = os.open(path, (os.O_RDWR if os.name == "nt" else os.O_RDONLY) | _BINARY)
    try:
        _flush(descriptor)
    finally:
        os.close(descriptor)


def replace(old: Path, new: Path) -> None:
    """Rename a file over another one, in one step."""
    old.replace(new)


def move_folder(old: Path, new: Path) -> None:
    """Rename a folder; `new` must not exist."""
    old.rename(new)


def sync_folder(path: Path) -> None:
    """Return when the names in a folder are on the disk, as far as its file system can tell."""
    if os.name == "nt":
        return  # Windows cannot open a folder; NTFS journals the rename
    descriptor = os.open(path, os.O_RDONLY | _BINARY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SUCH_FLUSH:
            raise
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file if it exists."""
    path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a folder and everything in it; it must exist."""
    shutil.rmtree(path)


def make_folder(path: Path) -> None:
    """Create one folder inside an existing one, unless it exists already."""
    path.mkdir(exist_ok=True)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, in as many calls as the system needs."""
    rest = memoryview(data)
    while rest:
        accepted = write(descriptor, rest)
        if accepted <= 0:
            raise OSError(errno.EIO, "the system wrote nothing")
        rest = rest[accepted:]


def write_bytes(path: Path, data: bytes) -> None:
    """Make `data` the content of `path`, atomically and durably.

    When this returns, the bytes and the name are on the disk. When it raises, the file is as it was before, or already
    the new one if only the last flush of the folder failed; it is never incomplete.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        descriptor = create(temporary)
        try:
            write_all(descriptor, data)
            sync(descriptor)
        finally:
            close(descriptor)
        _rename(temporary, path)
    except BaseException as error:
        try:
            remove(temporary)
        except OSError as second:
            error.add_note(f"{temporary.name} could not be removed either ({second.strerror})")
        raise


def publish(complete: Path, path: Path) -> None:
    """Make a complete file in the same folder the content of `path`, atomically and durably.

    When it raises, `complete` is still there, or `path` is the new file if only the last flush of the folder failed.
    """
    sync_file(complete)
    _rename(complete, path)


def make_folders(path: Path) -> None:
    """Create a folder and its missing parents, durably. NotADirectoryError names a file that is in the way."""
    folder, missing = path, []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    for folder in reversed(missing):
        make_folder(folder)
        sync_folder(folder.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of `write_bytes` that a crash left in a folder, where no other process writes one."""
    for entry in list(folder.iterdir()):
        if is_temporary(entry.name):
            remove(entry)


def is_temporary(name: str) -> bool:
    """Whether a file name is one that `write_bytes` gives to its temporary files."""
    return _TEMPORARY.match(name) is not None


def _rename(temporary: Path, path: Path) -> None:
    replace(temporary, path)
    sync_folder(path.parent)


def _flush(descriptor: int) -> None:
    if sys.platform == "darwin":
        # macOS's fsync stops at the drive's cache; F_FULLFSYNC does not, but not every file system has it.
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno not in _NO_SUCH_FLUSH:
                raise
        else:
            return
    os.fsync(descriptor)

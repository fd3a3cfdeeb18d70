"""Writing a file so that a crash leaves the old one or the new one, never a third thing.

Every change that the store makes to a disk goes through the short functions at the top of this file, so that tests can
make each of them fail in turn. `write_bytes` is the one recipe: a temporary file in the same folder, all the bytes,
fsync, rename, fsync of the folder.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import sys
from pathlib import Path
from typing import Final

from pipeline.errors import RenderDirectoryError, TemperaError, WriteError

if sys.platform == "darwin":
    import fcntl

_TEMPORARY: Final = re.compile(r"^\..+\.[0-9a-f]{16}\.tmp$", re.DOTALL)
_FULL: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})
_FORBIDDEN: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, getattr(errno, "ESTALE", errno.ENOENT)})
# File systems that have no such thing as flushing a folder say so with one of these; they order renames in their way.
_NO_FOLDER_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_BINARY: Final[int] = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def create(path: Path) -> int:
    """Create a new file for writing and return its descriptor; an existing file is an error."""
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY, 0o666)


def open_append(path: Path) -> int:
    """Open a file, created if need be, for reading and for writing at its end; return its descriptor."""
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | _BINARY, 0o666)


def open_shared(path: Path) -> int:
    """Open a file, created if need be, for reading and writing in place; return its descriptor."""
    return os.open(path, os.O_CREAT | os.O_RDWR | _BINARY, 0o666)


def write(descriptor: int, data: bytes | memoryview) -> int:
    """Write what the system takes in one go and return how many bytes that was."""
    return os.write(descriptor, data)


def truncate(descriptor: int, size: int) -> None:
    """Cut an open file to `size` bytes."""
    os.ftruncate(descriptor, size)


def sync(descriptor: int) -> None:
    """Return when the bytes of an open file are on the disk."""
    if sys.platform == "darwin":
        # macOS's fsync stops at the drive's cache; F_FULLFSYNC does not, but network file systems may not know it.
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise
        else:
            return
    os.fsync(descriptor)


def close(descriptor: int) -> None:
    """Close a descriptor."""
    os.close(descriptor)


def replace(old: Path, new: Path) -> None:
    """Rename a file over another one, in one step."""
    old.replace(new)


def move_folder(old: Path, new: Path) -> None:
    """Rename a folder; `new` must not exist."""
    old.rename(new)


def sync_folder(path: Path) -> None:
    """Return when the names in a folder are on the disk (where the system can say so)."""
    if os.name == "nt":
        return  # Windows cannot open a folder; NTFS journals the rename
    descriptor = os.open(path, os.O_RDONLY | _BINARY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file; it is fine if it is not there."""
    path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Create one folder inside an existing one; it is fine if it is there already."""
    path.mkdir(exist_ok=True)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, however few the system takes at a time."""
    rest = memoryview(data)
    while rest:
        taken = write(descriptor, rest)
        if taken <= 0:
            raise OSError(errno.EIO, "the system wrote nothing")
        rest = rest[taken:]


def write_bytes(path: Path, data: bytes) -> None:
    """Make `data` the content of `path`, atomically and durably.

    When this returns, the bytes and the name are on the disk. When it raises, the file is as it was before, or already
    the new one if only the last flush of the folder failed; there is never a part of it. Raises WriteError (disk full,
    quota, read-only, I/O error) or RenderDirectoryError (the folder has vanished).
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        descriptor = create(temporary)
        try:
            write_all(descriptor, data)
            sync(descriptor)
        finally:
            close(descriptor)
        replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        _discard(temporary, error)
        if isinstance(error, OSError):
            raise explain(error, path) from error
        raise


def make_folders(path: Path) -> None:
    """Create a folder and its missing parents, durably. Raises WriteError; RenderDirectoryError if a file is there."""
    folder = path
    try:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        if not folder.is_dir():
            raise RenderDirectoryError(
                f"{folder}: is a file, expected a folder", hint="move it away, or choose another folder with --workdir"
            )
        for folder in reversed(missing):
            make_folder(folder)
            sync_folder(folder.parent)
    except OSError as error:
        raise explain(error, folder) from error


def sweep(folder: Path) -> int:
    """Remove the temporary files that a crash left in a folder; return how many there were.

    Only the holder of the render's lock may call this: then nobody is in the middle of writing one.
    """
    try:
        leftovers = [entry for entry in folder.iterdir() if is_temporary(entry.name)]
        for entry in leftovers:
            remove(entry)
    except OSError as error:
        raise explain(error, folder) from error
    return len(leftovers)


def is_temporary(name: str) -> bool:
    """Whether a file name is one that `write_bytes` gives to its temporary files."""
    return _TEMPORARY.match(name) is not None


def explain(error: OSError, path: Path) -> TemperaError:
    """The error a user should see when the system refused to write `path`."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return WriteError(
            f"{path}: cannot be written ({reason})",
            hint="free some space, then run the same command again: everything stored is good and the render continues",
        )
    if error.errno in _FORBIDDEN:
        return WriteError(
            f"{path}: cannot be written ({reason})",
            hint="make the folder writable, or choose another one with --workdir or -o",
        )
    if error.errno in _GONE:
        return RenderDirectoryError(
            f"{path}: cannot be written, its folder has vanished ({reason})",
            hint="was it moved, or its disk unplugged? bring it back, then run the same command again to continue",
        )
    return WriteError(
        f"{path}: cannot be written ({reason})",
        hint="check the disk (its system log names failing sectors), then run the same command again to continue",
    )


def _discard(temporary: Path, error: BaseException) -> None:
    """Remove a temporary file after a failure; if that fails too, the next holder of the lock sweeps it."""
    try:
        remove(temporary)
    except OSError as second:
        error.add_note(f"{temporary.name} could not be removed either ({second.strerror})")

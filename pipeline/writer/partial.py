"""Complete or not there at all: results are written beside their place and moved into it when they are whole."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.errors import WriteError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


def write_error(path: Path, error: Exception, doing: str = "writing") -> WriteError:
    """The WriteError for what the operating system or a codec reported while working on `path`."""
    code: int = getattr(error, "errno", None) or 0
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    hint = _HINTS.get(code, "run `tempera doctor` for the codecs that work here, or try another -o")
    return WriteError(f"{path}: {doing} failed: {reason}", hint=hint)


def partial_path(path: Path) -> Path:
    """Where a result is written until it is complete: a hidden file or folder beside it, with the same suffix."""
    return path.with_name(f".{path.name}.partial{path.suffix}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a partial file's path; when the block succeeds it becomes `path`, otherwise it is removed.

    Missing parent folders are created. The data and the name are flushed to the disk, so that after a power cut either
    the old file or the whole new one is there. Raises WriteError.
    """
    partial = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    try:
        yield partial
        try:
            sync(partial)
            partial.replace(path)
            sync(path.parent)
        except OSError as error:
            raise write_error(path, error) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def filling(folder: Path, partial: Path) -> Iterator[Path]:
    """Yield the empty folder `partial`; when the block succeeds its files move into `folder`, one after the other.

    Files of `folder` with other names stay. Raises WriteError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)  # left by a process that was killed
        partial.mkdir()
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        yield partial
        try:
            for file in sorted(partial.iterdir()):
                sync(file)
                file.replace(folder / file.name)
            sync(folder)
        except OSError as error:
            raise write_error(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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

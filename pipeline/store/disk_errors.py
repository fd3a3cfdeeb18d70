"""What a user of a render directory is told when the system refuses to read or write in it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pipeline.errors import RenderDirectoryError, TemperaError, WriteError

_FULL: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})
_FORBIDDEN: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_VANISHED: Final = frozenset({errno.ENOENT, getattr(errno, "ESTALE", errno.ENOENT)})

_SHORTER: Final = "choose a shorter name with -o or --workdir"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Inside the block an OSError becomes the error that `refused_write` makes of it."""
    try:
        yield
    except OSError as error:
        raise refused_write(path, error) from error


def refused_write(path: Path, error: OSError) -> TemperaError:
    """The error when `path` cannot be written: WriteError, or RenderDirectoryError if its folder is not there."""
    reason = error.strerror or str(error)
    what = f"{path}: cannot be written ({reason})"
    if error.errno in _FULL:
        return WriteError(
            what,
            hint="free some space, then run the same command again: everything stored is good and the render continues",
        )
    if error.errno in _FORBIDDEN:
        return WriteError(what, hint="make the folder writable, or choose another one with --workdir or -o")
    if error.errno == errno.ENAMETOOLONG:
        return WriteError(what, hint=_SHORTER)
    if error.errno in _VANISHED:
        return RenderDirectoryError(
            f"{path}: cannot be written, its folder has vanished ({reason})",
            hint="was it moved, or its disk unplugged? bring it back, then run the same command again to continue",
        )
    if error.errno == errno.ENOTDIR:
        return RenderDirectoryError(
            f"{error.filename or path.parent}: is a file, expected a folder",
            hint="move it away, or choose another folder with --workdir",
        )
    return WriteError(
        what, hint="check the disk (its system log names failing sectors), then run the same command again to continue"
    )


def refused_read(path: Path, error: OSError, *, hint: str = "check the disk and the permissions") -> TemperaError:
    """The RenderDirectoryError when `path` cannot be read."""
    if error.errno == errno.ENAMETOOLONG:
        hint = _SHORTER
    return RenderDirectoryError(f"{path}: cannot be read ({error.strerror or error})", hint=hint)

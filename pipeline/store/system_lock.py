"""The operating system's lock on an open file: exact on one machine, and gone with the process that held it."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Final

from pipeline.errors import RenderDirectoryError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})


if sys.platform == "win32":
    # Windows locks are mandatory: this byte lies far behind the text, so that others can still read who holds it.
    _BYTE: Final = 1 << 30

    def try_lock(descriptor: int, path: Path, *, shared: bool = False) -> bool:  # noqa: ARG001 - Windows has only one kind
        """Lock an open file unless it is locked elsewhere; returns whether it did. RenderDirectoryError: no locks."""
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

    def unlock(descriptor: int) -> None:
        """Let go of a lock."""
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:

    def try_lock(descriptor: int, path: Path, *, shared: bool = False) -> bool:
        """Lock an open file unless it is locked elsewhere; returns whether it did. RenderDirectoryError: no locks."""
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise _no_locks(error, path) from error
        return True

    def unlock(descriptor: int) -> None:
        """Let go of a lock."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def is_file_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one that has this name."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), named)


def _no_locks(error: OSError, path: Path) -> RenderDirectoryError:
    if error.errno in _NO_LOCKS:
        return RenderDirectoryError(
            f"{path}: this file system has no locks, so two renders could overwrite each other ({error.strerror})",
            hint="put the render directory on a local disk with --workdir; the video itself may go anywhere",
        )
    return RenderDirectoryError(
        f"{path}: cannot be locked ({error.strerror})", hint="put the render directory on a local disk with --workdir"
    )

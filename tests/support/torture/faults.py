"""Make every disk operation of a piece of work fail once, in every way that operations fail, and check what is left.

`pipeline.runtime.atomic` changes disks only through short functions. Here those are replaced by ones that count, and
one of them fails. A crash also does to the disk what a power cut may do: a file that was not flushed is truncated.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

from pipeline.errors import TemperaError
from pipeline.runtime import atomic

MODES: Final[tuple[int | str, ...]] = (
    *(errno.ENOSPC, errno.EIO, errno.EROFS, errno.ENOENT),
    *("short", "short, then full", "crash before", "crash after"),
)


class Crash(BaseException):
    """The machine lost its power: nothing after this is done, not even cleaning up."""


class Faults:
    """Counts the operations and makes one of them fail; use `installed`.

    `mode`: an errno (the operation is refused), "short" (a write accepts half of the bytes), "short, then full", "crash
    before" or "crash after". A crash also truncates every file that was written and not flushed, as a power cut may.
    """

    def __init__(self, at: int = -1, mode: int | str = "") -> None:
        self.count = 0
        self.fired = self.dead = False
        self.at, self.mode = at, mode
        self.open: dict[int, Path] = {}
        self.unsynced: set[Path] = set()

    @contextmanager
    def installed(self) -> Iterator[Faults]:
        """Inside the block every operation is counted and may fail."""
        with ExitStack() as stack:
            for name in atomic.OPERATIONS:
                stack.enter_context(mock.patch.object(atomic, name, self._failing(name, getattr(atomic, name))))
            yield self

    def _failing(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any) -> Any:
            if self.dead:
                raise Crash
            number, self.count = self.count, self.count + 1
            if number != self.at:
                return self._do(name, real, arguments)
            self.fired = True
            if isinstance(self.mode, int):
                raise OSError(self.mode, os.strerror(self.mode))
            if self.mode.startswith("short"):
                if name == "write":
                    descriptor, data = arguments
                    if self.mode != "short":
                        self.at += 1  # the next write finds the disk full
                        self.mode = errno.ENOSPC
                    return self._do(name, real, (descriptor, data[: len(data) // 2 or 1]))
                return self._do(name, real, arguments)
            if self.mode == "crash after":
                self._do(name, real, arguments)
            self.dead = True
            raise Crash

        return operation

    def _do(self, name: str, real: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        result = real(*arguments)
        match name:
            case "create":
                self.open[result] = arguments[0]
                self.unsynced.add(
                    arguments[0]
                )  # a library may write into it later, through no function that is replaced here
            case "open_append" | "open_shared":
                self.open[result] = arguments[0]
            case "write" | "truncate":
                self.unsynced.add(self.open[arguments[0]])
            case "sync":
                self.unsynced.discard(self.open[arguments[0]])
            case "sync_file":
                self.unsynced.discard(arguments[0])
            case "close":
                del self.open[arguments[0]]
            case "replace":
                if arguments[0] in self.unsynced:
                    self.unsynced.add(arguments[1])
        return result

    def reboot(self) -> None:
        """Do what the crash does to the disk and to the locks of the process that died."""
        for descriptor in self.open:
            os.close(descriptor)
        self.open.clear()
        for path in self.unsynced:
            if self.dead and path.is_file() and path.name != "stats.jsonl":
                os.truncate(path, path.stat().st_size // 2)


@dataclass(frozen=True)
class Case:
    """Something that changes the disk: how its folder is prepared, what is done, and what must hold after any fault.

    The folder is prepared once and copied for every fault, unless `prepare` looks at times and inodes of files
    (`in_place`).
    `check(folder, fault)` checks the folder after one fault, finishes the work, and returns whether it found the "old"
    or the "new" state; it raises AssertionError if it found another.
    """

    name: str
    prepare: Callable[[Path], None]
    work: Callable[[Path], None]
    check: Callable[[Path, str], str]
    in_place: bool = False


def try_every_fault(case: Case) -> Counter[str]:
    """Do the work once for every operation in it and every way to fail; count the "old" and "new" states found."""
    found: Counter[str] = Counter()
    # Whether and when files are flushed is what `Faults` records; thousands of real flushes would only wear a disk.
    with tempfile.TemporaryDirectory() as home, mock.patch.object(os, "fsync", lambda _descriptor: None):
        prepared = Path(home, "prepared")
        prepared.mkdir()
        case.prepare(prepared)

        def fresh(name: str) -> Path:
            folder = Path(home, name)
            if case.in_place:
                folder.mkdir()
                case.prepare(folder)
                return folder
            return shutil.copytree(prepared, folder)

        counting = fresh("counting")
        with Faults().installed() as faults:
            case.work(counting)
        assert faults.count > 1
        for at in range(faults.count):
            for mode in MODES:
                folder = fresh(f"{at}-{mode}")
                with Faults(at, mode).installed() as fault:
                    try:
                        case.work(folder)
                    except Crash:
                        assert fault.dead
                    except TemperaError as error:
                        assert fault.fired
                        assert error.hint
                        assert error.exit_code in (5, 8), error
                assert fault.fired
                fault.reboot()
                found[case.check(folder, f"operation {at}, {mode}")] += 1
    return found

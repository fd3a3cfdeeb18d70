"""Every operation on the disk fails once, in every way that operations fail, and afterwards somebody looks.

`atomic` and `partial` send all their changes through short functions; here those are replaced by ones that count, and
fail when it is their turn. A crash also does to the disk what a power cut may do: what was not synced is torn.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from unittest import mock

from pipeline.errors import TemperaError
from pipeline.media.writer import partial
from pipeline.runtime import atomic

STORE_OPERATIONS: Final = (
    *("create", "open_append", "open_shared", "write", "truncate", "sync", "close", "replace"),
    *("move_folder", "sync_folder", "remove", "make_folder"),
)
WRITER_OPERATIONS: Final = ("make_folders", "create", "sync", "replace", "remove")

MODES: Final[tuple[int | str, ...]] = (
    *(errno.ENOSPC, errno.EIO, errno.EROFS, errno.ENOENT),
    *("short", "short, then full", "crash before", "crash after"),
)


class Crash(BaseException):
    """The machine lost its power: nothing after this is done, not even cleaning up."""


class Faults:
    """Counts the operations and makes one of them fail; use `installed`.

    `mode`: an errno (the operation is refused), "short" (a write takes half), "short, then full", "crash before" or
    "crash after". A crash also tears every file that was written and not synced, as a file system may.
    """

    def __init__(self, at: int = -1, mode: int | str = "") -> None:
        self.count = 0
        self.fired = self.dead = False
        self.at, self.mode = at, mode
        self.open: dict[int, Path] = {}
        self.unsynced: set[Path] = set()

    @contextmanager
    def installed(self) -> Iterator[Faults]:
        """Inside the block every operation goes through here."""
        with ExitStack() as stack:
            for module, names in ((atomic, STORE_OPERATIONS), (partial, WRITER_OPERATIONS)):
                for name in names:
                    failing = self._failing(module, name, getattr(module, name))
                    stack.enter_context(mock.patch.object(module, name, failing))
            yield self

    def _failing(self, module: ModuleType, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            if self.dead:
                raise Crash
            number, self.count = self.count, self.count + 1
            if number != self.at:
                return self._do(module, name, real, arguments, options)
            self.fired = True
            if isinstance(self.mode, int):
                raise OSError(self.mode, os.strerror(self.mode))
            if self.mode.startswith("short"):
                if name == "write":
                    descriptor, data = arguments
                    if self.mode != "short":
                        self.at += 1  # the next write finds the disk full
                        self.mode = errno.ENOSPC
                    return self._do(module, name, real, (descriptor, data[: len(data) // 2 or 1]), options)
                return self._do(module, name, real, arguments, options)
            if self.mode == "crash after":
                self._do(module, name, real, arguments, options)
            self.dead = True
            raise Crash

        return operation

    def _do(
        self, module: ModuleType, name: str, real: Callable[..., Any], arguments: tuple[Any, ...], options: Any
    ) -> Any:
        result = real(*arguments, **options)
        if name == "replace":
            if arguments[0] in self.unsynced:
                self.unsynced.add(arguments[1])
        elif module is partial:
            if name == "create":  # what writes into it is no function of ours
                self.unsynced.add(arguments[0])
            elif name == "sync":
                self.unsynced.discard(arguments[0])
        elif name in ("create", "open_append", "open_shared"):
            self.open[result] = arguments[0]
        elif name == "close":
            del self.open[arguments[0]]
        elif name in ("write", "truncate"):
            self.unsynced.add(self.open[arguments[0]])
        elif name == "sync":
            self.unsynced.discard(self.open[arguments[0]])
        return result

    def reboot(self) -> None:
        """What the crash did to the disk, and to the locks of the process that died."""
        for descriptor in self.open:
            os.close(descriptor)
        self.open.clear()
        for path in self.unsynced:
            if self.dead and path.is_file() and path.name != "stats.jsonl":
                os.truncate(path, path.stat().st_size // 2)


@dataclass(frozen=True)
class Case:
    """Something that changes the disk: how its folder looks before, what is done, and what must hold after any fault.

    `check(folder, fault)` looks at the folder after one fault, finishes the work, and says whether it found the "old"
    or the "new" state; it raises AssertionError where it found another.
    """

    name: str
    prepare: Callable[[Path], None]
    work: Callable[[Path], None]
    check: Callable[[Path, str], str]


def try_every_fault(case: Case) -> Counter[str]:
    """Do the work once for every operation in it and every way to fail, and look; count the "old" and the "new"."""
    found: Counter[str] = Counter()
    # Whether `sync` is called, and when, is what `Faults` watches; thousands of real ones would only wear a disk.
    with tempfile.TemporaryDirectory() as home, mock.patch.object(os, "fsync", lambda _descriptor: None):
        counting = Path(home, "counting")
        counting.mkdir()
        case.prepare(counting)
        with Faults().installed() as faults:
            case.work(counting)
        assert faults.count > 1
        for at in range(faults.count):
            for mode in MODES:
                folder = Path(home, f"{at}-{mode}")
                folder.mkdir()
                case.prepare(folder)
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

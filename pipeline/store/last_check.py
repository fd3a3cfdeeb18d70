"""When the stored frames of a render were last checked, and what was found.

cache/checked.json   written by `tempera verify` and by a render or resume that finds stored frames

It is advisory, like everything in the cache.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pipeline.errors import TemperaError
from pipeline.runtime import atomic
from pipeline.runtime.hashing import canonical_json
from pipeline.store.disk_errors import writing

if TYPE_CHECKING:
    from pipeline.store.directory import RenderDirectory

CHECKED_NAME: Final = "checked.json"
_VERSION_KEY: Final = "tempera_checked"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class LastCheck:
    """A check of stored frames: when it ended (UTC, ISO 8601), how many were read, how many were damaged or missing.

    `repaired`: those were stylized again.
    """

    when: str
    frames: int
    bad: int
    repaired: bool = False

    def in_words(self) -> str:
        """The time, local, and the verdict: `2026-11-21 18:04: 240 frames, all good`."""
        verdict = f"{self.bad} damaged or missing" if self.bad else "all good"
        when = datetime.fromisoformat(self.when).astimezone()
        return f"{when:%Y-%m-%d %H:%M}: {self.frames} frames, {verdict}{', stylized again' * self.repaired}"


def remember_check(directory: RenderDirectory, frames: int, bad: int, *, repaired: bool = False) -> None:
    """Note that a check ends now. Needs no lock; a disk that refuses is ignored."""
    found = LastCheck(datetime.now(UTC).isoformat(timespec="seconds"), frames, bad, repaired)
    path = directory.cache_path / CHECKED_NAME
    with suppress(TemperaError, OSError), writing(path):
        atomic.make_folders(directory.cache_path)
        atomic.write_bytes(path, canonical_json({_VERSION_KEY: _VERSION, **asdict(found)}) + b"\n")


def last_check(directory: RenderDirectory) -> LastCheck | None:
    """What was noted last; None if there is no such note or it makes no sense."""
    try:
        note = json.loads((directory.cache_path / CHECKED_NAME).read_bytes())
        found = LastCheck(str(note["when"]), int(note["frames"]), int(note["bad"]), bool(note["repaired"]))
        if note[_VERSION_KEY] != _VERSION or datetime.fromisoformat(found.when).tzinfo is None:
            return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return found

"""Where the files that a render reads were last, so that they are found after it, or they, were moved.

where.json   the absolute path of the input, and those of style images and weights by their path in the plan

The plan has relative paths only, which hold when everything is moved together. This file helps when it was not. It is
advisory, may be deleted at any time, and says nothing about content: that is checked by digests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.errors import TemperaError
from pipeline.runtime import atomic
from pipeline.runtime.hashing import canonical_json
from pipeline.store.disk_errors import writing

WHERE_NAME: Final = "where.json"
_VERSION_KEY: Final = "tempera_where"
_VERSION: Final = 1
_MAX_BYTES: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class Places:
    """Absolute paths: of the input ("": unknown), and of other files by their path in the plan."""

    input: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


def known_places(path: Path) -> Places:
    """What was remembered in a render directory; nothing if there is no such note or it makes no sense."""
    file = path / WHERE_NAME
    try:
        if file.stat().st_size <= _MAX_BYTES:
            note = json.loads(file.read_bytes())
            places = Places(note["input"], dict(note["files"]))
            if note[_VERSION_KEY] == _VERSION and all(
                isinstance(text, str) for text in (places.input, *places.files, *places.files.values())
            ):
                return places
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass
    return Places()


def remember_places(path: Path, places: Places) -> None:
    """Keep a note for the next command. Needs no lock; a disk that refuses is ignored."""
    if places != known_places(path):
        note = {_VERSION_KEY: _VERSION, "input": places.input, "files": dict(places.files)}
        with suppress(TemperaError), writing(path):
            atomic.write_bytes(path / WHERE_NAME, canonical_json(note) + b"\n")

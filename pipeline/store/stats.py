"""`stats.jsonl`: one line of JSON per stylized frame. Advisory: nothing is ever decided by it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pipeline.runtime import atomic
from pipeline.store.disk_errors import refused_read, writing

if TYPE_CHECKING:
    from pathlib import Path

_TAIL_BYTES: Final = 1 << 16


def append_line(path: Path, record: Mapping[str, Any], *, repair: bool) -> None:
    """Add one record as one line, in a single write.

    With `repair`, first read the end of the file: an incomplete line that a crash left is cut off, and a complete one
    that lacks its newline gets it. Numbers that are not finite are written as null. Raises WriteError if the disk
    refuses.
    """
    line = json.dumps(_finite(record), allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
    with writing(path):
        descriptor = atomic.open_append(path)
        try:
            if repair:
                _repair(descriptor)
            atomic.write_all(descriptor, line)
        finally:
            atomic.close(descriptor)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Every complete record of the file, in order; lines that are not a JSON object are left out.

    A file that is not there has no records. Raises RenderDirectoryError if it cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        hint = "check its permissions; the file is advisory and may be deleted"
        raise refused_read(path, error, hint=hint) from error
    records = (_record(line) for line in data.split(b"\n") if line)
    return [record for record in records if record is not None]


def _repair(descriptor: int) -> None:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    start = max(0, size - _TAIL_BYTES)
    os.lseek(descriptor, start, os.SEEK_SET)
    tail = os.read(descriptor, _TAIL_BYTES)
    if not tail or tail.endswith(b"\n"):
        return
    keep = tail.rfind(b"\n") + 1
    if _record(tail[keep:]) is not None:
        atomic.write_all(descriptor, b"\n")
    else:
        atomic.truncate(descriptor, start + keep)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

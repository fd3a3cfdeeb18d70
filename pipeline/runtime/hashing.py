"""SHA-256 of files and of plain data, and the canonical JSON that makes equal data hash equally."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Plain data as JSON bytes, the same for equal data: keys sorted, no spaces, ASCII, floats by repr.

    Raises ValueError for NaN and infinity, TypeError for values that JSON does not have.
    """
    return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":")).encode("ascii")


def json_digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of plain data, in hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's content, in hex, streamed. Raises OSError."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_digest(paths: Iterable[str | Path]) -> str:
    """SHA-256 of the content of one or more files, joined as `joined_digest` says. Raises OSError.

    Names and times do not matter, only content and order.
    """
    return joined_digest([file_digest(path) for path in paths])


def joined_digest(digests: Sequence[str]) -> str:
    """One digest for several: a single hex digest as it is, else SHA-256 of all of them in order, one per line."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()

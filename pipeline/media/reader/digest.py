"""SHA-256 over the content of an input, streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import InputError
from pipeline.runtime.hashing import file_digest, joined_digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def digest_files(files: Sequence[str | Path]) -> str:
    """SHA-256, in hex, of one file's content, or of the hex digests of several files in order, one a line.

    Names and times do not matter, only content and order. Raises InputError if a file cannot be read.
    """
    return joined_digest([_digest_file(file) for file in files])


def _digest_file(file: str | Path) -> str:
    try:
        return file_digest(file)
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror or error})", hint="check the file and its permissions"
        ) from None

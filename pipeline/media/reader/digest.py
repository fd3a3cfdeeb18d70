"""SHA-256 over the content of an input, streamed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


def digest_files(files: Sequence[str | Path]) -> str:
    """SHA-256, in hex, of one file's content, or of the hex digests of several files in order, one a line.

    Names and times do not matter, only content and order. Raises InputError if a file cannot be read.
    """
    digests = [_digest_file(file) for file in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _digest_file(file: str | Path) -> str:
    try:
        with Path(file).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror or error})", hint="check the file and its permissions"
        ) from None

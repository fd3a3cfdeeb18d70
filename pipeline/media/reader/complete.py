"""Where the pixels of an image file begin and end, without decoding it."""

from __future__ import annotations

import mmap
from hashlib import sha256
from pathlib import Path
from typing import Final

from pipeline.errors import DamagedInputError, InputError

DAMAGE_HINT: Final = "--set input.on_damaged=hold or =skip goes past it"
_PNG_END: Final = b"IEND\xaeB`\x82"
_JPEG_START: Final = b"\xff\xd8"


def check_complete(file: str) -> None:
    """Find a JPEG or PNG that was cut off, without decoding: it must have an end after the start of its pixels.

    Damage between them shows only when it is decoded. Raises DamagedInputError, or InputError if it cannot be read.
    """
    try:
        with Path(file).open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            size = len(data)
            complete = True
            if data[:2] == _JPEG_START:
                # Inside the pixel data 0xFF is always escaped, so the next end marker is the real one. A search from
                # the end of the file would find others: phones append whole videos.
                complete = data.find(b"\xff\xd9", _start_of_scan(data)) >= 0
            elif data[:4] == b"\x89PNG":
                complete = data.rfind(_PNG_END) >= 0
    except (OSError, ValueError) as error:  # removed or emptied since its header was read
        raise InputError(f"{file}: cannot be read ({error})", hint="check the file and its permissions") from None
    if not complete:
        raise DamagedInputError(
            f"{file}: the image is cut off after {size} bytes",
            hint=f"copy or export the file again, or leave it out; or {DAMAGE_HINT}",
        )


def pixels_digest(file: str, *, whole: bool) -> bytes | None:
    """SHA-256 of a file; unless `whole`, of a JPEG only that of its coded pixels, which a change of metadata leaves.

    None if it cannot be read.
    """
    try:
        with Path(file).open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            start = _start_of_scan(data) if data[:2] == _JPEG_START and not whole else 0
            with memoryview(data) as view, view[start:] as coded:
                return sha256(coded).digest()
    except (OSError, ValueError):
        return None


def _start_of_scan(data: mmap.mmap) -> int:
    """Offset of the pixels of a JPEG: after its segments, each of which states its length."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:
            break
        # 0xFF may be repeated as padding; markers 01 and D0 to D7 have no length
        alone = marker == 0x01 or 0xD0 <= marker <= 0xD7
        at += 1 if marker == 0xFF else 2 if alone else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return min(at, len(data))

"""WebP animations whose frames are all equal, which libwebp writes as a still: made animations again.

The chunks are those of the WebP container specification (RFC 9649, section 2.7).
"""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_ANIMATED, _WITH_XMP = 0x02, 0x04
_PICTURE: Final = (b"ALPH", b"VP8 ", b"VP8L")


def keep_duration(file: IO[bytes], size: tuple[int, int], duration_ms: int, *, plays: int) -> None:
    """Make the WebP in a file, of this (width, height) in px, an animation of one frame if it is a still.

    The frame stays for `duration_ms`, below 2^24; `plays` 0: for ever. Raises OSError.
    """
    file.seek(0)
    head = file.read(21)
    if head[12:16] == b"VP8X" and head[20] & _ANIMATED:
        return
    file.seek(12)
    chunks = list(_chunks(file.read()))
    sides = b"".join((side - 1).to_bytes(3, "little") for side in size)
    picture = b"".join(_chunk(name, data) for name, data in chunks if name in _PICTURE)
    xmp = b"".join(_chunk(name, data) for name, data in chunks if name == b"XMP ")
    body = b"".join(
        (
            _chunk(b"VP8X", bytes([_ANIMATED | (_WITH_XMP if xmp else 0), 0, 0, 0]) + sides),
            _chunk(b"ANIM", struct.pack("<IH", 0, plays)),
            _chunk(b"ANMF", bytes(6) + sides + duration_ms.to_bytes(3, "little") + b"\0" + picture),
            xmp,
        )
    )
    file.seek(0)
    file.write(_chunk(b"RIFF", b"WEBP" + body))
    file.truncate()


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The name and the content of chunks that follow each other."""
    at = 0
    while at < len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        yield name, data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack("<4sI", name, len(data)) + data + bytes(len(data) % 2)

"""Reading what an image or a video that Tempera wrote says about its settings; see `pipeline.media.image.record`.

Only the places in which the writer puts it are looked at, and they are bounded: the file may be anybody's.
"""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import av
import av.error

from pipeline.errors import DamagedInputError
from pipeline.media.image.limits import DECODE_ERRORS
from pipeline.media.image.load import open_image
from pipeline.media.image.png import SIGNATURE
from pipeline.media.image.record import MAX_RECORD_BYTES, RECORD_KEY, XMP_UUID, record_in_xmp
from pipeline.media.image.sniff import image_format, read_head

if TYPE_CHECKING:
    from pathlib import Path

_HEAD_BYTES: Final = 1 << 18
"""In PNG, GIF and EXR the record stands before the pixels."""
_LARGEST_XMP: Final = 4 * MAX_RECORD_BYTES
_MOST_BOXES: Final = 100_000
_EBML: Final = b"\x1a\x45\xdf\xa3"
_EXR: Final = b"\x76\x2f\x31\x01"


def read_record(path: Path) -> str | None:
    """The record of a file, None if it has none, or one that is damaged or longer than any.

    Raises InputError if the file cannot be read.
    """
    head = read_head(path, _HEAD_BYTES)
    record = None
    # What decoders raise on damaged data, and text that is none, mean that there is no record.
    with suppress(*DECODE_ERRORS, av.error.FFmpegError, DamagedInputError):
        record = _record_of(path, head)
    return record if record is not None and len(record) <= MAX_RECORD_BYTES else None


def _record_of(path: Path, head: bytes) -> str | None:
    name = image_format(head)
    if name == "PNG":
        return _of_png(head)
    if name == "GIF":
        return _of_gif(head)
    if head.startswith(_EXR):
        return _of_exr(head)
    if name in {"JPEG", "TIFF", "WEBP", "AVIF"}:
        with open_image(path) as image:
            packet = image.info.get("xmp", b"")
        return record_in_xmp(packet if isinstance(packet, bytes) else str(packet).encode())
    if head.startswith(_EBML):
        with av.open(os.path.abspath(path), format="matroska", metadata_errors="replace") as container:  # noqa: PTH100
            return {key.lower(): text for key, text in container.metadata.items()}.get(RECORD_KEY)
    return _of_boxes(path) if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free"} else None


def _of_png(head: bytes) -> str | None:
    at, start = len(SIGNATURE), RECORD_KEY.encode() + b"\0\1\0\0\0"
    while at + 8 <= len(head):
        length, name = struct.unpack_from(">I4s", head, at)
        data = head[at + 8 : at + 8 + length]
        if name == b"iTXt" and data.startswith(start):
            unpacking = zlib.decompressobj()
            text = unpacking.decompress(data[len(start) :], MAX_RECORD_BYTES + 1)
            return text.decode() if unpacking.eof else None
        at += 12 + length
    return None


def _of_gif(head: bytes) -> str | None:
    at = 13 + (3 << ((head[10] & 7) + 1) if head[10] & 0x80 else 0)
    start = RECORD_KEY.encode() + b" "
    while head[at : at + 1] == b"!":
        kind, text = head[at + 1], b""
        at += 2
        while at < len(head) and head[at]:
            text += head[at + 1 : at + 1 + head[at]]
            at += 1 + head[at]
        at += 1
        if kind == 0xFE and at <= len(head) and text.startswith(start):
            return text[len(start) :].decode()
    return None


def _of_exr(head: bytes) -> str | None:
    at = 8
    while head[at : at + 1] not in {b"", b"\0"}:
        name_end = head.index(b"\0", at)
        kind_end = head.index(b"\0", name_end + 1)
        (length,) = struct.unpack_from("<I", head, kind_end + 1)
        start = kind_end + 5
        if head[at:name_end] == RECORD_KEY.encode() and head[name_end + 1 : kind_end] == b"string":
            return head[start : start + length].decode() if start + length <= len(head) else None
        at = start + length
    return None


def _of_boxes(path: Path) -> str | None:
    """The record in the box behind the others of MP4 and MOV (ISO/IEC 14496-12)."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        at = 0
        for _ in range(_MOST_BOXES):
            file.seek(at)
            head = file.read(32)
            if len(head) < 8:
                return None
            length, name = struct.unpack_from(">I4s", head)
            if name == b"uuid" and head[8:24] == XMP_UUID and 24 < length <= _LARGEST_XMP:
                file.seek(at + 24)
                return record_in_xmp(file.read(length - 24))
            if length == 1 and len(head) >= 16:
                (length,) = struct.unpack_from(">Q", head, 8)
            if not 8 <= length <= size - at:
                return None
            at += length
    return None

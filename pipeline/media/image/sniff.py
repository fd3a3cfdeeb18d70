"""The kind of a file by its first bytes; by its suffix only where content cannot tell (raw files)."""

from __future__ import annotations

import stat
import struct
from pathlib import Path
from typing import Final

from pipeline.errors import DamagedInputError, InputError

RAW_SUFFIXES: Final = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw"}
    | {".orf", ".pef", ".raf", ".raw", ".rw2", ".sr2", ".srf", ".srw", ".x3f"}
)
HEIF_SEQUENCES: Final = frozenset({b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"})
_HEIF_BRANDS: Final = HEIF_SEQUENCES | frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1"})
_SIGNATURES: Final = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    *((b"P%d%s" % (digit, space), "PPM") for digit in range(1, 7) for space in (b"\n", b" ", b"\r", b"\t")),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"qoif", "QOI"),
    (b"8BPS", "PSD"),
)
_BMP_HEADER_SIZES: Final = tuple(struct.pack("<I", size) for size in (12, 40, 52, 56, 64, 108, 124))


def read_head(path: str | Path, size: int = 4096) -> bytes:
    """First bytes of a file.

    Raises InputError if it is missing, a folder, no regular file (opening a pipe waits forever, and a device may have
    no end), unreadable or empty.
    """
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            what = "pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"
            raise InputError(
                f"{path}: is a {what}; expected a file", hint="write it to a file first: frames are read twice"
            )
        with Path(path).open("rb") as file:
            head = file.read(size)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", hint="check the path; quote names with spaces") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; expected a file", hint="name a file inside it") from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error})", hint="check the file's permissions"
        ) from None
    except ValueError:
        raise InputError(f"{path!r}: is not a path", hint="a path has no null characters") from None
    if not head:
        raise DamagedInputError(f"{path}: is empty (0 bytes)", hint="copy or download the file again")
    return head


def image_format(head: bytes) -> str | None:
    """The image format that the first bytes of a file belong to, by its Pillow name; None if it is no image."""
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp" and (head[8:12] in (b"avif", b"avis") or b"avif" in head[16:64]):
        return "AVIF"
    if is_heif(head):
        return "HEIF"
    if head.startswith(b"BM") and head[14:18] in _BMP_HEADER_SIZES:
        return "BMP"
    return "RAW" if is_raw(head) else None


def photo_format(path: str | Path, head: bytes) -> str | None:
    """The `image_format` of a file with these first bytes; RAW where only its suffix tells: many are TIFF files."""
    kind = image_format(head)
    return "RAW" if kind in (None, "TIFF") and Path(path).suffix.lower() in RAW_SUFFIXES else kind


def is_heif(head: bytes) -> bool:
    """Whether these first bytes of a file are those of an HEIC or HEIF image (not AVIF)."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS and b"avif" not in head[:64]


def describe_content(head: bytes) -> str:
    """The kind of content that the first bytes of a file suggest, in words for an error message."""
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page (a download that failed?)"
    if start.startswith((b"<?xml", b"<svg")):
        return "XML"
    if start.startswith(b"%pdf"):
        return "a PDF"
    if start.startswith((b"pk\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"rar!")):
        return "an archive"
    if head[4:8] == b"ftyp" or head.startswith((b"\x1a\x45\xdf\xa3", b"RIFF")):
        return "a video or audio file"
    try:
        text = head[:512].decode("utf-8", errors="ignore")
    except UnicodeDecodeError:
        return "unknown data"
    if len(text) > 0.9 * min(len(head), 512) and all(c.isprintable() or c.isspace() for c in text):
        return "text"
    return "unknown data"


def is_raw(head: bytes) -> bool:
    """Canon, Fuji and Panasonic raw files by their own signatures; the others are known by suffix or DNG tag."""
    return (
        (head[:4] in (b"II*\0", b"MM\0*") and head[8:10] == b"CR")
        or head.startswith((b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"MMOR"))
        or head[4:12] == b"ftypcrx "
    )

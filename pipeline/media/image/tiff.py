"""TIFF of 8 or 16 bits a channel with a color profile: Pillow writes no color of 16 bits, and OpenCV no profile."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.media.image.srgb_profile import srgb_profile

if TYPE_CHECKING:
    from pipeline.types import Pixels

_BYTE, _SHORT, _LONG, _RATIONAL, _UNDEFINED = 1, 3, 4, 5, 7
_SIZES: Final = {_BYTE: 1, _SHORT: 2, _LONG: 4, _RATIONAL: 8, _UNDEFINED: 1}
_STRIP_BYTES: Final = 1 << 18
_DEFLATE, _RGB, _HORIZONTAL_DIFFERENCES, _INCH = 8, 2, 2, 2
_DOTS_PER_INCH: Final = 72


def encode_tiff(rgb: Pixels, xmp: bytes = b"") -> bytes:
    """uint8 or uint16 (H, W, 3) sRGB as the bytes of a TIFF (revision 6.0), exact.

    Little-endian strips with horizontal differences, compressed by Deflate, with the ICC profile of sRGB and
    an XMP packet, unless that is empty.
    """
    height, width = rgb.shape[:2]
    # Modulo 2^8 or 2^16, as the format has it.
    differences = np.concatenate([rgb[:, :1], rgb[:, 1:] - rgb[:, :-1]], axis=1)
    samples = differences.astype(rgb.dtype.newbyteorder("<"))
    rows = max(1, _STRIP_BYTES // (width * 3 * rgb.dtype.itemsize))
    strips = [zlib.compress(samples[top : top + rows].tobytes(), 6) for top in range(0, height, rows)]
    offsets = np.cumsum([8, *map(len, strips)]).tolist()
    fields = {
        256: (_LONG, [width]),
        257: (_LONG, [height]),
        258: (_SHORT, [8 * rgb.dtype.itemsize] * 3),
        259: (_SHORT, [_DEFLATE]),
        262: (_SHORT, [_RGB]),
        273: (_LONG, offsets[:-1]),
        277: (_SHORT, [3]),
        278: (_LONG, [rows]),
        279: (_LONG, [len(strip) for strip in strips]),
        282: (_RATIONAL, [_DOTS_PER_INCH, 1]),
        283: (_RATIONAL, [_DOTS_PER_INCH, 1]),
        284: (_SHORT, [1]),
        296: (_SHORT, [_INCH]),
        317: (_SHORT, [_HORIZONTAL_DIFFERENCES]),
        **({700: (_BYTE, list(xmp))} if xmp else {}),
        34675: (_UNDEFINED, list(srgb_profile())),
    }
    at = offsets[-1] + offsets[-1] % 2
    directory = _directory(fields, at)
    return b"".join([struct.pack("<2sHI", b"II", 42, at), *strips, bytes(offsets[-1] % 2), directory])


def _directory(fields: dict[int, tuple[int, list[int]]], at: int) -> bytes:
    """The image file directory that stands at byte `at`, and behind it the values that do not fit into it."""
    entries, values = [struct.pack("<H", len(fields))], b""
    values_at = at + 2 + 12 * len(fields) + 4
    for tag, (kind, numbers) in fields.items():
        letter = {_SHORT: "H", _LONG: "I", _RATIONAL: "I"}.get(kind, "B")
        data = struct.pack(f"<{len(numbers)}{letter}", *numbers)
        count = len(data) // _SIZES[kind]
        if len(data) <= 4:
            entries.append(struct.pack("<HHI", tag, kind, count) + data.ljust(4, b"\0"))
        else:
            entries.append(struct.pack("<HHII", tag, kind, count, values_at + len(values)))
            values += data + bytes(len(data) % 2)
    return b"".join([*entries, bytes(4), values])

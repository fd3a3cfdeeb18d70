"""Exact PNG: the bytes of stored frames, and text inside a PNG."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.types import Pixels

    RGB = NDArray[np.uint8]

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_HEADER_END: Final = len(SIGNATURE) + 12 + 13
_MAX_TEXT_BYTES: Final = 1 << 26
_SEEN_PIXELS: Final = 2048


def encode_png(rgb: Pixels, level: int = 1) -> bytes:
    """uint8 or uint16 (H, W, 3) as the bytes of a PNG, exact. `level` is zlib's 0 (none) to 9 (smallest).

    Frames of the neural styler hardly compress (1.8 to 2.2 bytes a px at any level), so the default is the fast one: at
    level 1 nothing but repetitions of one byte is looked for in images of 8 bits and many colors, which takes 28 ms a
    megapixel on one core instead of 50 ms, for files 3 percent larger; Pillow at its default takes 220 ms for files 7
    percent smaller. Images of few colors, which may be dithered, would be up to five times as large.
    """
    if rgb.dtype not in (np.uint8, np.uint16) or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(f"expected uint8 or uint16 (H, W, 3), found {rgb.dtype} {rgb.shape}")
    options = [cv2.IMWRITE_PNG_COMPRESSION, level, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG]
    if level == 1 and rgb.dtype == np.uint8 and _has_many_colors(rgb):
        options += [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    done, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"PNG encoder refused an array of {rgb.shape}")
    return data.tobytes()


def _has_many_colors(rgb: Pixels) -> bool:
    """Whether most of some pixels, spread evenly over the image, differ in color."""
    pixels = rgb.reshape(-1, 3)
    seen = pixels[:: max(1, len(pixels) // _SEEN_PIXELS)]
    return 2 * len(np.unique(seen @ np.array([1, 256, 65536]))) > len(seen)


def decode_png(data: bytes) -> RGB:
    """The uint8 (H, W, 3) array that `encode_png` was given.

    Raises ValueError, naming what is wrong, for anything but a complete 8-bit RGB PNG, as `check_png` does.
    """
    check_png(data)
    pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise ValueError("the PNG's pixel data are damaged")
    return np.asarray(pixels, np.uint8)


def check_png(data: bytes) -> None:
    """Check the chunks of a PNG: signature, 8-bit RGB header, checksums, end. libpng does not report all damage.

    Raises ValueError, naming what is wrong, if a byte was flipped, is missing or was added; nothing is decoded,
    which takes a twentieth of the time.
    """
    if not data.startswith(SIGNATURE):
        raise ValueError("not a PNG (empty file or damaged signature)" if data else "empty file")
    view, at, name = memoryview(data), len(SIGNATURE), b""
    while name != b"IEND":
        if at + 12 > len(data):
            raise ValueError(f"the PNG is cut off after {len(data)} bytes")
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        if end > len(data):
            raise ValueError(f"the PNG is cut off after {len(data)} bytes")
        name = bytes(view[at + 4 : at + 8])
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(view[at + 4 : end - 4]) != checksum:
            raise ValueError(f"wrong checksum in the PNG at byte {at}")
        if at == len(SIGNATURE) and (name != b"IHDR" or length != 13 or data[at + 16 : at + 18] != b"\x08\x02"):
            raise ValueError("not an 8-bit RGB PNG")
        at = end
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes behind the end of the PNG")


def save_png(path: str | Path, rgb: RGB, *, level: int = 6) -> None:
    """Write uint8 (H, W, 3) sRGB as a PNG. Not atomic: stored frames go through the store. OSError if it cannot."""
    Path(path).write_bytes(encode_png(rgb, level))


def png_chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG: its length, name, data and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


SRGB_CHUNK: Final = png_chunk(b"sRGB", b"\0")
"""Says that the colors are sRGB (perceptual intent)."""


def png_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and data of every chunk of a complete PNG."""
    at = len(SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length


def tagged_srgb(png: bytes) -> bytes:
    """A PNG that says that it is sRGB."""
    return png[:_HEADER_END] + SRGB_CHUNK + png[_HEADER_END:]


def text_chunk(key: str, text: str) -> bytes:
    """A compressed international text chunk (iTXt); `key` is 1 to 79 ASCII letters."""
    return png_chunk(b"iTXt", key.encode("ascii") + b"\0\1\0\0\0" + zlib.compress(text.encode()))


def add_text(png: bytes, key: str, text: str) -> bytes:
    """A PNG with a compressed international text chunk (iTXt), behind its header; `key` is 1 to 79 ASCII letters."""
    return png[:_HEADER_END] + text_chunk(key, text) + png[_HEADER_END:]


def find_text(png: bytes, key: str) -> str | None:
    """The text that `add_text` wrote under a key; None if there is none.

    Raises ValueError, naming what is wrong, for what is no complete 8-bit RGB PNG or for a damaged or huge text.
    """
    check_png(png)
    at, start = len(SIGNATURE), key.encode("ascii") + b"\0\1\0\0\0"
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        data = png[at + 8 : at + 8 + length]
        if png[at + 4 : at + 8] == b"iTXt" and data.startswith(start):
            unpacking = zlib.decompressobj()
            try:
                text = unpacking.decompress(data[len(start) :], _MAX_TEXT_BYTES)
            except zlib.error as error:
                raise ValueError(f"the PNG's text is damaged ({error})") from None
            if not unpacking.eof:
                raise ValueError("the PNG's text is incomplete or too long")
            return text.decode()
        at += 12 + length
    return None

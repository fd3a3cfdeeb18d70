"""OpenEXR: linear light in half floats, as grading and compositing programs take it."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.media.image.transfer import linear_from_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.types import Pixels

_MAGIC, _VERSION = 20000630, 2
_HALF, _ZIP = 1, 3
_ROWS: Final = 16
"""Rows of one block of the compression ZIP."""
_BT709: Final = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
"""x and y of red, green, blue and white, which sRGB has too."""


def encode_exr(rgb: Pixels, texts: Mapping[str, str] | None = None) -> bytes:
    """uint8 or uint16 (H, W, 3) sRGB as the bytes of an OpenEXR file, version 2, with the primaries of BT.709.

    Scan lines of half floats in [0, 1], linear light, compressed by ZIP; the chromaticities are stated. `texts`
    become string attributes of these names.
    """
    height, width = rgb.shape[:2]
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    header = struct.pack("<2I", _MAGIC, _VERSION) + b"".join(
        [
            _attribute("channels", "chlist", b"".join(_channel(name) for name in "BGR") + b"\0"),
            _attribute("chromaticities", "chromaticities", struct.pack("<8f", *_BT709)),
            _attribute("compression", "compression", bytes([_ZIP])),
            _attribute("dataWindow", "box2i", window),
            _attribute("displayWindow", "box2i", window),
            _attribute("lineOrder", "lineOrder", b"\0"),
            _attribute("pixelAspectRatio", "float", struct.pack("<f", 1)),
            _attribute("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
            _attribute("screenWindowWidth", "float", struct.pack("<f", 1)),
            *(_attribute(name, "string", text.encode()) for name, text in (texts or {}).items()),
            b"\0",
        ]
    )
    blocks = []
    for top in range(0, height, _ROWS):
        light = linear_from_pixels(rgb[top : top + _ROWS])
        planes = np.moveaxis(light[..., ::-1], 2, 1).astype("<f2")  # every row: all blue, all green, all red
        data = _packed(planes.tobytes())
        blocks.append(struct.pack("<2i", top, len(data)) + data)
    first = len(header) + 8 * len(blocks)
    offsets = np.cumsum([first, *map(len, blocks)])[:-1].astype("<u8")
    return b"".join([header, offsets.tobytes(), *blocks])


def _packed(raw: bytes) -> bytes:
    """A block as the compression ZIP has it: low and high bytes apart, differences, Deflate; as it is if no smaller."""
    values = np.frombuffer(raw, np.uint8)
    apart = np.concatenate([values[::2], values[1::2]])
    differences = apart.copy()
    differences[1:] = apart[1:] - apart[:-1] + np.uint8(128)
    data = zlib.compress(differences.tobytes(), 6)
    return data if len(data) < len(raw) else raw


def _attribute(name: str, kind: str, value: bytes) -> bytes:
    return f"{name}\0{kind}\0".encode() + struct.pack("<I", len(value)) + value


def _channel(name: str) -> bytes:
    return f"{name}\0".encode() + struct.pack("<I4B2i", _HALF, 0, 0, 0, 0, 1, 1)

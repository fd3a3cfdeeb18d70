"""Animated PNG, lossless, of 8 or 16 bits a channel: frames are written as they come, cropped to what changes.

The chunks are those of the PNG specification, third edition (2025). Pillow keeps all frames in memory and has 8 bits.
"""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING, Final

import numpy as np

from pipeline.media.image.png import SIGNATURE, SRGB_CHUNK, encode_png, png_chunk, png_chunks, text_chunk
from pipeline.media.image.record import RECORD_KEY
from pipeline.media.writer.changes import box

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from fractions import Fraction

    from pipeline.types import Pixels

LARGEST: Final = 65_535
"""Of the numerator and of the denominator of a delay."""
_LEVEL: Final = 6
_KEEP, _REPLACE = 0, 0  # disposal and blending: frames are drawn over the previous ones


def write_apng(
    file: IO[bytes], frames: Iterable[Pixels], delays: Sequence[Fraction], *, plays: int, record: str = ""
) -> None:
    """Write frames, uint8 or uint16 (H, W, 3) sRGB, each shown for its delay in seconds; `plays` 0: for ever.

    Numerators and denominators of the delays are at most 65535. `record` (empty: none) stands in a text chunk.
    Raises OSError.
    """
    previous: Pixels | None = None
    sequence = 0
    for rgb, delay in zip(frames, delays, strict=True):
        changed = np.ones(rgb.shape[:2], bool) if previous is None else (rgb != previous).any(axis=2)
        top, bottom, left, right = box(changed)
        chunks = list(png_chunks(encode_png(rgb[top:bottom, left:right].copy(), _LEVEL)))
        control = struct.pack(
            ">5I2H2B", sequence, right - left, bottom - top, left, top, *delay.as_integer_ratio(), _KEEP, _REPLACE
        )
        sequence += 1
        if previous is None:
            file.write(SIGNATURE + png_chunk(*chunks[0]) + SRGB_CHUNK)
            if record:
                file.write(text_chunk(RECORD_KEY, record))
            file.write(png_chunk(b"acTL", struct.pack(">2I", len(delays), plays)))
        file.write(png_chunk(b"fcTL", control))
        for name, data in chunks:
            if name != b"IDAT":
                continue
            if previous is None:
                file.write(png_chunk(name, data))
            else:
                file.write(png_chunk(b"fdAT", struct.pack(">I", sequence) + data))
                sequence += 1
        previous = rgb
    file.write(png_chunk(b"IEND", b""))

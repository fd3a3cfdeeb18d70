"""Small raw files: uncompressed DNG (Adobe DNG 1.4) with a mosaic of red, green, green and blue pixels."""

from __future__ import annotations

import struct
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 10: 8}
_XYZ_FROM_SRGB = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)

Entry = tuple[int, int, bytes]


def write_dng(
    path: Path,
    light: NDArray[np.floating],
    *,
    neutral: tuple[float, float, float] = (1.0, 1.0, 1.0),
    black: int = 512,
    white: int = 16383,
    black_tag: int | None = None,
    white_tag: int | None = None,
    orientation: int = 1,
    taken: datetime | None = None,
    stated_size: tuple[int, int] | None = None,
) -> Path:
    """Write linear light (H, W, 3), 0 black and 1 saturation, as a sensor sees it whose primaries are those of sRGB.

    `neutral` is what the camera measured for gray, so its white balance is 1 / `neutral`. `black` and `white` are the
    levels of the samples; the tags can state others. `stated_size` (width, height) is written instead of the true one.
    """
    height, width = light.shape[:2]
    levels = np.rint(black + light.clip(0, 1) * (white - black)).astype("<u2")
    mosaic = np.empty((height, width), "<u2")
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[row::2, column::2] = levels[row::2, column::2, channel]
    stated = stated_size or (width, height)
    entries = [
        _longs(254, 0),
        _longs(256, stated[0]),
        _longs(257, stated[1]),
        _shorts(258, 16),
        _shorts(259, 1),
        _shorts(262, 32803),
        _text(271, "Tempera"),
        _text(272, "Test"),
        _longs(273, 8),
        _shorts(274, orientation),
        _shorts(277, 1),
        _longs(278, stated[1]),
        _longs(279, mosaic.nbytes),
        _shorts(284, 1),
        _shorts(33421, 2, 2),
        (33422, 1, bytes((0, 1, 1, 2))),
        (50706, 1, bytes((1, 4, 0, 0))),
        _text(50708, "Tempera Test"),
        _longs(50714, black if black_tag is None else black_tag),
        _longs(50717, white if white_tag is None else white_tag),
        _fractions(50721, 10, np.linalg.inv(_XYZ_FROM_SRGB).ravel()),
        _fractions(50728, 5, np.array(neutral)),
        _shorts(50778, 21),
    ]
    data = struct.pack("<2sHI", b"II", 42, 8 + mosaic.nbytes) + mosaic.tobytes()
    if taken is not None:
        exif = [_text(0x9003, f"{taken:%Y:%m:%d %H:%M:%S}"), _text(0x9291, f"{taken.microsecond // 1000:03d}")]
        directory = _directory(exif, len(data))
        data = struct.pack("<2sHI", b"II", 42, len(data) + len(directory)) + data[8:] + directory
        entries.append(_longs(34665, len(data) - len(directory)))
    path.write_bytes(data + _directory(sorted(entries), len(data)))
    return path


def _directory(entries: list[Entry], offset: int) -> bytes:
    """A TIFF directory that stands at an offset, with its values behind it."""
    values = b""
    after = offset + 2 + 12 * len(entries) + 4
    table = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        table += struct.pack("<HHI", tag, kind, len(value) // _SIZES[kind])
        if len(value) <= 4:
            table += value.ljust(4, b"\0")
        else:
            table += struct.pack("<I", after + len(values))
            values += value + b"\0" * (len(value) % 2)
    return table + struct.pack("<I", 0) + values


def _longs(tag: int, *values: int) -> Entry:
    return tag, 4, struct.pack(f"<{len(values)}I", *values)


def _shorts(tag: int, *values: int) -> Entry:
    return tag, 3, struct.pack(f"<{len(values)}H", *values)


def _text(tag: int, text: str) -> Entry:
    return tag, 2, text.encode() + b"\0"


def _fractions(tag: int, kind: int, values: NDArray[np.float64]) -> Entry:
    numbers = [number for value in values.tolist() for number in (round(value * 10**6), 10**6)]
    return tag, kind, struct.pack(f"<{len(numbers)}{'i' if kind == 10 else 'I'}", *numbers)

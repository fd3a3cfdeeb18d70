"""Palettes as files, for other programs: an image, a GIMP palette, Adobe Swatch Exchange, or JSON."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.errors import UsageError, WriteError
from pipeline.media.image.contact_sheet import contact_sheet
from pipeline.media.image.png import encode_png
from pipeline.runtime.atomic import write_bytes

_PATCH_PX: Final = (110, 200)
_COLUMNS: Final = 6


@dataclass(frozen=True, slots=True)
class Swatch:
    """A named color: `hex` is `#rrggbb`, `fraction` how much of the image is nearest to it, in [0, 1]."""

    name: str
    hex: str
    fraction: float

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue from 0 to 255."""
        red, green, blue = bytes.fromhex(self.hex[1:])
        return red, green, blue


def write_swatches(path: Path, swatches: list[Swatch]) -> None:
    """Write a palette in the format of the suffix, one of `FORMATS`. Raises WriteError if it cannot be written."""
    data = FORMATS[path.suffix.lower()](swatches, path.stem)
    try:
        write_bytes(path, data)
    except OSError as error:
        raise WriteError(f"{path}: cannot be written ({error.strerror})", hint="choose another file with -o") from error


def check_suffix(path: Path) -> None:
    """Raise UsageError for a suffix that is no format of palettes."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"{path}: a palette cannot be written as {path.suffix or 'a file without suffix'}",
            hint=f"choose one of {', '.join(FORMATS)}",
        )


def _png(swatches: list[Swatch], title: str) -> bytes:  # noqa: ARG001 - all formats are written alike
    patches = [(f"{swatch.hex} {swatch.name}", np.full((*_PATCH_PX, 3), swatch.rgb, np.uint8)) for swatch in swatches]
    return encode_png(contact_sheet([patches[start : start + _COLUMNS] for start in range(0, len(patches), _COLUMNS)]))


def _gimp(swatches: list[Swatch], title: str) -> bytes:
    lines = ["GIMP Palette", f"Name: {title}", "Columns: 0", "#"]
    lines += [" ".join(f"{value:3d}" for value in swatch.rgb) + f"\t{swatch.name}" for swatch in swatches]
    return ("\n".join(lines) + "\n").encode()


def _adobe(swatches: list[Swatch], title: str) -> bytes:  # noqa: ARG001
    """Adobe Swatch Exchange, version 1.0: a block of type 1 for each color, big-endian, names in UTF-16."""
    data = struct.pack(">4sHHI", b"ASEF", 1, 0, len(swatches))
    for swatch in swatches:
        name = (swatch.name + "\0").encode("utf-16-be")
        body = struct.pack(">H", len(name) // 2) + name
        body += struct.pack(">4s3fH", b"RGB ", *(value / 255 for value in swatch.rgb), 0)
        data += struct.pack(">HI", 1, len(body)) + body
    return data


def _json(swatches: list[Swatch], title: str) -> bytes:  # noqa: ARG001
    return (json.dumps([asdict(swatch) for swatch in swatches], indent=2) + "\n").encode()


FORMATS: Final[dict[str, Callable[[list[Swatch], str], bytes]]] = {
    ".png": _png,
    ".gpl": _gimp,
    ".ase": _adobe,
    ".json": _json,
}
"""How a palette is written, by suffix."""

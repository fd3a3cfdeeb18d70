"""Look-up tables of colors in .cube files, 1D and 3D (Adobe, "Cube LUT Specification" 1.0, 2013)."""

from __future__ import annotations

import math
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.errors import ConfigError
from pipeline.postprocess.lattice import Lattice

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BYTES: Final = 1 << 26
LARGEST: Final = {"LUT_1D_SIZE": 65_536, "LUT_3D_SIZE": 129}
"""Largest size of a table, in entries along each axis. The specification allows 256 in 3D, which is half a gigabyte."""


@dataclass(frozen=True, eq=False)
class Lut:
    """A table of colors. `table` is float32, (N, 3) in 1D, or in 3D (N, N, N, 3) indexed by blue, green, red.

    `low` and `high`, (3,), are the values of R, G and B at its first and last entries.
    """

    table: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]

    @cached_property
    def at(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """The colors at places of the table, float32 (H, W, 3), in entries along the axes of R, G and B."""
        return _Line(self.table).at if self.table.ndim == 2 else Lattice(self.table.transpose(2, 1, 0, 3)).at


class _Line:
    """A table (N, 3), every channel in its own column, and what is between its entries, linearly."""

    def __init__(self, table: NDArray[np.float32]) -> None:
        self._last: Final = np.float32(len(table) - 1)
        padding = ((0, (1 << 16) - len(table) + 1), (0, 0))  # as `cv2.LUT` wants it
        self._low: Final = np.pad(table[:-1], padding)[np.newaxis]
        self._rise: Final = np.pad(np.diff(table, axis=0), padding)[np.newaxis]

    def at(self, places: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Lut.at`."""
        inside = np.maximum(places, np.float32(0))
        np.minimum(inside, self._last, out=inside)
        lower = np.minimum(inside, self._last - 1).astype(np.uint16)
        inside -= lower
        inside *= cv2.LUT(lower, self._rise)
        inside += cv2.LUT(lower, self._low)
        return inside


def load_lut(path: Path) -> Lut:
    """Read a .cube file. Raises ConfigError that names the line which is wrong."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{path}: is not a file", hint="a LUT is a .cube file")
        if found.st_size > MAX_BYTES:
            raise ConfigError(
                f"{path}: {found.st_size} bytes is too large for a LUT", hint=f"up to {MAX_BYTES} bytes are read"
            )
        # Titles may be in any encoding; the rest is ASCII.
        lines = path.read_bytes().decode("ascii", "replace").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})", hint="check the path of the LUT") from None
    except ValueError as error:
        raise ConfigError(f"{path!r}: cannot be read ({error})", hint="check the path of the LUT") from None
    return _parsed(lines, path)


def apply_lut(image: NDArray[np.float32], lut: Lut) -> NDArray[np.float32]:
    """The image, float32 (H, W, 3), looked up: linear between the entries in 1D, tetrahedral in 3D.

    What is outside the domain of the table is clipped to it.
    """
    scale = (len(lut.table) - 1) / (lut.high - lut.low)
    return lut.at(np.asarray(cv2.transform(image, np.column_stack([np.diag(scale), -lut.low * scale])), np.float32))


def _parsed(lines: list[str], path: Path) -> Lut:
    kind, size = "", 0
    domain = {"DOMAIN_MIN": (0.0, 0.0, 0.0), "DOMAIN_MAX": (1.0, 1.0, 1.0)}
    colors: list[list[float]] = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#") or words[0] == "TITLE":
            continue
        if not words[0][0].isalpha():
            if not kind:
                raise _wrong(path, number, "expected LUT_1D_SIZE or LUT_3D_SIZE before the colors", line)
            colors.append(_numbers(words, 3, path, number, line))
        elif colors:
            raise _wrong(path, number, "expected three numbers", line)
        elif words[0] in LARGEST:
            if kind:
                raise _wrong(path, number, f"expected one table, {kind} was given before", line)
            kind, size = words[0], _size(words, path, number, line)
        elif words[0] in domain:
            red, green, blue = _numbers(words[1:], 3, path, number, line)
            domain[words[0]] = (red, green, blue)
        elif words[0] in ("LUT_1D_INPUT_RANGE", "LUT_3D_INPUT_RANGE"):
            low, high = _numbers(words[1:], 2, path, number, line)
            domain = {"DOMAIN_MIN": (low,) * 3, "DOMAIN_MAX": (high,) * 3}
        else:
            raise _wrong(path, number, "expected a keyword of the .cube format", line)
    expected = size if kind == "LUT_1D_SIZE" else size**3
    if not kind or len(colors) != expected:
        found = f"{len(colors)} colors" if kind else "neither LUT_1D_SIZE nor LUT_3D_SIZE"
        raise ConfigError(
            f"{path}: expected {f'{expected} colors' if kind else 'a table'}, found {found}",
            hint="is the file whole, and a .cube?",
        )
    first, last = (np.asarray(values, np.float32) for values in domain.values())
    if not (last - first > 1e-6).all():
        raise ConfigError(f"{path}: DOMAIN_MAX is not above DOMAIN_MIN", hint="correct the head of the file")
    table = np.asarray(colors, np.float32)
    return Lut(table if kind == "LUT_1D_SIZE" else table.reshape(size, size, size, 3), first, last)


def _size(words: list[str], path: Path, number: int, line: str) -> int:
    largest = LARGEST[words[0]]
    size = int(words[1]) if len(words) == 2 and words[1].isdecimal() and len(words[1]) < 9 else 0
    if not 2 <= size <= largest:
        raise _wrong(path, number, f"expected a size of 2 to {largest}", line)
    return size


def _numbers(words: list[str], count: int, path: Path, number: int, line: str) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    # Beyond float32, or not a number.
    if len(values) != count or not all(math.isfinite(value) and abs(value) < 1e30 for value in values):
        raise _wrong(path, number, f"expected {count} numbers", line)
    return values


def _wrong(path: Path, number: int, expected: str, line: str) -> ConfigError:
    shown = line.strip() if len(line) <= 60 else line.strip()[:57] + "..."
    return ConfigError(f"{path}, line {number}: {expected}, found {shown!r}", hint="is it a .cube file?")

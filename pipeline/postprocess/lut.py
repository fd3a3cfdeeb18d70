"""Look-up tables of colors in .cube files, 1D and 3D (Adobe, "Cube LUT Specification" 1.0, 2013)."""

from __future__ import annotations

import math
import stat
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BYTES: Final = 1 << 26
LARGEST: Final = {"LUT_1D_SIZE": 65_536, "LUT_3D_SIZE": 129}
"""Largest size of a table, in entries along each axis. The specification allows 256 in 3D, which is half a gigabyte."""
_ROWS: Final = 1 << 14
"""Pixels that are interpolated at a time."""


@dataclass(frozen=True, slots=True)
class Lut:
    """A table of colors. `table` is float32, (N, 3) in 1D, or in 3D (N, N, N, 3) indexed by blue, green, red.

    `low` and `high`, (3,), are the values of R, G and B at its first and last entries.
    """

    table: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


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
    last = lut.table.shape[0] - 1
    interpolated = partial(_line, table=lut.table)
    if lut.table.ndim == 4:  # four numbers of 32 bits are gathered as one of 128
        colors = np.pad(lut.table.reshape(-1, 3), ((0, 0), (0, 1))).view(np.complex128)[:, 0]
        interpolated = partial(_tetrahedral, colors=colors, size=last + 1)
    scale = np.float32(last) / (lut.high - lut.low)
    pixels = image.reshape(-1, 3)
    result = np.empty(pixels.shape, np.float32)
    for start in range(0, len(pixels), _ROWS):
        at = np.ascontiguousarray(pixels[start : start + _ROWS].T)
        at -= lut.low[:, np.newaxis]
        at *= scale[:, np.newaxis]
        np.clip(at, 0, np.float32(last), out=at)
        result[start : start + _ROWS] = interpolated(at)
    return result.reshape(image.shape)


def _line(at: NDArray[np.float32], table: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, P) positions in a table (N, 3), every channel in its own column, to (P, 3)."""
    index = np.minimum(at.astype(np.int32), len(table) - 2)
    at -= index
    index *= 3
    index += np.arange(3, dtype=np.int32)[:, np.newaxis]
    low, high = table.take(index), table.take(index + 3)
    return np.asarray(((1 - at) * low + at * high).T, np.float32)


def _tetrahedral(at: NDArray[np.float32], colors: NDArray[np.complex128], size: int) -> NDArray[np.float32]:
    """(3, P) positions to (P, 3): the cube of entries around each is cut into six tetrahedra along its diagonal.

    `colors`, (size^3,), has the bytes of four float32 in each entry, the last one unused.

    So gray stays on the diagonal of the table, where it was put; trilinear interpolation mixes in what lies beside it.
    The path to the point leaves the lower corner along the axis with the largest fraction, then the middle, then the
    smallest one, and the differences of fractions are the weights of its corners.
    """
    steps = np.array([1, size, size * size], np.int32)
    index = np.minimum(at.astype(np.int32), size - 2)
    at -= index
    red, green, blue = at
    first = index[0] + size * index[1]
    first += size * size * index[2]
    last = first + steps.sum(dtype=np.int32)
    largest, smallest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    middle = red + green + blue - largest - smallest
    up = np.where(red == largest, steps[0], np.where(green == largest, steps[1], steps[2]))
    # Ties are broken in the other order than above: of equal fractions, one is the largest and another the smallest.
    down = np.where(blue == smallest, steps[2], np.where(green == smallest, steps[1], steps[0]))
    corners = (first, first + up, last - down, last)
    weights = (1 - largest, largest - middle, middle - smallest, smallest)
    result = np.zeros((len(first), 4), np.float32)
    for corner, weight in zip(corners, weights, strict=True):
        part = colors.take(corner).view(np.float32).reshape(-1, 4)
        part *= cv2.merge([weight] * 4).reshape(-1, 4)  # much faster than by `weight[:, np.newaxis]`
        result += part
    return result[:, :3]


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

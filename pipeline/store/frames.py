"""Stored frames: their names, and telling a whole one from a damaged one."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import InputError, RenderDirectoryError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.types import Chain

FRAMES_NAME: Final = "frames"
_NAME: Final = re.compile(r"(\d{8,})\.png")
_HEAD: Final = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_HEAD_BYTES: Final = len(_HEAD) + 13 + 4
_END: Final = b"\x00\x00\x00\x00IEND\xae\x42\x60\x82"


def frame_name(index: int) -> str:
    """File name of the stored frame with this index, as `00000123.png`."""
    return f"{index:08d}.png"


def frame_index(name: str) -> int | None:
    """Index of the frame with this file name, or None if it is not the name of a frame."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    index = int(match[1])
    return index if frame_name(index) == name else None


def stored_sizes(render_path: Path, chain: Chain) -> list[int]:
    """Sizes in bytes of the chain's frames that have a file, whole or not, in no order; empty if there is no folder."""
    try:
        with os.scandir(render_path / FRAMES_NAME / chain.id) as entries:
            found = [(frame_index(entry.name), entry.stat().st_size) for entry in entries]
    except OSError:
        return []
    return [size for index, size in found if index is not None and index in chain.frames]


def outline_problem(path: Path, width_px: int, height_px: int) -> str | None:
    """What a glance at the first and the last bytes finds wrong with a stored frame, or None.

    Finds what crashes of lesser tools and full disks leave behind (missing, empty, cut off, other size) at the cost of
    two small reads. Raises RenderDirectoryError if the disk refuses to read the file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            if len(head) < _HEAD_BYTES:
                return _short(len(head))
            problem = _head_problem(head, width_px, height_px)
            if problem is not None:
                return problem
            file.seek(-len(_END), 2)
            return None if file.read() == _END else "cut off: its end is missing"
    except FileNotFoundError:
        return "missing"
    except IsADirectoryError:
        return "a folder, expected a picture"
    except OSError as error:
        raise _unreadable(path, error) from error


def checksum_problem(path: Path, width_px: int, height_px: int) -> str | None:
    """What the checksums find wrong with a stored frame, or None: any flipped, missing or added byte, without decoding.

    Raises RenderDirectoryError if the disk refuses to read the file.
    """
    from pipeline.media.image.png import check_png

    data, problem = _read(path, width_px, height_px)
    if problem:
        return problem
    try:
        check_png(data)
    except ValueError as error:
        return str(error)
    return None


def load(path: Path, width_px: int, height_px: int) -> tuple[NDArray[np.uint8] | None, str]:
    """Read a stored frame whole, checksums included: `(rgb uint8 (H, W, 3), "")`, or `(None, what is wrong)`.

    Raises RenderDirectoryError if the disk refuses to read the file: a failing cable must not make a render start over.
    """
    from pipeline.media.image.png import decode_png  # needs OpenCV: only who reads pixels pays for it

    data, problem = _read(path, width_px, height_px)
    if problem:
        return None, problem
    try:
        rgb = decode_png(data)
    except (InputError, ValueError) as error:
        return None, str(error)
    if rgb.shape != (height_px, width_px, 3):
        return None, f"is {rgb.shape[1]}x{rgb.shape[0]}, expected {width_px}x{height_px}"
    return rgb, ""


def _read(path: Path, width_px: int, height_px: int) -> tuple[bytes, str]:
    """The bytes of a stored frame, and what a look at its header finds wrong ("" if nothing)."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return b"", "missing"
    except IsADirectoryError:
        return b"", "a folder, expected a picture"
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(data) < _HEAD_BYTES:
        return data, _short(len(data))
    return data, _head_problem(data[:_HEAD_BYTES], width_px, height_px) or ""


def _short(size: int) -> str:
    return "empty" if size == 0 else f"cut off after {size} bytes"


def _head_problem(head: bytes, width_px: int, height_px: int) -> str | None:
    if not head.startswith(_HEAD):
        return "not a PNG"
    width, height = struct.unpack_from(">II", head, len(_HEAD))
    if (width, height) != (width_px, height_px):
        return f"is {width}x{height}, expected {width_px}x{height_px}"
    return None


def _unreadable(path: Path, error: OSError) -> RenderDirectoryError:
    return RenderDirectoryError(
        f"{path}: cannot be read ({error.strerror})",
        hint="check the disk and the permissions; if the file cannot be saved, delete it and it is painted again",
    )

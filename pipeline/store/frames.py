"""Stored frames: their names, and telling a complete one from a damaged one."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import InputError, TemperaError
from pipeline.store.disk_errors import refused_read

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
    """Sizes in bytes of the chain's frames that have a file, in no order; empty if there is no folder.

    Frames are counted whether they are complete or not.
    """
    try:
        with os.scandir(render_path / FRAMES_NAME / chain.id) as entries:
            found = [(frame_index(entry.name), entry.stat().st_size) for entry in entries]
    except OSError:
        return []
    return [size for index, size in found if index is not None and index in chain.frames]


def outline_problem(path: Path, width_px: int, height_px: int) -> str | None:
    """What the first and the last bytes of a stored frame show to be wrong with it, or None.

    At the cost of two small reads this finds what a full disk or a copy that was cut off leaves: a frame that is
    missing, empty, truncated or of another size. Raises RenderDirectoryError if the disk refuses to read the file.
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
            return None if file.read() == _END else "truncated: its end is missing"
    except FileNotFoundError:
        return "missing"
    except IsADirectoryError:
        return "a folder, expected an image"
    except OSError as error:
        raise _unreadable(path, error) from error


def checksum_problem(path: Path, width_px: int, height_px: int) -> str | None:
    """What the checksums of a stored frame show to be wrong with it, or None.

    Any flipped, missing or added byte is found, without decoding the pixels. Raises RenderDirectoryError if the disk
    refuses to read the file.
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
    """Read and check a stored frame: `(rgb uint8 (H, W, 3), "")`, or `(None, what is wrong)`.

    Raises RenderDirectoryError if the disk refuses to read the file, which may be good: it is not reported as damaged.
    """
    from pipeline.media.image.png import decode_png  # needs OpenCV, which takes a while to import

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
    """The bytes of a stored frame, and what its header shows to be wrong ("" if nothing)."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return b"", "missing"
    except IsADirectoryError:
        return b"", "a folder, expected an image"
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(data) < _HEAD_BYTES:
        return data, _short(len(data))
    return data, _head_problem(data[:_HEAD_BYTES], width_px, height_px) or ""


def _short(size: int) -> str:
    return "empty" if size == 0 else f"truncated after {size} bytes"


def _head_problem(head: bytes, width_px: int, height_px: int) -> str | None:
    if not head.startswith(_HEAD):
        return "not a PNG"
    width, height = struct.unpack_from(">II", head, len(_HEAD))
    if (width, height) != (width_px, height_px):
        return f"is {width}x{height}, expected {width_px}x{height_px}"
    return None


def _unreadable(path: Path, error: OSError) -> TemperaError:
    hint = "check the disk and the permissions; if the file is lost, delete it and the frame is stylized again"
    return refused_read(path, error, hint=hint)

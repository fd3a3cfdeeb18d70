"""The sample timelapse as photos of a camera, with capture times."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import WriteError
from pipeline.runtime import atomic
from pipeline.sample.frame import sample_frame
from pipeline.sample.scene import build_scene

FIRST_PHOTO = datetime(2024, 6, 21, 5, 9, 0, 250000)  # EXIF times have no zone
INTERVAL = timedelta(minutes=1)
THREADS = 2


def write_sample(folder: Path, count: int = 48, width_px: int = 640, height_px: int = 360) -> list[Path]:
    """Write the timelapse into `folder` as `photo_0000.jpg` ... with capture times; returns the paths in order.

    Files are written atomically, and existing ones are replaced. Raises WriteError.
    """
    build_scene(width_px, height_px)  # is kept, so that the threads find it

    def write(index: int) -> Path:
        path = folder / f"photo_{index:04d}.jpg"
        data = _jpeg(sample_frame(index, count, width_px, height_px), FIRST_PHOTO + INTERVAL * index)
        atomic.write_bytes(path, data)
        return path

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(THREADS, thread_name_prefix="sample") as pool:
            return list(pool.map(write, range(count)))
    except OSError as error:
        raise WriteError(
            f"{folder}: the sample timelapse could not be written: {error}",
            hint="choose another folder with `tempera demo -o DIR`, or make room on the disk",
        ) from error


def _jpeg(image: NDArray[np.uint8], taken: datetime) -> bytes:
    """`image`, uint8 (H, W, 3) sRGB, as a JPEG of quality 95 with its capture time."""
    import cv2

    done, data = cv2.imencode(
        ".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    )
    if not done:
        raise OSError("the JPEG encoder failed")
    coded = data.tobytes()
    exif = _exif(taken)
    return coded[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + coded[2:]


def _exif(taken: datetime) -> bytes:
    """An EXIF block (big endian TIFF) with camera, DateTimeOriginal and SubSecTimeOriginal.

    Twelve-byte entries (tag, type, count, value or offset); texts of more than four bytes follow their table.
    """
    stamp = taken.strftime("%Y:%m:%d %H:%M:%S").encode() + b"\0"
    hundredths = f"{taken.microsecond // 10000:02d}".encode() + b"\0"

    def table(entries: list[tuple[int, int, bytes]], offset: int) -> bytes:
        head = struct.pack(">H", len(entries))
        tail_at = offset + 2 + 12 * len(entries) + 4
        tail = b""
        for tag, kind, value in entries:
            size = len(value) if kind == 2 else 1
            if len(value) <= 4:
                head += struct.pack(">HHI", tag, kind, size) + value.ljust(4, b"\0")
            else:
                head += struct.pack(">HHII", tag, kind, size, tail_at + len(tail))
                tail += value + b"\0" * (len(value) % 2)
        return head + struct.pack(">I", 0) + tail

    camera = [(0x010F, 2, b"Tempera\0"), (0x0110, 2, b"Sample\0"), (0x0112, 3, struct.pack(">H", 1))]
    pointer_at = len(table([*camera, (0x8769, 4, b"\0\0\0\0")], 8)) + 8
    first = table([*camera, (0x8769, 4, struct.pack(">I", pointer_at))], 8)
    second = table([(0x9003, 2, stamp), (0x9004, 2, stamp), (0x9291, 2, hundredths)], pointer_at)
    return b"Exif\0\0" + b"MM\0\x2a" + struct.pack(">I", 8) + first + second

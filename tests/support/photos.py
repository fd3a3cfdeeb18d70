"""Small JPEG photos with the EXIF that a test needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from pipeline.types import Source
from tests.support.clips import texture

ORIGINAL, DIGITIZED, DATE_TIME = 0x9003, 0x9004, 0x0132
SUBSEC_ORIGINAL, SUBSEC_DIGITIZED, OFFSET_ORIGINAL = 0x9291, 0x9292, 0x9011
MAKE, MODEL, SERIAL = 0x010F, 0x0110, 0xA431
EXPOSURE_S, F_NUMBER, ISO = 0x829A, 0x829D, 0x8827


def write_photo(
    path: Path,
    seed: int = 0,
    *,
    details: Mapping[int, Any] | None = None,
    main: Mapping[int, Any] | None = None,
    size: tuple[int, int] = (24, 16),
) -> Path:
    """Write a JPEG with these tags in its EXIF sub-IFD and in IFD 0; another seed gives another picture."""
    exif = Image.Exif()
    exif.update(main or {})
    exif.get_ifd(0x8769).update(details or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(texture(size, seed)).save(path, "JPEG", exif=exif, quality=95)
    return path


def at(second: float) -> dict[int, Any]:
    """The tags of a photo taken so many seconds after 10 o'clock, with milliseconds where there are any."""
    whole, part = int(second), round(second % 1 * 1000)
    clock = f"2024:05:04 {10 + whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return {ORIGINAL: clock} | ({SUBSEC_ORIGINAL: f"{part:03d}"} if part else {})


def names(source: Source) -> list[str]:
    """The names of the photos of a source's frames, in order."""
    return [Path(source.files[index]).name for index in source.decoded_indices]

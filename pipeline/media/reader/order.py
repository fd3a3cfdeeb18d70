"""The order of photos: by name with numbers by value, or by the time at which the camera took them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import PurePath
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from pipeline.media.image.limits import DECODE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

_DIGITS: Final = "0123456789"
_EXIF_IFD: Final = 0x8769
# Time, fraction of a second, offset from UTC. DateTime of IFD0 is left out: it is the time of the last edit and would
# put an edited series in the order of its export. Inside the sub-IFD it is the time of capture, written by libcamera.
_TIME_TAGS: Final = ((0x9003, 0x9291, 0x9011), (0x9004, 0x9292, 0x9012), (0x0132, 0x9290, 0x9010))
_TIME_TEXT: Final = re.compile(r"(\d{4})[:\-/](\d\d)[:\-/](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_OFFSET_TEXT: Final = re.compile(r"([+-])(\d\d):(\d\d)")


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """When a photo was taken by the camera's clock, and that clock's distance from UTC where the camera recorded it."""

    local: datetime
    offset: timedelta | None = None


def natural_key(path: str) -> tuple[object, ...]:
    """Sort key for names: numbers by value (`img2` before `img10`), case ignored, folders first by the same rule."""
    pure = PurePath(path)
    parts = (*pure.parent.parts, pure.stem, pure.suffix)
    return tuple(_name_pieces(part.casefold()) for part in parts), path


def _name_pieces(text: str) -> tuple[tuple[int, int, str], ...]:
    """A name in pieces that compare numbers by value, and before letters."""
    pieces = (piece for piece in re.split(r"([0-9]+)", text) if piece)
    return tuple((0, int(piece), "") if piece[0] in _DIGITS else (1, 0, piece) for piece in pieces)


def capture_time(exif: Image.Exif) -> CaptureTime | None:
    """When the camera took a photo, from the EXIF sub-IFD, with sub-seconds; None if it has none."""
    try:
        tags: dict[int, Any] = dict(exif.get_ifd(_EXIF_IFD))
    except DECODE_ERRORS:
        return None  # the EXIF block cannot be read
    for time_tag, fraction_tag, offset_tag in _TIME_TAGS:
        taken = _parse_time(tags.get(time_tag), tags.get(fraction_tag))
        if taken is not None:
            return CaptureTime(taken, _parse_offset(tags.get(offset_tag)))
    return None


def _parse_time(value: object, fraction: object) -> datetime | None:
    match = _TIME_TEXT.match(_text(value))
    if not match:
        return None
    year, month, day, hour, minute, second = (int(group) for group in match.groups())
    digits = re.match(r"\d+", _text(fraction))
    microseconds = int(digits[0][:6].ljust(6, "0")) if digits else 0
    try:
        return datetime(year, month, day, hour, minute, min(second, 59), microseconds)
    except ValueError:
        return None  # 0000:00:00 is how a camera with an unset clock writes it


def _parse_offset(value: object) -> timedelta | None:
    match = _OFFSET_TEXT.match(_text(value))
    if not match:
        return None
    minutes = int(match[2]) * 60 + int(match[3])
    return timedelta(minutes=-minutes if match[1] == "-" else minutes)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("ascii", errors="replace")
    return value.strip(" \0") if isinstance(value, str) else ""


def seconds_since_first(times: Sequence[CaptureTime | None]) -> list[float] | None:
    """Capture times in seconds from the first; None unless every photo has one and they are not all the same.

    The distance from UTC counts only if every photo states it.
    """
    known = [time for time in times if time is not None]
    if len(known) != len(times) or not known:
        return None
    if all(time.offset is not None for time in known):
        moments = [time.local - (time.offset or timedelta()) for time in known]
    else:
        moments = [time.local for time in known]
    first = min(moments)
    seconds = [(moment - first).total_seconds() for moment in moments]
    return seconds if max(seconds) > 0 else None


def describe_intervals(seconds: Sequence[float], names: Sequence[str]) -> list[str]:
    """Notes about the capture times of photos in order: single gaps, or that the intervals are uneven throughout."""
    steps = [b - a for a, b in pairwise(seconds)]
    if len(steps) < 3:
        return []
    usual = median(steps)
    gaps = [(step, name) for step, name in zip(steps, names, strict=False) if step > 1.5 * usual and step > usual + 1]
    if not gaps:
        return []
    if len(gaps) > max(3, len(steps) // 10):
        return [f"The intervals are uneven: {min(steps):g} to {max(steps):g} s, usually {usual:g} s."]
    return [f"Gap of {step:g} s after {name} (usual interval {usual:g} s)." for step, name in gaps]

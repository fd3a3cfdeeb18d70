"""What the EXIF of a photo says: when, with which camera and how it was taken. Every value may be missing or absurd."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pipeline.media.image.limits import DECODE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

_EXIF_IFD: Final = 0x8769
# Time, fraction of a second, offset from UTC: of the exposure, and of its digitization.
_CAPTURE_TAGS: Final = ((0x9003, 0x9291, 0x9011), (0x9004, 0x9292, 0x9012))
_DATE_TIME_TAGS: Final = (0x0132, 0x9290, 0x9010)
_MAKE: Final = 0x010F
_MODEL: Final = 0x0110
_SERIALS: Final = (0xA431, 0xC62F)
_EXPOSURE_S: Final = 0x829A
_F_NUMBER: Final = 0x829D
# Photographic sensitivity; cameras that go beyond 16 bits write 65535 there, and the value into one of the others.
_ISO_TAGS: Final = (0x8827, 0x8833, 0x8831, 0x8832)
_ISO_BEYOND: Final = 65535
_TIME_TEXT: Final = re.compile(
    r"(\d{4})[:\-/.](\d\d)[:\-/.](\d\d)[ T](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))? ?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_OFFSET_TEXT: Final = re.compile(r"([+-])(\d\d):?(\d\d)", re.ASCII)
_YEARS: Final = range(1900, 2200)
_WIDEST_OFFSET: Final = timedelta(hours=15)
_LONGEST_TEXT: Final = 64


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """When a photo was taken by the camera's clock, and that clock's distance from UTC where it is known."""

    local: datetime
    offset: timedelta | None = None


@dataclass(frozen=True, slots=True)
class PhotoExif:
    """When, with what and how a photo was taken. None and "": not stated, or nothing that makes sense.

    `camera` is make and model in one, `exposure_s` in seconds.
    """

    taken: CaptureTime | None = None
    camera: str = ""
    serial: str = ""
    exposure_s: float | None = None
    f_number: float | None = None
    iso: float | None = None

    @property
    def exposure_stops(self) -> float | None:
        """How bright the settings expose, in stops: log2(t ISO / N^2). A lens without contacts states no N: it is 1."""
        if self.exposure_s is None or self.iso is None:
            return None
        return math.log2(self.exposure_s * self.iso / (self.f_number or 1) ** 2)


def read_exif(exif: Image.Exif) -> PhotoExif:
    """What EXIF says. Nothing that stands there raises an error."""
    try:
        main: dict[int, Any] = dict(exif)
    except DECODE_ERRORS:
        return PhotoExif()
    try:
        details: dict[int, Any] = dict(exif.get_ifd(_EXIF_IFD))
    except DECODE_ERRORS:
        details = {}
    # libcamera writes everything into the sub-IFD, TIFF/EP everything into IFD 0
    tags = main | details
    make, model = _text(tags.get(_MAKE)), _text(tags.get(_MODEL))
    iso = [value for tag in _ISO_TAGS if (value := _positive(tags.get(tag))) not in (None, _ISO_BEYOND)]
    return PhotoExif(
        taken=_capture_time(main, details, by_camera=bool(make)),
        camera=_camera_name(make, model),
        serial=next((text for tag in _SERIALS if (text := _text(tags.get(tag)))), ""),
        exposure_s=_positive(tags.get(_EXPOSURE_S)),
        f_number=_positive(tags.get(_F_NUMBER)),
        iso=iso[0] if iso else None,
    )


def _capture_time(main: Mapping[int, Any], details: Mapping[int, Any], *, by_camera: bool) -> CaptureTime | None:
    """The time of the exposure, else of the digitization, else `DateTime`.

    `DateTime` is the time of the last edit and would put an edited series in the order of its export. It counts in the
    sub-IFD, where libcamera writes it when it takes the photo, and where a camera's make is stated and no other time.
    """
    merged = {**main, **details}
    sources: list[tuple[Mapping[int, Any], tuple[int, int, int]]] = [(merged, tags) for tags in _CAPTURE_TAGS]
    sources.append((details, _DATE_TIME_TAGS))
    if by_camera:
        sources.append((merged, _DATE_TIME_TAGS))
    for values, (time_tag, fraction_tag, offset_tag) in sources:
        taken = _parse_time(values.get(time_tag), values.get(fraction_tag), values.get(offset_tag))
        if taken is not None:
            return taken
    return None


def _parse_time(value: object, fraction: object, offset: object) -> CaptureTime | None:
    """`2024:05:04 10:00:00` and how other programs write it: with dashes, a T, a fraction, and a zone."""
    match = _TIME_TEXT.match(_text(value))
    if not match or int(match[1]) not in _YEARS:
        return None
    year, month, day, hour, minute, second = (int(group) for group in match.groups()[:6])
    digits = re.match(r"[0-9]+", _text(fraction))
    part = digits[0] if digits else match[7] or ""
    try:
        local = datetime(year, month, day, hour, minute, min(second, 59), int(part[:6].ljust(6, "0")))
    except ValueError:
        return None  # 0000:00:00 is how a camera with an unset clock writes it
    return CaptureTime(local, _parse_offset(_text(offset) or match[8] or ""))


def _parse_offset(text: str) -> timedelta | None:
    if text == "Z":
        return timedelta()
    match = _OFFSET_TEXT.match(text)
    if not match:
        return None
    distance = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return None if distance > _WIDEST_OFFSET else -distance if match[1] == "-" else distance


def _camera_name(make: str, model: str) -> str:
    """`Canon EOS 7D` of Canon and Canon EOS 7D, `NIKON D850` of NIKON CORPORATION and NIKON D850."""
    same = make and model and make.casefold().split(" ", 1)[0] == model.casefold().split(" ", 1)[0]
    return model if same else f"{make} {model}".strip()


def _text(value: object) -> str:
    """The first characters of a text, printable and with single spaces; "" for anything else."""
    if isinstance(value, bytes):
        value = value[:_LONGEST_TEXT].decode("ascii", errors="replace")
    if not isinstance(value, str):
        return ""
    text = value[:_LONGEST_TEXT].split("\0", 1)[0]
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _positive(value: object) -> float | None:
    """A number above 0 that is one: rationals may have a denominator of 0, and a tag more values than one."""
    if isinstance(value, tuple):
        value = value[0] if value else None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError):
        return None
    return number if math.isfinite(number) and 0 < number < 1e9 else None

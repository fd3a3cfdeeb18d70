"""What `tempera probe` tells about photos beside their `Source`: cameras, times, gaps, exposure, profile and depth."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from PIL import ImageCms

from pipeline.errors import InputError
from pipeline.media.image.limits import DECODE_ERRORS
from pipeline.media.image.load import open_image
from pipeline.media.image.sniff import photo_format, read_head
from pipeline.media.reader.cameras import count_cameras, describe_cameras
from pipeline.media.reader.header import read_header
from pipeline.media.reader.intervals import describe_gaps, find_gaps, intervals, usual_interval
from pipeline.media.reader.order import put_in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image

    from pipeline.config.settings import InputSettings
    from pipeline.media.reader.exif import CaptureTime, PhotoExif
    from pipeline.media.reader.header import PhotoHeader
    from pipeline.types import Source

JUMP_STOPS: Final = 1.0
"""Change of the exposure settings from one photo to the next, in stops, above which it is told."""
RAW_BITS: Final = 16
"""Bits per sample to which raw files are developed."""
_SHOWN_JUMPS: Final = 5
_PNG_DEPTH_AT: Final = 24
_BITS_TAG: Final = 258


@dataclass(frozen=True, slots=True)
class GapFacts:
    """A gap behind the photo `file`, which is frame `frame`; times as in EXIF, local and without a zone."""

    frame: int
    file: str
    seconds: float
    begins: str
    ends: str


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """What the headers of the photos to be rendered say.

    `with_time` is how many photos have a capture time in EXIF. `first` and `last` are local times in ISO 8601, and
    `interval_s`, `shortest_s` and `longest_s` the usual and the extreme intervals; None if the times are not known or
    not in order. `iso`, `exposure_s` and `f_number` are the least and the largest; None if no photo states one.
    `cameras`, `profiles` and `depths` count photos by camera, ICC profile ("": none) and bits per sample (0: unknown).
    """

    with_time: int
    cameras: dict[str, int]
    first: str | None
    last: str | None
    interval_s: float | None
    shortest_s: float | None
    longest_s: float | None
    gaps: tuple[GapFacts, ...]
    iso: tuple[float, float] | None
    exposure_s: tuple[float, float] | None
    f_number: tuple[float, float] | None
    profiles: dict[str, int]
    depths: dict[int, int]
    warnings: tuple[str, ...]


def photo_facts(source: Source, settings: InputSettings) -> PhotoFacts:
    """Read the headers of all photos of a source once more. Raises InputError if one is no longer there."""
    listed = settings.model_copy(update={"order": "listed"})
    headers = [read_header(file) for file in source.files]
    ordered = put_in_order(headers, listed, in_given_order=True, by_number=False)
    begin, end = min(source.decoded_indices), max(source.decoded_indices) + 1
    chosen = headers[begin:end]
    times, seconds = ordered.times[begin:end], ordered.seconds[begin:end]
    steps = intervals(seconds)
    gaps = find_gaps(ordered.seconds)
    known = [gap for gap in gaps if begin <= gap.after < end - 1]
    exifs = [header.exif for header in chosen]
    pictures = [_picture(header) for header in chosen if header.error is None]
    warnings = [
        *describe_gaps(ordered, gaps, begin, end),
        *describe_cameras(chosen, by_time=source.order == "capture time"),
        *_describe_jumps(chosen),
    ]
    return PhotoFacts(
        with_time=sum(exif.taken is not None for exif in exifs),
        cameras=count_cameras(chosen),
        first=_iso(times[0]) if times else None,
        last=_iso(times[-1]) if times else None,
        interval_s=usual_interval(seconds),
        shortest_s=min(steps, default=None),
        longest_s=max(steps, default=None),
        gaps=tuple(
            GapFacts(
                frame=bisect_right(source.decoded_indices, gap.after) - 1,
                file=source.files[gap.after],
                seconds=gap.seconds,
                begins=_iso(ordered.times[gap.after]),
                ends=_iso(ordered.times[gap.after + 1]),
            )
            for gap in known
        ),
        iso=_range(exifs, lambda exif: exif.iso),
        exposure_s=_range(exifs, lambda exif: exif.exposure_s),
        f_number=_range(exifs, lambda exif: exif.f_number),
        profiles=dict(Counter(profile for profile, _ in pictures)),
        depths=dict(Counter(depth for _, depth in pictures)),
        warnings=tuple(warnings),
    )


def _iso(time: CaptureTime) -> str:
    return time.local.isoformat(timespec="milliseconds" if time.local.microsecond else "seconds")


def shutter_text(seconds: float) -> str:
    """An exposure time as photographers write it: `1/250 s`, `0.5 s`, `30 s`."""
    return f"1/{round(1 / seconds)} s" if seconds < 0.3 else f"{seconds:g} s"


def _range(exifs: Sequence[PhotoExif], value: Callable[[PhotoExif], float | None]) -> tuple[float, float] | None:
    found = [number for exif in exifs if (number := value(exif)) is not None]
    return (min(found), max(found)) if found else None


def _describe_jumps(photos: Sequence[PhotoHeader]) -> list[str]:
    """Sentences on photos whose settings expose more than a stop brighter or darker than those of the one before."""
    jumps = []
    for before, after in pairwise(photos):
        a, b = before.exif.exposure_stops, after.exif.exposure_stops
        if a is not None and b is not None and abs(b - a) > JUMP_STOPS + 0.01:
            jumps.append(f"The exposure settings jump by {b - a:+.1f} stops at {after.name}.")
    if len(jumps) > _SHOWN_JUMPS:
        return [f"The exposure settings jump by more than a stop {len(jumps)} times. {jumps[0]}"]
    return jumps


def _picture(header: PhotoHeader) -> tuple[str, int]:
    """The name of the ICC profile of a photo, "" if it has none, and its bits per sample as read, 0 if unknown."""
    head = read_head(header.file)
    if photo_format(header.file, head) == "RAW":
        return "camera raw", RAW_BITS
    try:
        with open_image(header.file, head=head) as image:
            return _profile_name(image), _bits(image, head)
    except (InputError, *DECODE_ERRORS):
        return "", 0


def _profile_name(image: Image.Image) -> str:
    data = image.info.get("icc_profile")
    if not data:
        return ""
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(data)))
    except (*DECODE_ERRORS, ImageCms.PyCMSError):
        return "damaged"
    return " ".join(name.split())[:80] or "unnamed"


def _bits(image: Image.Image, head: bytes) -> int:
    if image.format == "PNG":
        return head[_PNG_DEPTH_AT]
    if image.format == "TIFF":
        return int(max(getattr(image, "tag_v2", {}).get(_BITS_TAG, (0,))))
    return int(image.info.get("bit_depth") or (0 if image.mode in ("I;16", "I", "F") else 8))

"""Photos as frames: their order, their common size, and which of them are damaged."""

from __future__ import annotations

import mmap
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.config.raw import RawSettings
from pipeline.errors import DamagedInputError, InputError
from pipeline.media.image.arrays import fit, resize
from pipeline.media.image.photo import decode_photo, open_photo, photo_size
from pipeline.media.image.raw import Development, development
from pipeline.media.reader.damage import describe, fill
from pipeline.media.reader.order import (
    CaptureTime,
    capture_time,
    describe_intervals,
    natural_key,
    seconds_since_first,
)
from pipeline.media.reader.timing import check_fps, check_slice_end, choose
from pipeline.types import Source

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from pipeline.config.settings import InputSettings
    from pipeline.media.reader.inputs import InputFiles
    from pipeline.types import Pixels

PHOTO_FPS: Final = Fraction(24)
_DAMAGE_HINT: Final = "--set input.on_damaged=hold or =skip goes past it"
_PNG_END: Final = b"IEND\xaeB`\x82"


@dataclass(frozen=True, slots=True)
class _Photo:
    """Size and capture time from the header of a photo; an error instead if it is damaged."""

    file: str
    size: tuple[int, int] | None
    taken: CaptureTime | None
    error: DamagedInputError | None = None
    remarks: tuple[str, ...] = ()


def probe(
    found: InputFiles,
    settings: InputSettings,
    *,
    frames: tuple[int | None, int | None] | None,
    fps: Fraction | None,
) -> Source:
    """Order the photos, choose the slice, and check each chosen one.

    With `input.on_damaged=stop` they are checked as far as is possible without decoding; else each is decoded, since
    only that shows which ones to hold or skip. Frames are shown at `fps` (24 by default), time stamps are consecutive.

    Raises InputError for a photo that is cut off or, with `input.fit=strict`, of another size than the first;
    UsageError for a bad slice or rate.
    """
    check_fps(fps)
    begin, end = check_slice_end(frames, len(found.files))
    photos, order, notes = _in_order([_read_header(file) for file in found.files], found, settings)
    rate = fps or PHOTO_FPS
    decoded_indices = list(range(begin, end))
    if settings.on_damaged == "stop":
        for photo in photos[begin:end]:
            if photo.error is not None:
                raise DamagedInputError(photo.error.message, hint=f"{photo.error.hint}; or {_DAMAGE_HINT}")
            _check_complete(photo.file)
    else:
        decoded_indices, sentence = _without_damaged(photos, begin, end, settings, rate)
        notes += sentence
    chosen = [photos[index] for index in decoded_indices]
    size = chosen[0].size
    assert size is not None  # only a damaged photo has none
    notes += _check_sizes(chosen, size, settings) + _remarks(chosen)
    timeline = choose(list(range(len(chosen))), 0, len(chosen), 1 / rate, None)
    return Source(
        path=found.path,
        kind="photos",
        files=tuple(photo.file for photo in photos),
        width_px=size[0],
        height_px=size[1],
        frame_rate=rate,
        time_base=timeline.time_base,
        pts=timeline.pts,
        duration_ticks=timeline.duration_ticks,
        decoded_indices=tuple(decoded_indices),
        order=order,
        notes=(*found.notes, *notes),
    )


def _without_damaged(
    photos: list[_Photo], begin: int, end: int, settings: InputSettings, rate: Fraction
) -> tuple[list[int], list[str]]:
    """The index of the photo to show for each of [begin, end), undamaged ones only, and notes for the user.

    Raises InputError if none can be decoded.
    """
    damage = {index: reason for index in range(begin, end) if (reason := _damage(photos[index]))}
    if len(damage) == end - begin:
        raise DamagedInputError(
            f"not one of {len(damage)} photos can be decoded: {damage[begin]}", hint="copy or export them again"
        )
    shown: list[int | None] = [None if index in damage else index for index in range(end)]
    if begin in damage and settings.on_damaged == "hold":
        # The photo before the first one is not rendered, but it is the one to show again.
        before = next((index for index in range(begin - 1, -1, -1) if not _damage(photos[index])), None)
        shown[:begin] = [before] * begin
    decoded_indices = [index for index in fill(shown, settings.on_damaged)[begin:] if index is not None]
    named = [f"{index} ({Path(photos[index].file).name}, {float((index - begin) / rate):.3f} s)" for index in damage]
    return decoded_indices, [
        describe(Path(photos[begin].file).parent.name, named, settings.on_damaged)
    ] if named else []


def _damage(photo: _Photo) -> str:
    """Why a photo cannot be decoded, "" if it can. JPEG is decoded small, which reads every byte too."""
    if photo.error is not None:
        return photo.error.message
    try:
        _check_complete(photo.file)
        decode_photo(photo.file, (1, 1), lambda: development((photo.file,), RawSettings()))
    except DamagedInputError as error:
        return error.message
    return ""


def read(source: Source, start: int, stop: int, size: tuple[int, int], settings: InputSettings) -> Generator[Pixels]:
    """Decode the photos of frames [start, stop), one at a time, in the size (width, height) in px.

    uint8 or uint16 (H, W, 3). All raw files have one development, which is that of the first raw file of the source.

    Raises InputError, naming the photo and the frame, if one is damaged or no longer has the size it had.
    """
    common = (source.width_px, source.height_px)

    @cache
    def developed() -> Development:
        return development(source.files, settings.raw)

    for index in range(start, stop):
        file = source.files[source.decoded_indices[index]]
        try:
            found = photo_size(file)
            if found == common or settings.fit != "strict":
                rgb = decode_photo(file, size, developed)
        except DamagedInputError as error:
            raise DamagedInputError(
                f"frame {index}: {error.message}", hint=f"{error.hint}; or {_DAMAGE_HINT}"
            ) from None
        except InputError as error:
            raise InputError(f"frame {index}: {error.message}", hint=error.hint) from None
        if found == common:
            yield resize(rgb, *size)
        elif settings.fit == "strict":
            raise _odd_size(file, found, source.files[source.decoded_indices[0]], common)
        else:
            yield fit(rgb, *size, settings.fit)


def _read_header(file: str) -> _Photo:
    try:
        photo = open_photo(file)
    except DamagedInputError as error:
        return _Photo(file, None, None, error)
    return _Photo(file, photo.size, capture_time(photo.exif), remarks=photo.remarks)


def _in_order(photos: list[_Photo], found: InputFiles, settings: InputSettings) -> tuple[list[_Photo], str, list[str]]:
    """The photos in the order of the settings, the kind of that order, and notes about their capture times."""
    readable = [photo for photo in photos if photo.size is not None]
    seconds = seconds_since_first([photo.taken for photo in readable])
    if settings.order == "time" and seconds is None and len(readable) > 1:
        without = next((photo.file for photo in readable if photo.taken is None), None)
        raise InputError(
            f"{without}: has no capture time" if without else f"{found.path}: all photos have the same capture time",
            hint="--set input.order=name orders the photos by name",
        )
    if settings.order == "name":
        ranked = sorted(photos, key=lambda photo: natural_key(photo.file))
        return ranked, "name", []
    if found.in_given_order and settings.order != "time":
        return photos, "name" if found.by_number else "as listed", []
    if seconds is None:
        partly = sum(photo.taken is not None for photo in photos)
        notes = [f"Only {partly} of {len(readable)} photos have a capture time: ordered by name."] if partly else []
        return photos, "name", notes if 0 < partly < len(readable) else []
    # The sort is stable and the photos are in name order, which breaks ties between photos of the same time. A photo
    # whose header is damaged follows the one before it in that order.
    times: list[float] = []
    clock = iter(seconds)
    for photo in photos:
        times.append(next(clock) if photo.size is not None else times[-1] if times else 0.0)
    ranking = sorted(range(len(photos)), key=lambda index: times[index])
    timed = [index for index in ranking if photos[index].size is not None]
    notes = describe_intervals([times[index] for index in timed], [Path(photos[index].file).name for index in timed])
    if ranking != sorted(ranking):
        notes.insert(0, "The capture times order the photos differently from their names: --set input.order=name.")
    return [photos[index] for index in ranking], "capture time", notes


def _check_sizes(photos: Sequence[_Photo], size: tuple[int, int], settings: InputSettings) -> list[str]:
    odd = [photo for photo in photos if photo.size != size]
    if not odd:
        return []
    if settings.fit == "strict":
        raise _odd_size(odd[0].file, odd[0].size or (0, 0), photos[0].file, size)
    done = "cropped" if settings.fit == "cover" else "letterboxed"
    return [f"{len(odd)} of {len(photos)} photos have another size and are {done} to {size[0]}x{size[1]} px."]


def _remarks(photos: Sequence[_Photo]) -> list[str]:
    """What was remarked about photos, each remark once, with their number."""
    counts = Counter(remark for photo in photos for remark in photo.remarks)
    return [f"{count} of {len(photos)} photos {remark}." for remark, count in counts.items()]


def _odd_size(file: str, size: tuple[int, int], first: str, expected: tuple[int, int]) -> InputError:
    return InputError(
        f"{file}: is {size[0]}x{size[1]} px; expected {expected[0]}x{expected[1]} px as {first}",
        hint="--set input.fit=cover crops photos of another size, --set input.fit=contain letterboxes them",
    )


def _check_complete(file: str) -> None:
    """Find a JPEG or PNG that was cut off, without decoding: it must have an end after the start of its pixels.

    Damage between them shows only when it is decoded.
    """
    try:
        with Path(file).open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            size = len(data)
            complete = True
            if data[:2] == b"\xff\xd8":
                # Inside the pixel data 0xFF is always escaped, so the next end marker is the real one. A search from
                # the end of the file would find others: phones append whole videos.
                complete = data.find(b"\xff\xd9", _start_of_scan(data)) >= 0
            elif data[:4] == b"\x89PNG":
                complete = data.rfind(_PNG_END) >= 0
    except (OSError, ValueError) as error:  # removed or emptied since its header was read
        raise InputError(f"{file}: cannot be read ({error})", hint="check the file and its permissions") from None
    if not complete:
        raise DamagedInputError(
            f"{file}: the image is cut off after {size} bytes",
            hint=f"copy or export the file again, or leave it out; or {_DAMAGE_HINT}",
        )


def _start_of_scan(data: mmap.mmap) -> int:
    """Offset of the pixels of a JPEG: after its segments, each of which states its length."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:
            break
        # 0xFF may be repeated as padding; markers 01 and D0 to D7 have no length
        alone = marker == 0x01 or 0xD0 <= marker <= 0xD7
        at += 1 if marker == 0xFF else 2 if alone else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at

"""Photos as frames: their order, their common size, and what can be known about each before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import InputError
from pipeline.image import fit, open_image, render_frame, resize, upright_size
from pipeline.reader.digest import digest_files
from pipeline.reader.order import CaptureTime, capture_time, describe_intervals, natural_key, seconds_since_first
from pipeline.reader.timing import check_fps, check_slice_end, choose
from pipeline.types import Source

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from pipeline.config import InputSettings
    from pipeline.reader.inputs import Found

PHOTO_FPS: Final = Fraction(24)
_PNG_END: Final = b"IEND\xaeB`\x82"


@dataclass(frozen=True, slots=True)
class _Photo:
    """What the header of a photo says."""

    file: str
    size: tuple[int, int]
    taken: CaptureTime | None


def probe(
    found: Found,
    settings: InputSettings,
    *,
    frames: tuple[int | None, int | None] | None,
    fps: Fraction | None,
) -> Source:
    """Order the photos, choose the slice, and check each chosen one as far as that goes without decoding it.

    Frames are shown at `fps` (24 by default), time stamps are consecutive. Raises InputError for a photo that is cut
    off or, with `input.fit=strict`, of another size than the first; UsageError for a bad slice or rate.
    """
    check_fps(fps)
    begin, end = check_slice_end(frames, len(found.files))
    photos, order, notes = _in_order([_look(file) for file in found.files], found, settings)
    chosen = photos[begin:end]
    for photo in chosen:
        _check_whole(photo.file)
    sizes = [photo.size for photo in chosen]
    notes += _check_sizes(chosen, sizes, settings)
    rate = fps or PHOTO_FPS
    timeline = choose(list(range(len(chosen))), begin, len(chosen), 1 / rate, None)
    return Source(
        path=found.path,
        kind="photos",
        files=tuple(photo.file for photo in photos),
        width_px=sizes[0][0],
        height_px=sizes[0][1],
        frame_rate=rate,
        time_base=timeline.time_base,
        pts=timeline.pts,
        duration_ticks=timeline.duration_ticks,
        picks=timeline.picks,
        digest=digest_files([photo.file for photo in chosen]),
        order=order,
        notes=(*found.notes, *notes),
    )


def read(
    source: Source, start: int, stop: int, size: tuple[int, int], settings: InputSettings
) -> Generator[NDArray[np.uint8]]:
    """Decode the photos of frames [start, stop), one at a time, in the size (width, height) in px.

    Raises InputError, naming the photo and the frame, if one is damaged or no longer has the size it had.
    """
    common = (source.width_px, source.height_px)
    for index in range(start, stop):
        file = source.files[source.picks[index]]
        try:
            with open_image(file) as image:
                found = upright_size(image)
                if found == common or settings.fit != "strict":
                    _decode_smaller(image, size)
                    rgb = render_frame(image, file)
        except InputError as error:
            raise InputError(f"frame {index}: {error.message}", hint=error.hint) from None
        if found == common:
            yield resize(rgb, *size)
        elif settings.fit == "strict":
            raise _odd_size(file, found, source.files[source.picks[0]], common)
        else:
            yield fit(rgb, *size, settings.fit)


def _decode_smaller(image: Image.Image, size: tuple[int, int]) -> None:
    """Let the JPEG decoder itself scale down, by 2, 4 or 8, as long as twice the wanted size remains on both sides.

    A camera's photo of 24 megapixels is then read several times as fast.
    """
    longer = 2 * max(size)
    image.draft(None, (longer, longer))


def _look(file: str) -> _Photo:
    with open_image(file) as image:
        return _Photo(file, upright_size(image), capture_time(image))


def _in_order(photos: list[_Photo], found: Found, settings: InputSettings) -> tuple[list[_Photo], str, list[str]]:
    """The photos in the order of the settings, why they stand so, and notes about their capture times."""
    seconds = seconds_since_first([photo.taken for photo in photos])
    if settings.order == "time" and seconds is None and len(photos) > 1:
        without = next((photo.file for photo in photos if photo.taken is None), None)
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
        notes = [f"Only {partly} of {len(photos)} photos have a capture time: ordered by name."] if partly else []
        return photos, "name", notes if 0 < partly < len(photos) else []
    # The sort is stable and the photos come in name order: that breaks ties between photos of the same moment.
    ranking = sorted(range(len(photos)), key=lambda place: seconds[place])
    notes = describe_intervals([seconds[i] for i in ranking], [Path(photos[i].file).name for i in ranking])
    if ranking != sorted(ranking):
        notes.insert(0, "The capture times order the photos differently from their names: --set input.order=name.")
    return [photos[i] for i in ranking], "capture time", notes


def _check_sizes(photos: Sequence[_Photo], sizes: Sequence[tuple[int, int]], settings: InputSettings) -> list[str]:
    odd = [photo for photo in photos if photo.size != sizes[0]]
    if not odd:
        return []
    if settings.fit == "strict":
        raise _odd_size(odd[0].file, odd[0].size, photos[0].file, sizes[0])
    done = "cropped" if settings.fit == "cover" else "letterboxed"
    return [f"{len(odd)} of {len(photos)} photos have another size and are {done} to {sizes[0][0]}x{sizes[0][1]} px."]


def _odd_size(file: str, size: tuple[int, int], first: str, expected: tuple[int, int]) -> InputError:
    return InputError(
        f"{file}: is {size[0]}x{size[1]} px; expected {expected[0]}x{expected[1]} px as {first}",
        hint="--set input.fit=cover crops photos of another size, --set input.fit=contain letterboxes them",
    )


def _check_whole(file: str) -> None:
    """Find a JPEG or PNG that was cut off, without decoding: it must have an end after the start of its pixels.

    A card that ran full is found now and not after hours of painting. Damage inside shows only when decoded.
    """
    data = Path(file).read_bytes()
    whole = True
    if data.startswith(b"\xff\xd8"):
        # Inside the pixel data 0xFF is always escaped, so the next end marker is the real one. Looking from the file's
        # end would not do: a thumbnail before the pixels has an end marker, and phones append whole videos.
        whole = data.find(b"\xff\xd9", _start_of_scan(data)) >= 0
    elif data.startswith(b"\x89PNG"):
        whole = _PNG_END in data
    if not whole:
        raise InputError(
            f"{file}: the picture is cut off after {len(data)} bytes",
            hint="copy or export the file again, or leave it out",
        )


def _start_of_scan(data: bytes) -> int:
    """Where the pixels of a JPEG start: behind its segments, each of which says how long it is."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xDA:
            break
        # 0xFF may be repeated as padding; markers 01 and D0 to D7 stand alone
        alone = marker == 0x01 or 0xD0 <= marker <= 0xD7
        place += 1 if marker == 0xFF else 2 if alone else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return place

"""Photos as frames: their order, their common size, and which of them are damaged."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.raw import RawSettings
from pipeline.errors import DamagedInputError, InputError
from pipeline.media.image.arrays import fit, resize
from pipeline.media.image.photo import decode_photo
from pipeline.media.image.raw import Development, development
from pipeline.media.reader.cameras import camera_names, describe_cameras, of_camera
from pipeline.media.reader.complete import DAMAGE_HINT, check_complete
from pipeline.media.reader.damage import describe, fill
from pipeline.media.reader.duplicates import without_duplicates
from pipeline.media.reader.header import PhotoHeader, read_header
from pipeline.media.reader.intervals import (
    PHOTO_FPS,
    describe_gaps,
    find_gaps,
    photo_rate,
    start_ticks,
    usual_interval,
)
from pipeline.media.reader.order import OrderedPhotos, put_in_order
from pipeline.media.reader.timing import check_slice_end
from pipeline.types import Source

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from fractions import Fraction

    from pipeline.config.settings import InputSettings
    from pipeline.media.reader.inputs import InputFiles
    from pipeline.types import FrameSlice, Pixels


def probe(
    found: InputFiles,
    settings: InputSettings,
    *,
    frames: FrameSlice | None,
    fps: Fraction | None,
) -> Source:
    """Order the photos, choose the slice, and check each chosen one.

    With `input.on_damaged=stop` they are checked as far as is possible without decoding; else each is decoded, since
    only that shows which ones to hold or skip. Frames are shown at `fps`, by default that of `photo_rate`, with a step
    too: every tenth photo is a timelapse ten times as fast. Time stamps are consecutive, unless `input.gaps` stretches
    them where photos are missing.

    Raises InputError for a photo that is cut off or, with `input.fit=strict`, of another size than the first;
    UsageError for a bad slice.
    """
    ordered, notes = _in_order(found, settings)
    photos = ordered.photos
    wanted = check_slice_end(frames, len(photos))
    begin, end = wanted.start, wanted.stop
    rate = fps or photo_rate(len(photos), usual_interval(ordered.seconds))
    notes += describe_cameras([photos[index] for index in wanted], by_time=ordered.by == "capture time")
    gaps = find_gaps(ordered.seconds)
    notes += describe_gaps(ordered, gaps, begin, end)
    shown: list[int | None] = list(wanted)
    if settings.on_damaged == "stop":
        for photo in (photos[index] for index in wanted):
            if photo.error is not None:
                raise DamagedInputError(photo.error.message, hint=f"{photo.error.hint}; or {DAMAGE_HINT}")
            check_complete(photo.file)
    else:
        shown, sentence = _without_damaged(photos, wanted, settings, rate)
        notes += sentence
    decoded_indices = [index for index in shown if index is not None]
    chosen = [photos[index] for index in decoded_indices]
    size = chosen[0].size
    assert size is not None  # only a damaged photo has none
    notes += _check_sizes(chosen, size, settings) + _remarks(chosen)
    if fps is None and rate != PHOTO_FPS:
        notes.append(f"A burst of {len(photos)} photos, shown at {rate} fps: --fps sets another rate.")
    source = Source(
        path=found.path,
        kind="photos",
        files=tuple(photo.file for photo in photos),
        width_px=size[0],
        height_px=size[1],
        frame_rate=rate,
        time_base=1 / rate,
        pts=tuple(range(len(chosen))),
        duration_ticks=1,
        decoded_indices=tuple(decoded_indices),
        order=ordered.by,
        notes=(*found.notes, *notes),
    )
    if settings.gaps == "keep":
        return source
    ticks = [tick // wanted.step for tick in start_ticks(ordered, gaps, begin, end, rate)[:: wanted.step]]
    pts = [tick for tick, index in zip(ticks, shown, strict=True) if index is not None]
    return _stretched(source, pts, ordered, settings)


def _stretched(source: Source, pts: Sequence[int], ordered: OrderedPhotos, settings: InputSettings) -> Source:
    """The source with these ticks of its frames, between which there is more than one where photos are missing."""
    stretched = [frame for frame in range(len(pts) - 1) if pts[frame + 1] - pts[frame] > 1]
    return replace(
        source,
        pts=tuple(tick - pts[0] for tick in pts),
        gaps_to_fill=tuple(stretched) if settings.gaps == "interpolate" else (),
        notes=(*source.notes, _describe_stretched(len(stretched), ordered, settings)),
    )


def _in_order(found: InputFiles, settings: InputSettings) -> tuple[OrderedPhotos, list[str]]:
    """The photos to be shown, in order, and notes on those that are not and on the order."""
    photos, notes = of_camera([read_header(file) for file in found.files], settings.camera)
    if settings.duplicates == "drop" or not found.in_given_order:  # a list may well name a photo twice
        photos, sentences = without_duplicates(photos, settings.duplicates)
        notes += sentences
    ordered = put_in_order(photos, settings, in_given_order=found.in_given_order, by_number=found.by_number)
    return ordered, [*notes, *ordered.notes]


def _describe_stretched(count: int, ordered: OrderedPhotos, settings: InputSettings) -> str:
    if not ordered.seconds:
        return f"input.gaps={settings.gaps}: the photos have no times in their order, so no gaps are known."
    if not count:
        return f"input.gaps={settings.gaps}: no photos are missing."
    how = "shown as long as it lasts" if settings.gaps == "hold" else "continued by in-betweens"
    return f"input.gaps={settings.gaps}: {count} gap{'s' * (count != 1)}, the photo before each is {how}."


def _without_damaged(
    photos: Sequence[PhotoHeader], wanted: range, settings: InputSettings, rate: Fraction
) -> tuple[list[int | None], list[str]]:
    """The index of the photo to show for each one `wanted`, undamaged ones only, and notes for the user.

    None: it is left out. Raises InputError if none can be decoded.
    """
    damage = {index: reason for index in wanted if (reason := _damage(photos[index]))}
    if len(damage) == len(wanted):
        raise DamagedInputError(
            f"not one of {len(damage)} photos can be decoded: {damage[wanted.start]}", hint="copy or export them again"
        )
    shown: list[int | None] = [None if index in damage else index for index in wanted]
    before = None
    if wanted.start in damage and settings.on_damaged == "hold":
        # The photo before the first one is not rendered, but it is the one to show again.
        before = next((index for index in reversed(range(wanted.start)) if not _damage(photos[index])), None)
    named = [f"{index} ({photos[index].name}, {float(wanted.index(index) / rate):.3f} s)" for index in damage]
    sentences = [describe(Path(photos[wanted.start].file).parent.name, named, settings.on_damaged)] if named else []
    return fill([before, *shown], settings.on_damaged)[1:], sentences


def _damage(photo: PhotoHeader) -> str:
    """Why a photo cannot be decoded, "" if it can. JPEG is decoded small, which reads every byte too."""
    if photo.error is not None:
        return photo.error.message
    try:
        check_complete(photo.file)
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
            rgb, found = decode_photo(file, size, developed)
        except DamagedInputError as error:
            raise DamagedInputError(f"frame {index}: {error.message}", hint=f"{error.hint}; or {DAMAGE_HINT}") from None
        except InputError as error:
            raise InputError(f"frame {index}: {error.message}", hint=error.hint) from None
        if found == common:
            yield resize(rgb, *size)
        elif settings.fit == "strict":
            first = source.files[source.decoded_indices[0]]
            raise _odd_size(PhotoHeader(file, found), PhotoHeader(first, common))
        else:
            yield fit(rgb, *size, settings.fit)


def _check_sizes(photos: Sequence[PhotoHeader], size: tuple[int, int], settings: InputSettings) -> list[str]:
    odd = [photo for photo in photos if photo.size != size]
    if not odd:
        return []
    if settings.fit == "strict":
        raise _odd_size(odd[0], photos[0])
    done = "cropped" if settings.fit == "cover" else "letterboxed"
    return [f"{len(odd)} of {len(photos)} photos have another size and are {done} to {size[0]}x{size[1]} px."]


def _remarks(photos: Sequence[PhotoHeader]) -> list[str]:
    """What was remarked about photos, each remark once, with their number."""
    counts = Counter(remark for photo in photos for remark in photo.remarks)
    return [f"{count} of {len(photos)} photos {remark}." for remark, count in counts.items()]


def _odd_size(photo: PhotoHeader, first: PhotoHeader) -> InputError:
    (width, height), (expected_width, expected_height) = photo.size or (0, 0), first.size or (0, 0)
    camera, other = camera_names([first, photo])
    by_camera = f"; --set 'input.camera={camera}' leaves those of other cameras out" if camera != other else ""
    return InputError(
        f"{photo.file}: is {width}x{height} px; expected {expected_width}x{expected_height} px as {first.file}",
        hint="--set input.fit=cover crops photos of another size, --set input.fit=contain letterboxes them" + by_camera,
    )

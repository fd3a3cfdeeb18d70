"""The order of photos: by the time at which they were taken, or by name with numbers by value."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, Literal

from pipeline.errors import InputError
from pipeline.media.reader.exif import CaptureTime
from pipeline.media.reader.name_times import time_in_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.config.settings import InputSettings
    from pipeline.media.reader.header import PhotoHeader

TimeName = Literal["capture time", "time in the names"]
OrderName = TimeName | Literal["name", "as listed"]

_BY_TIME: Final[tuple[TimeName, ...]] = ("capture time", "time in the names")
_DIGITS: Final = "0123456789"
# DSC_0001, IMG_0001, _MG_0001, DSC00001: four digits, before which Sony writes a zero
_COUNTER: Final = re.compile(r"(.*?)(?<![0-9])(0?)([0-9]{4})", re.DOTALL)
_COUNTER_DIGITS: Final = 4
_COUNTER_END: Final = 10**_COUNTER_DIGITS
_SMALLEST_HOLE: Final = 1000


@dataclass(frozen=True, slots=True)
class OrderedPhotos:
    """Photos in order, and by what they are ordered, in the words of `Source.order`.

    `times` are the times at which they were taken, and `seconds` the same from the first photo on, never decreasing;
    both are empty if not all of them are known or the photos are in another order.
    """

    photos: tuple[PhotoHeader, ...]
    by: OrderName
    times: tuple[CaptureTime, ...] = ()
    seconds: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


def natural_key(path: str) -> tuple[object, ...]:
    """Sort key for names: numbers by value (`img2` before `img10`), case ignored, folders first by the same rule."""
    pure = PurePath(path)
    parts = (*pure.parent.parts, pure.stem, pure.suffix)
    return tuple(_name_pieces(part.casefold()) for part in parts), path


def _name_pieces(text: str) -> tuple[tuple[int, int, str], ...]:
    """A name in pieces that compare numbers by value, and before letters."""
    pieces = (piece for piece in re.split(r"([0-9]+)", text) if piece)
    return tuple((0, int(piece), "") if piece[0] in _DIGITS else (1, 0, piece) for piece in pieces)


def in_name_order(paths: Sequence[str]) -> tuple[str, ...]:
    """Paths by `natural_key`, except that a camera's counter goes on from 9999 to 0001 (see `restarted_counters`)."""
    restarts = restarted_counters(paths)

    def key(path: str) -> tuple[object, ...]:
        counter = _counter(path)
        if counter is None or counter[1] >= restarts.get(counter[0], 0):
            return natural_key(path)
        pure, number = PurePath(path), counter[1] + _COUNTER_END
        later = natural_key(str(pure.with_name(f"{pure.stem[:-_COUNTER_DIGITS]}{number}{pure.suffix}")))
        return later[0], path

    return tuple(sorted(paths, key=key))


def restarted_counters(paths: Sequence[str]) -> dict[tuple[str, str], int]:
    """Where a counter of four digits ran over: by folder and beginning of the name, the first number before that.

    It did if numbers at its end and at its start are there, and the hole between them is at least 1,000 and ten times
    as large as what is missing from the last number over 9999 to the first.
    """
    numbers: dict[tuple[str, str], set[int]] = defaultdict(set)
    for path in paths:
        if counter := _counter(path):
            numbers[counter[0]].add(counter[1])
    restarts = {}
    for group, found in numbers.items():
        ranked = sorted(found)
        over = ranked[0] + _COUNTER_END - ranked[-1]
        hole, first = max(((b - a, b) for a, b in pairwise(ranked)), default=(0, 0))
        if hole >= max(_SMALLEST_HOLE, 10 * over):
            restarts[group] = first
    return restarts


def _counter(path: str) -> tuple[tuple[str, str], int] | None:
    """The folder and the beginning of a name that ends in a counter, and its number; None if it does not."""
    pure = PurePath(path)
    match = _COUNTER.fullmatch(pure.stem)
    return None if match is None else ((str(pure.parent), match[1].casefold()), int(match[3]))


def seconds_since_first(times: Sequence[CaptureTime]) -> list[float]:
    """Times in seconds from the earliest. The distance from UTC counts only if every time has one."""
    if all(time.offset is not None for time in times):
        moments = [time.local - (time.offset or timedelta()) for time in times]
    else:
        moments = [time.local for time in times]
    first = min(moments)
    return [(moment - first).total_seconds() for moment in moments]


def put_in_order(
    photos: Sequence[PhotoHeader], settings: InputSettings, *, in_given_order: bool, by_number: bool
) -> OrderedPhotos:
    """Order photos, which are in the order of their names or as listed (`in_given_order`, maybe `by_number`).

    The capture time counts where every photo has one and not all are equal, else the time in the names likewise, else
    the name. Photos of equal times, as those of one second without fractions, keep the order of their names.
    Raises InputError if `input.order=time` and there are no times to go by.
    """
    found = _find_times(photos)
    if settings.order == "time" and found is None and sum(photo.error is None for photo in photos) > 1:
        without = next((photo.file for photo in photos if photo.error is None and photo.exif.taken is None), None)
        raise InputError(
            f"{without}: has no capture time" if without else f"{photos[0].file}: all have the same capture time",
            hint="--set input.order=name orders the photos by name",
        )
    as_they_are = list(range(len(photos)))
    if settings.order == "name":
        rank = {path: index for index, path in enumerate(in_name_order([photo.file for photo in photos]))}
        return _arranged(photos, sorted(as_they_are, key=lambda index: rank[photos[index].file]), "name", found)
    if in_given_order and settings.order != "time":
        return _arranged(photos, as_they_are, "name" if by_number else "as listed", found)
    if found is None:
        return _arranged(photos, as_they_are, "name", None, _without_times(photos))
    # The sort is stable and the photos are in name order, which breaks ties between photos of the same time.
    ranking = sorted(as_they_are, key=lambda index: found.seconds[index])
    notes = [] if found.by == "capture time" else [_times_in_names(photos)]
    if ranking != as_they_are:
        times = "capture times" if found.by == "capture time" else "times in the names"
        notes.append(f"The {times} order the photos differently from their names: --set input.order=name.")
    return _arranged(photos, ranking, found.by, found, notes)


@dataclass(frozen=True, slots=True)
class _Times:
    """When photos were taken, as `OrderedPhotos` has it, but not in order."""

    by: TimeName
    times: list[CaptureTime]
    seconds: list[float]


def _find_times(photos: Sequence[PhotoHeader]) -> _Times | None:
    """When photos were taken, from EXIF, else from the names; None if a time is missing or all are equal."""
    for by in _BY_TIME:
        in_exif = by == "capture time"
        stated = [photo.exif.taken if in_exif else time_in_name(photo.file) for photo in photos]
        if any(time is None and photo.error is None for photo, time in zip(photos, stated, strict=True)):
            continue
        times = _filled(stated)
        seconds = seconds_since_first(times) if times else []
        if max(seconds, default=0) > 0:
            return _Times(by, times, seconds)
    return None


def _filled(stated: Sequence[CaptureTime | None]) -> list[CaptureTime]:
    """Times with those of photos whose header is damaged: evenly between their neighbors. Empty if there are none."""
    filled: list[CaptureTime] = []
    known = [(index, time) for index, time in enumerate(stated) if time is not None]
    for (at, time), (following, later) in pairwise([(-1, None), *known, (len(stated), None)]):
        if time is None or later is None or later.local < time.local:
            step = timedelta()
        else:
            step = (later.local - time.local) / (following - at)
        if nearest := time or later:
            count = following - at if time else following
            filled += [CaptureTime(nearest.local + position * step, nearest.offset) for position in range(count)]
    return filled


def _arranged(
    photos: Sequence[PhotoHeader],
    ranking: Sequence[int],
    by: OrderName,
    found: _Times | None,
    notes: Sequence[str] = (),
) -> OrderedPhotos:
    arranged = tuple(photos[index] for index in ranking)
    if by == "name":
        notes = [*notes, *_restarts(arranged)]
    seconds = [found.seconds[index] for index in ranking] if found else []
    if found is None or any(a > b for a, b in pairwise(seconds)):
        return OrderedPhotos(arranged, by, notes=tuple(notes))
    times = tuple(found.times[index] for index in ranking)
    return OrderedPhotos(arranged, by, times, tuple(second - seconds[0] for second in seconds), tuple(notes))


def _restarts(photos: Sequence[PhotoHeader]) -> list[str]:
    """Notes on the places where a camera's counter starts again."""
    counters = [_counter(photo.file) for photo in photos]
    return [
        f"The counter in the names starts again: {photos[index + 1].name} follows {photos[index].name}. "
        "--set input.order=listed takes the names as they are."
        for index, (a, b) in enumerate(pairwise(counters))
        if a and b and a[0] == b[0] and b[1] < a[1]
    ]


def _times_in_names(photos: Sequence[PhotoHeader]) -> str:
    count = sum(photo.exif.taken is not None for photo in photos)
    if count == len(photos):
        return "All photos have the same capture time: the times in their names order them."
    few = f"Only {count}" if count else "None"
    return f"{few} of {len(photos)} photos have a capture time: the times in their names order them."


def _without_times(photos: Sequence[PhotoHeader]) -> list[str]:
    count, readable = (sum(photo.exif.taken is not None for photo in photos), sum(p.error is None for p in photos))
    return [f"Only {count} of {readable} photos have a capture time: ordered by name."] if 0 < count < readable else []

"""The same photo twice in a folder: copies that were made by hand, by a download or by an import."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final, Literal

from pipeline.media.reader.complete import pixels_digest
from pipeline.media.reader.order import natural_key

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from pipeline.media.reader.header import PhotoHeader

# IMG_1(1), IMG_1 (copy), IMG_1 - Copy (2), Copy of IMG_1, IMG_1 copy
_COPY: Final = re.compile(
    r".*(\(\d+\)|\b(copy|kopie|copie|copia)\)?( ?\(?\d+\)?)?)|copy of .*", re.IGNORECASE | re.DOTALL
)
_SHOWN: Final = 3


def without_duplicates(
    photos: Sequence[PhotoHeader], policy: Literal["auto", "drop", "keep"]
) -> tuple[list[PhotoHeader], list[str]]:
    """Photos without duplicates in their given order, and notes on what was left out.

    A duplicate has the same coded pixels and the same capture time as another photo, or without a time the same bytes
    as another one in its folder. Of duplicates the one with the plainest name stays. With `auto` those stay as well
    whose names differ from its name in numbers only: frames of an animation may well be equal.
    """
    if policy == "keep":
        return list(photos), []
    dropped: dict[str, str] = {}
    for alike in _alike(photos):
        first = min(alike, key=_rank)
        for photo in alike:
            may_be_equal = policy == "auto" and _are_numbered(photo, first)
            if photo.file != first.file and not may_be_equal:
                dropped[photo.file] = first.name
    if not dropped:
        return list(photos), []
    shown = [f"{PurePath(file).name} of {first}" for file, first in list(dropped.items())[:_SHOWN]]
    rest = f" and {len(dropped) - _SHOWN} more" if len(dropped) > _SHOWN else ""
    note = f"Left out, duplicates: {', '.join(shown)}{rest}. --set input.duplicates=keep keeps them."
    return [photo for photo in photos if photo.file not in dropped], [note]


def _alike(photos: Iterable[PhotoHeader]) -> Iterable[list[PhotoHeader]]:
    """Groups of photos with the same pixels. Files are read only where size and time leave it open."""
    candidates: dict[Hashable, list[PhotoHeader]] = defaultdict(list)
    for photo in photos:
        if photo.error is None:
            path = Path(photo.file)
            near = photo.exif.taken or (path.parent, _size(path))
            candidates[photo.size, near].append(photo)
    for group in candidates.values():
        if len(group) > 1:
            same: dict[bytes | None, list[PhotoHeader]] = defaultdict(list)
            for photo in group:
                same[pixels_digest(photo.file, whole=photo.exif.taken is None)].append(photo)
            yield from (alike for digest, alike in same.items() if digest and len(alike) > 1)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _rank(photo: PhotoHeader) -> tuple[object, ...]:
    """Sort key that puts the plainest name first: no copy, short, with a suffix."""
    path = PurePath(photo.file)
    return _COPY.fullmatch(path.stem) is not None, len(path.stem), not path.suffix, natural_key(photo.file)


def _are_numbered(photo: PhotoHeader, other: PhotoHeader) -> bool:
    """Whether two names differ, and only in numbers, as those of the frames of a sequence do."""
    names = [one.name.casefold() for one in (photo, other)]
    return names[0] != names[1] and len({re.sub(r"\d+", "#", name) for name in names}) == 1

"""Photos of several cameras among each other: noticed, named, and one of them chosen."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.media.reader.header import PhotoHeader

_SHOWN: Final = 6


def camera_names(photos: Sequence[PhotoHeader]) -> list[str]:
    """The camera of each photo: make and model, with the serial number where several of that model are there.

    "" for photos that do not say.
    """
    bodies = {(photo.exif.camera, photo.exif.serial) for photo in photos}
    models = Counter(camera for camera, _ in bodies if camera)
    return [
        f"{exif.camera} #{exif.serial}" if exif.serial and models[exif.camera] > 1 else exif.camera
        for exif in (photo.exif for photo in photos)
    ]


def count_cameras(photos: Sequence[PhotoHeader]) -> dict[str, int]:
    """How many photos each camera took, those with most first; photos with a damaged header are of none."""
    return dict(Counter(camera_names([photo for photo in photos if photo.error is None])).most_common())


def of_camera(photos: Sequence[PhotoHeader], wanted: str) -> tuple[list[PhotoHeader], list[str]]:
    """The photos of the camera whose name contains `wanted` ("": all), and notes. Those with a damaged header stay.

    Raises InputError, naming the cameras, if there is none or more than one.
    """
    if not wanted:
        return list(photos), []
    names = camera_names(photos)
    cameras = sorted({name for name in names if name})
    exact = [name for name in cameras if name.casefold() == wanted.casefold()]
    found = exact or [name for name in cameras if wanted.casefold() in name.casefold()]
    if len(found) != 1:
        there = list_cameras(count_cameras(photos)) if cameras else "no photo says with which camera it was taken"
        raise InputError(
            f"input.camera={wanted}: {'several cameras have' if found else 'no photo is by a camera of'} that name",
            hint=f"there are: {there}" if cameras else there,
        )
    chosen = [photo for photo, name in zip(photos, names, strict=True) if photo.error or name == found[0]]
    left = len(photos) - len(chosen)
    return chosen, [f"Left out: {left} photo{'s' * (left > 1)} not taken with {found[0]}."] if left else []


def describe_cameras(photos: Sequence[PhotoHeader], *, by_time: bool) -> list[str]:
    """A note if photos in order are of several cameras, which may be out of step where their times order them."""
    counts = count_cameras(photos)
    if len(counts) < 2:
        return []
    names = camera_names([photo for photo in photos if photo.error is None])
    how = ""
    if sum(a != b for a, b in pairwise(names)) >= len(counts):  # not one after the other
        how = ", mixed by capture time, though their clocks may differ" if by_time else ", mixed"
    first = next(name for name in counts if name)
    return [f"Photos of several cameras: {list_cameras(counts)}{how}. --set 'input.camera={first}' takes one of them."]


def list_cameras(counts: Mapping[str, int]) -> str:
    """Cameras with their counts, as text."""
    named = [f"{name or 'not stated'} ({count})" for name, count in counts.items()]
    rest = [f"{len(named) - _SHOWN} more"] if len(named) > _SHOWN else []
    return ", ".join([*named[:_SHOWN], *rest])

"""From the INPUT arguments of a command to files: folder, glob, %04d pattern, list, single file; kind by content."""

from __future__ import annotations

import glob as globbing
import os
import re
import stat
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pipeline.errors import InputError, UsageError
from pipeline.media.image.load import count_frames, open_image
from pipeline.media.image.sniff import RAW_SUFFIXES, describe_content, image_format, photo_format, read_head
from pipeline.media.reader.order import in_name_order
from pipeline.runtime.presence import is_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.config.settings import InputSettings

IMAGE_SUFFIXES: Final = frozenset(
    (
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".apng",
        ".tif",
        ".tiff",
        ".webp",
        ".avif",
        ".gif",
        ".bmp",
        ".heic",
        ".heif",
    )
)
_ANIMATED_FORMATS: Final = ("GIF", "PNG", "WEBP", "AVIF")
_DESKTOP_FILES: Final = frozenset(("thumbs.db", "desktop.ini", "ehthumbs.db"))
_THUMBNAIL_SUFFIX: Final = ".thm"
"""What cameras put beside videos and raw photos: a small JPEG that is no photo of its own."""
_SEARCHED_FOLDERS: Final = 1000
_NUMBER_PATTERN: Final = re.compile(r"%(0(\d{1,9}))?d")
_LONGEST_NAME: Final = 255
_SHOWN_NAMES: Final = 3


@dataclass(frozen=True, slots=True)
class InputFiles:
    """The files that the arguments mean, in natural order of their names, or as listed if `in_given_order`."""

    kind: Literal["photos", "animation", "video"]
    path: str
    files: tuple[str, ...]
    in_given_order: bool = False
    by_number: bool = False
    notes: tuple[str, ...] = field(default=())


def resolve(given: Sequence[str | Path], settings: InputSettings) -> InputFiles:
    """Find the files that the arguments mean, and what kind of input they are.

    An existing file or folder of exactly that name has precedence over a glob or a pattern.

    Raises InputError if there is nothing usable, UsageError without any argument.
    """
    if not given:
        raise UsageError("no input was given", hint="name a video, a folder of photos, or photos")
    texts = [str(item) for item in given]
    if len(texts) > 1:
        return _from_list(texts, settings)
    text = texts[0]
    if "\0" in text or not text:
        raise InputError(f"{text!r}: is not a path", hint="name a video, a folder of photos, or photos")
    path = Path(text)
    if is_folder(path):
        return _from_folder(path, settings)
    if _exists(path):
        return _from_file(text)
    if _NUMBER_PATTERN.search(path.name):
        return _from_pattern(path, settings)
    if globbing.has_magic(text):
        return _from_glob(text, settings)
    raise InputError(f"{text}: no such file or folder", hint=_missing_hint(path))


def is_animation(file: str | Path) -> bool:
    """Whether this file is an animated GIF, WebP, PNG or AVIF: a short video in an image format."""
    if image_format(read_head(file)) not in _ANIMATED_FORMATS:
        return False
    with open_image(file) as image:
        return image.format in _ANIMATED_FORMATS and count_frames(image) > 1


def _from_file(text: str) -> InputFiles:
    head = read_head(text)
    if photo_format(text, head) is None:
        content = describe_content(head)
        if not content.startswith(("a video", "unknown")):
            raise InputError(
                f"{text}: expected a video or an image, found {content}", hint="check that this is the right file"
            )
        return InputFiles("video", text, (text,))
    return InputFiles("animation" if is_animation(text) else "photos", text, (text,))


def _from_list(texts: list[str], settings: InputSettings) -> InputFiles:
    for text in texts:
        if is_folder(Path(text)):
            raise InputError(
                f"{text}: is a folder among {len(texts)} inputs; expected photos",
                hint="give one folder alone, or list the photos",
            )
        if settings.on_damaged != "stop" and _has_image_suffix(Path(text)) and _exists(Path(text)):
            continue  # decoding it shows whether it is one
        head = read_head(text)
        if photo_format(text, head) is None:
            raise InputError(
                f"{text}: several inputs must all be photos, found {describe_content(head)}",
                hint="render videos one at a time; name a folder instead of its files to skip other files",
            )
    # A shell expands `*.jpg` alphabetically, so an alphabetical list may be by accident; any other order is intended.
    alphabetical = texts in (sorted(texts), sorted(texts, key=str.casefold))
    if settings.order == "listed" or (settings.order == "auto" and not alphabetical):
        return InputFiles("photos", texts[0], tuple(texts), in_given_order=True)
    return InputFiles("photos", texts[0], in_name_order(texts))


def _from_folder(folder: Path, settings: InputSettings) -> InputFiles:
    try:
        entries = sorted(entry for entry in folder.iterdir() if not is_folder(entry))
    except OSError as error:
        raise InputError(
            f"{folder}: the folder cannot be read ({error.strerror or error})", hint="check the folder's permissions"
        ) from None
    entries = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in _DESKTOP_FILES]
    if not entries:
        _refuse_parent(folder)
        what = "has only folders in it, and these no photos" if _has_folders(folder) else "the folder is empty"
        raise InputError(f"{folder}: {what}; expected photos", hint="name the folder that the photos are directly in")
    return _from_many(str(folder), entries, settings)


def _has_folders(folder: Path) -> bool:
    return any(is_folder(entry) and not entry.name.startswith(".") for entry in folder.iterdir())


def _refuse_parent(folder: Path) -> None:
    """Raise InputError if there are photos in folders inside this one, naming them."""
    counts: dict[str, int] = {}
    for number, (inside, folders, files) in enumerate(os.walk(folder)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        count = sum(not name.startswith(".") and _may_be_photo(Path(name)) for name in files)
        if count:
            counts[inside] = count
        if number == _SEARCHED_FOLDERS:
            break
    if counts:
        named = [f"{inside} ({count} photo{'s' * (count > 1)})" for inside, count in counts.items()]
        together = (
            f"; or take all as one: '{folder}/**/*{_usual_suffix(next(iter(counts)))}'" if len(counts) > 1 else ""
        )
        raise InputError(
            f"{folder}: has no photos of its own, but folders inside it do: {_shorten(named)}",
            hint=f"name one of them, as {next(iter(counts))}{together}",
        )


def _may_be_photo(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES | RAW_SUFFIXES


def _usual_suffix(folder: str) -> str:
    return next(path.suffix for path in sorted(Path(folder).iterdir()) if _may_be_photo(path))


def _from_glob(text: str, settings: InputSettings) -> InputFiles:
    files = [path for path in _matching(text) if not is_folder(path) and path.name.lower() not in _DESKTOP_FILES]
    if not files:
        raise InputError(f"{text}: no file matches", hint=_missing_hint(Path(text)))
    if len(files) == 1:
        return _from_file(str(files[0]))
    return _from_many(text, files, settings)


def _matching(text: str) -> list[Path]:
    """What matches a glob, sorted. `**` enters every folder, but follows no links: they may form cycles."""
    path = Path(_any_case(text))
    if "**" not in path.parts:
        return [Path(name) for name in sorted(globbing.glob(str(path)))]  # noqa: PTH207 - absolute ones too
    start = path.parts.index("**")
    found: list[Path] = []
    for top in _matching(str(Path(*path.parts[:start]))) if start else [Path()]:
        for walked, folders, _ in os.walk(top):
            folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
            rest = path.parts[start + 1 :] or ("*",)
            found += _matching(str(Path(globbing.escape(walked), *rest)))
    return sorted(set(found))


def _any_case(text: str) -> str:
    """A glob that takes the suffix of an image at its end in upper and lower case: cameras write .JPG."""
    stem, dot, suffix = text.rpartition(".")
    if f".{suffix.lower()}" not in IMAGE_SUFFIXES | RAW_SUFFIXES:
        return text
    letters = (f"[{letter.lower()}{letter.upper()}]" if letter.isalpha() else letter for letter in suffix)
    return stem + dot + "".join(letters)


def _from_pattern(path: Path, settings: InputSettings) -> InputFiles:
    matches = list(_NUMBER_PATTERN.finditer(path.name))
    if len(matches) > 1:
        raise InputError(
            f"{path}: expected one number in the pattern, found {len(matches)}", hint="as in shot_%04d.jpg"
        )
    number = matches[0]
    # As printf does: %04d is at least four digits, padded with zeros; %d has no padding.
    width = min(int(number[2]), _LONGEST_NAME) if number[2] else 1
    digits = rf"(\d{{{width}}}|[1-9]\d{{{width},}})"
    before, after = path.name[: number.start()].replace("%%", "%"), path.name[number.end() :].replace("%%", "%")
    expression = re.compile(re.escape(before) + digits + re.escape(after))
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        names = []
    numbered = sorted((int(match[1]), name) for name in names if (match := expression.fullmatch(name)))
    if not numbered:
        raise InputError(f"{path}: no file matches the pattern", hint=_missing_hint(path))
    missing = [(a + 1, b - 1) for (a, _), (b, _) in pairwise(numbered) if b - a > 1]
    gaps = [str(first) if first == last else f"{first} to {last}" for first, last in missing]
    notes = (f"The numbering has gaps: {_shorten(gaps)} missing.",) if gaps else ()
    files = tuple(str(path.parent / name) for _, name in numbered)
    by_number = settings.order in ("auto", "listed")
    return InputFiles("photos", str(path), files, in_given_order=by_number, by_number=by_number, notes=notes)


def _from_many(text: str, entries: list[Path], settings: InputSettings) -> InputFiles:
    """The photos among the files of a folder or glob, with a note on the other files.

    Raises InputError for a file that is named like an image and is none.
    """
    photos: list[str] = []
    others: list[str] = []
    videos: list[str] = []
    raws: list[Path] = []
    for entry in entries:
        if entry.suffix.lower() in RAW_SUFFIXES:
            raws.append(entry)
            continue
        if entry.suffix.lower() == _THUMBNAIL_SUFFIX:
            others.append(entry.name)
            continue
        named_as_image = _has_image_suffix(entry)
        if not named_as_image and not _is_file_with_content(entry):
            others.append(entry.name)
            continue
        if named_as_image and settings.on_damaged != "stop" and _exists(entry):
            photos.append(str(entry))
            continue
        head = read_head(entry)
        if image_format(head) is not None:
            photos.append(str(entry))
        elif named_as_image:
            raise InputError(
                f"{entry}: expected an image, found {describe_content(head)}", hint="replace the file or move it away"
            )
        else:
            content = describe_content(head)
            (videos if content.startswith("a video") else others).append(entry.name)
    photos, pairs = _with_raws(photos, raws, settings)
    if not photos:
        if is_folder(Path(text)):
            _refuse_parent(Path(text))
        kinds = f"{len(videos)} video files" if videos else f"{len(others)} other files"
        first = (videos or others)[0]
        raise InputError(
            f"{text}: expected images, found only {kinds} such as {first}",
            hint="give one video by its own path" if videos else "name the folder that the photos are directly in",
        )
    left_out = sorted(others + videos)
    notes = pairs + ((f"Left out, not images: {_shorten(left_out)}.",) if left_out else ())
    if settings.order == "listed":
        return InputFiles("photos", text, tuple(photos), in_given_order=True, notes=notes)
    return InputFiles("photos", text, in_name_order(photos), notes=notes)


def _with_raws(photos: list[str], raws: list[Path], settings: InputSettings) -> tuple[list[str], tuple[str, ...]]:
    """The photos and the raw files, of two of one name the one that `input.raw.prefer` says, and a note on those."""
    developed, undeveloped = ({_stem(file) for file in files} for files in (photos, raws))
    pairs = len(developed & undeveloped)
    if not pairs:
        return [*photos, *map(str, raws)], ()
    if settings.raw.prefer == "raw":
        kept = [photo for photo in photos if _stem(photo) not in undeveloped]
        return [*kept, *map(str, raws)], (f"Of {pairs} photos there is a raw file and a developed image: raw is read.",)
    kept = [*photos, *(str(raw) for raw in raws if _stem(raw) not in developed)]
    return kept, (
        f"Of {pairs} photos there is a raw file and a developed image: the image is read; "
        "--set input.raw.prefer=raw develops the raw files instead.",
    )


def _stem(file: str | Path) -> str:
    return str(Path(file).with_suffix("")).casefold()


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # it exists, but may not be inspected: reading it raises the error
    return True


def _has_image_suffix(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _is_file_with_content(path: Path) -> bool:
    """Whether this is a regular file that is not empty; False for pipes, devices and broken links."""
    try:
        found = path.stat()
    except PermissionError:
        return True  # reading it raises the error
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0


def _missing_hint(path: Path) -> str:
    folder = path.parent
    while not is_folder(folder) and folder != folder.parent:
        folder = folder.parent
    if globbing.has_magic(str(path)):
        return "check the pattern; quote it so that the shell does not expand it"
    return f"the nearest folder that exists is {folder.resolve()}" if folder != path.parent else "check the spelling"


def _shorten(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN_NAMES])
    rest = len(names) - _SHOWN_NAMES
    return shown if rest <= 0 else f"{shown} and {rest} more"

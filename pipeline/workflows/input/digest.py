"""The digest of an input, without hashing it again if its files have not changed since they were hashed.

cache/input.json        size and times of each file of the input when it was hashed, and the digest of each

Hashing 2,000 photos of 5 MB takes far longer than a resumed render may take to its first frame. As git does with its
index, a file of the same size, time of change, inode and device is taken to have the same content. This relies on:

- Writing to a file changes its times. Setting back the time of modification, as tools that keep dates do, is not enough
  to go unnoticed: the system's own time of the last change (ctime, not on Windows) is compared too.
- Two changes of a file at least two seconds apart get different times. A file that was changed less than that before it
  was hashed, or whose times are in the future, is hashed again ("racily clean" in git's words).
- The clocks of this machine and of a file server differ by less than that, and the server's answers are not stale.

Either all files are as they were, in the same order, or all are hashed. They are also hashed if the note is missing,
damaged in any way or of another version, and with `--fresh`. A digest that differs from the plan's is always refused,
so a wrong note could only prevent a start, never change what is rendered.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.plan.paths import relative_path
from pipeline.runtime.atomic import make_folders, write_bytes
from pipeline.runtime.hashing import canonical_json, joined_digest, json_digest

if TYPE_CHECKING:
    from pipeline.store.directory import RenderDirectory
    from pipeline.types import Source

NOTE_NAME: Final = "input.json"
RACY_NS: Final = 2_000_000_000
"""Resolution of the coarsest file times (those of FAT), in nanoseconds."""
_VERSION_KEY: Final = "tempera_input"
_VERSION: Final = 1
_MAX_BYTES: Final = 1 << 28

_Facts = list[list[Any]]
"""Of every file: path as in the plan, size, mtime and ctime in ns, inode, device."""


@dataclass(frozen=True, slots=True)
class HashedInput:
    """The digest of an input as it is now, and the note to write about it (None if it exists or would not be valid).

    `photos` are the digests of the photo of every frame; empty for a video.
    """

    digest: str
    note: bytes | None
    photos: tuple[str, ...] = ()


def hash_input(source: Source, render_dir: Path, *, use_note: bool = True) -> HashedInput:
    """The `content_digest` of a source, taken from the render directory's note if that is valid (and `use_note`).

    `source` has paths that work from the current folder; its digest is ignored. Nothing is written. Raises InputError
    if a file is missing.
    """
    from pipeline.media.reader import source as reader

    began_ns = time.time_ns()
    before = _facts(source, render_dir)
    noted = _noted(render_dir, before) if use_note and before is not None else []
    digests = noted or reader.content_digests(source)
    photos = tuple(digests) if source.kind == "photos" else ()
    if noted or before is None or _facts(source, render_dir) != before:
        return HashedInput(joined_digest(digests), None, photos)  # known, or written to while it was read
    note = _note({"began_ns": began_ns, "digests": digests, "files": before})
    return HashedInput(joined_digest(digests), note, photos)


def remember_input(directory: RenderDirectory, hashed: HashedInput) -> None:
    """Keep the note for the next start. Needs the lock; a disk that refuses is ignored."""
    if hashed.note is not None:
        directory.check_lock()
        with suppress(OSError):
            make_folders(directory.cache_path)
            write_bytes(directory.cache_path / NOTE_NAME, hashed.note)


def _facts(source: Source, render_dir: Path) -> _Facts | None:
    """Size, times and identity of the files whose content is hashed, in order; None if one of them cannot be read."""
    files = [source.files[index] for index in source.positions_read] if source.kind == "photos" else source.files
    facts: _Facts = []
    names: dict[Path, str] = {}
    try:
        for file in map(Path, files):
            if file.parent not in names:
                names[file.parent] = relative_path(file.parent / "x", render_dir)[:-1]
            found = file.stat()
            row = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]
            facts.append([names[file.parent] + file.name, *row])
    except OSError:
        return None
    return facts


def _noted(render_dir: Path, facts: _Facts) -> list[str]:
    """The digest of each file that the note has for files with these facts; none if it is not valid for them."""
    path = render_dir / "cache" / NOTE_NAME
    try:
        if path.stat().st_size > _MAX_BYTES:
            return []
        note = json.loads(path.read_bytes())
        content = note["content"]
        if note[_VERSION_KEY] != _VERSION or note["sha256"] != json_digest(content) or content["files"] != facts:
            return []
        digests: list[str] = content["digests"]
        settled = content["began_ns"] - RACY_NS
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []
    return digests if all(mtime_ns < settled for _, _, mtime_ns, *_ in facts) else []


def _note(content: dict[str, Any]) -> bytes:
    return canonical_json({_VERSION_KEY: _VERSION, "sha256": json_digest(content), "content": content}) + b"\n"

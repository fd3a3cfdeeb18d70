"""Videos that a render wrote: which frames they show, and which of them replace frames that were removed.

cache/videos.jsonl         one line per written video; advisory, like everything in the cache
cache/compositions.jsonl   one line per file that a composition with this render has written
frames/exported.json       the videos whose frames `tempera clean --frames` removed

The last file is part of the render: without it a finished style would look as if none of its frames had ever been
stylized, and the next start would stylize them all again.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import RenderDirectoryError, TemperaError
from pipeline.runtime import atomic
from pipeline.runtime.hashing import files_digest
from pipeline.store import stats
from pipeline.store.disk_errors import refused_read, writing
from pipeline.store.frames import frame_index

if TYPE_CHECKING:
    from pipeline.store.directory import RenderDirectory
    from pipeline.types import Chain

EXPORTED_NAME: Final = "exported.json"
VIDEOS_NAME: Final = "videos.jsonl"
COMPOSED_NAME: Final = "compositions.jsonl"
_VERSION_KEY: Final = "tempera_exported"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Video:
    """A video, an animation or a folder of stills that shows stored frames.

    `path` is relative to the render directory, with forward slashes; with `stills` it is a name with a number in it.
    `size` and `sha256` are those of the file or the stills (see `size_and_digest`). `pixels` is the SHA-256 of the
    stored frames that it shows, as raw pixels one after the other; empty where it does not show each of them once, in
    order. `written` is UTC, ISO 8601. `frames` is how many stored frames it is made of, `pictures` how many files the
    stills are, where these differ (else 0).
    """

    style: str
    path: str
    stills: bool
    frames: int
    size: int
    sha256: str
    pixels: str
    written: str
    pictures: int = 0

    def absolute_path(self, render_path: Path) -> Path:
        """Where it is, for a render directory at `render_path`."""
        return Path(os.path.normpath(Path(os.path.realpath(render_path)) / self.path))

    def files(self, render_path: Path) -> list[Path]:
        """The file, or for a name with a number (`out/%05d.png`) the stills, in order."""
        path = self.absolute_path(render_path)
        if not self.stills:
            return [path]
        return [path.with_name(path.name % index) for index in range(self.pictures or self.frames)]

    def problem(self, render_path: Path, *, content: bool = True) -> str:
        """Why it is not what was written: "missing", "changed since it was written", or "" if it is.

        Without `content` only its size is compared, which takes no time.
        """
        files = self.files(render_path)
        try:
            if content:
                same = size_and_digest(files) == (self.size, self.sha256)
            else:
                same = sum(file.stat().st_size for file in files) == self.size
        except OSError:
            return "missing"
        return "" if same else "changed since it was written"

    def instead_of_frames(self, render_path: Path, *, content: bool = True) -> str:
        """A sentence on its style, whose frames were removed: that this video replaces them, or why it does not."""
        file = self.absolute_path(render_path)
        if problem := self.problem(render_path, content=content):
            return f"{self.style}: its frames were removed after {file} was written, and that video is {problem}"
        return f"{self.style}: its frames were removed, {file} replaces them"

    def no_frames(self, render_path: Path, instead: str) -> RenderDirectoryError:
        """The error of a command that needs the frames of its style, which were removed; `instead` says what to do."""
        problem = self.problem(render_path, content=False)
        and_is = f", and that video is {problem}" if problem else ""
        return RenderDirectoryError(
            f"{render_path}: the frames of {self.style!r} were removed after {self.absolute_path(render_path)} was "
            f"written{and_is}",
            hint=f"{'' if problem else f'{instead}, or '}render again with --fresh (the old folder is moved aside)",
        )


def size_and_digest(files: list[Path]) -> tuple[int, str]:
    """Bytes of all files together, and their `files_digest`. Raises OSError."""
    return sum(file.stat().st_size for file in files), files_digest(files)


def remember_video(directory: RenderDirectory, video: Video) -> None:
    """Note that a video was written. Needs no lock; a disk that refuses is ignored."""
    with suppress(TemperaError, OSError):
        atomic.make_folders(directory.cache_path)
        stats.append_line(directory.cache_path / VIDEOS_NAME, asdict(video), repair=False)


def known_videos(directory: RenderDirectory) -> list[Video]:
    """The videos that were noted, oldest first; lines that make no sense are left out."""
    found = (_video(record) for record in stats.read_lines(directory.cache_path / VIDEOS_NAME))
    return [video for video in found if video is not None]


def exported(directory: RenderDirectory) -> dict[str, Video]:
    """For every style whose frames were removed, the video that was written from them.

    Raises RenderDirectoryError if the file that says so is damaged: then it is not known what there is to stylize.
    """
    path = directory.frames_path / EXPORTED_NAME
    try:
        document = json.loads(path.read_bytes())
        if document["digest"] != directory.plan.digest:
            return {}  # of a previous plan
        videos = [_video(record) for record in document["videos"]] if document[_VERSION_KEY] == _VERSION else [None]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise refused_read(path, error) from error
    except (ValueError, TypeError, KeyError, RecursionError):
        videos = [None]
    if None in videos:
        raise RenderDirectoryError(
            f"{path}: is damaged; it says which frames were removed after their video was written",
            hint="if the videos are good, leave the directory as it is; delete the file to stylize everything again",
        )
    return {video.style: video for video in videos if video is not None}


def remove_frames(directory: RenderDirectory, video: Video) -> int:
    """Remove every stored frame of the video's style, and note that the video replaces them; return the bytes freed.

    The note is on the disk before the first frame is removed. Needs the lock. The caller has checked the video. Raises
    WriteError or RenderDirectoryError.
    """
    directory.check_lock()
    videos = {**exported(directory), video.style: video}
    document = {
        _VERSION_KEY: _VERSION,
        "digest": directory.plan.digest,
        "videos": [asdict(videos[style]) for style in sorted(videos)],
    }
    path = directory.frames_path / EXPORTED_NAME
    with writing(path):
        atomic.write_bytes(path, json.dumps(document, indent=1).encode("ascii") + b"\n")
    freed = 0
    for chain in directory.plan.chains:
        if chain.style == video.style:
            freed += _remove_chain(directory.frames_path / chain.id, chain)
    return freed


def _remove_chain(folder: Path, chain: Chain) -> int:
    freed = 0
    with writing(folder):
        for path in list(folder.iterdir()) if folder.is_dir() else []:
            index = frame_index(path.name)
            if index is not None and index in chain.frames:
                freed += path.stat().st_size
                atomic.remove(path)
    with suppress(OSError):  # a foreign file is in it
        folder.rmdir()
    return freed


def _video(record: Any) -> Video | None:
    try:
        video = Video(**record)
    except TypeError:
        return None
    numbers, texts = (
        (video.frames, video.size, video.pictures),
        (video.style, video.path, video.sha256, video.pixels, video.written),
    )
    good = all(type(number) is int for number in numbers) and all(isinstance(text, str) for text in texts)
    return video if good and isinstance(video.stills, bool) else None

"""Videos that a render wrote: which frames they show, and which of them stand for frames that were removed.

cache/videos.jsonl      one line per written video; advisory, like everything in the cache
frames/delivered.json   videos whose frames were removed on request; without it they would be painted again
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import RenderDirectoryError, TemperaError
from pipeline.runtime import atomic
from pipeline.store import stats
from pipeline.store.frames import frame_index

if TYPE_CHECKING:
    from pipeline.store.directory import RenderDirectory
    from pipeline.types import Chain

DELIVERED_NAME: Final = "delivered.json"
VIDEOS_NAME: Final = "videos.jsonl"
_VERSION_KEY: Final = "tempera_delivered"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Video:
    """A video, an animation or a folder of pictures that shows stored frames.

    `path` is relative to the render directory, with forward slashes; with `pictures` it is a name with a number in it.
    `sha256` is that of the file, or of the list of
    the pictures' hashes (see `digest_of`); `pixels` is the SHA-256 of the stored frames that it shows, as raw pixels
    one after the other; `written` is UTC, ISO 8601.
    """

    style: str
    path: str
    pictures: bool
    frames: int
    size: int
    sha256: str
    pixels: str
    written: str

    def place(self, render_path: Path) -> Path:
        """Where it is, absolute."""
        return Path(os.path.normpath(Path(os.path.realpath(render_path)) / self.path))

    def files(self, render_path: Path) -> list[Path]:
        """The file, or for a name with a number (`out/%05d.png`) the pictures, in order."""
        place = self.place(render_path)
        if not self.pictures:
            return [place]
        return [place.with_name(place.name % index) for index in range(self.frames)]

    def problem(self, render_path: Path) -> str:
        """Why it is not what was written: "missing", "changed since it was written", or "" if it is."""
        try:
            same = digest_of(self.files(render_path)) == (self.size, self.sha256)
        except OSError:
            return "missing"
        return "" if same else "changed since it was written"


def digest_of(files: list[Path]) -> tuple[int, str]:
    """Size in bytes and SHA-256 of one file, or of the hex digests of several in order, one a line. OSError."""
    size, digests = 0, []
    for file in files:
        with file.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
            size += stream.tell()
    return size, digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def remember_video(directory: RenderDirectory, video: Video) -> None:
    """Note that a video was written. Needs no lock; a directory that cannot be written is no obstacle."""
    with suppress(TemperaError):
        atomic.make_folders(directory.cache_path)
        stats.append_line(directory.cache_path / VIDEOS_NAME, asdict(video), repair=False)


def known_videos(directory: RenderDirectory) -> list[Video]:
    """The videos that were noted, oldest first; lines that make no sense are left out."""
    found = (_video(record) for record in stats.read_lines(directory.cache_path / VIDEOS_NAME))
    return [video for video in found if video is not None]


def delivered(directory: RenderDirectory) -> dict[str, Video]:
    """For every style whose frames were removed, the video that stands for them.

    Raises RenderDirectoryError if the file that says so is damaged: painting everything again must not be a surprise.
    """
    path = directory.frames_path / DELIVERED_NAME
    try:
        document = json.loads(path.read_bytes())
        if document["digest"] != directory.plan.digest:
            return {}  # of a plan that is no more
        videos = [_video(record) for record in document["videos"]] if document[_VERSION_KEY] == _VERSION else [None]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise RenderDirectoryError(
            f"{path}: cannot be read ({error.strerror})", hint="check the disk and the permissions"
        ) from error
    except (ValueError, TypeError, KeyError, RecursionError):
        videos = [None]
    if None in videos:
        raise RenderDirectoryError(
            f"{path}: is damaged; it says which frames were removed once their video was written",
            hint="if the videos are good, leave the directory as it is; delete the file to paint everything again",
        )
    return {video.style: video for video in videos if video is not None}


def remove_frames(directory: RenderDirectory, video: Video) -> int:
    """Remove every stored frame of the video's style, and note that the video stands for them; return the bytes freed.

    The note is on the disk before the first frame goes. Needs the lock. The caller has checked the video. Raises
    WriteError or RenderDirectoryError.
    """
    directory.check_lock()
    videos = {**delivered(directory), video.style: video}
    document = {
        _VERSION_KEY: _VERSION,
        "digest": directory.plan.digest,
        "videos": [asdict(videos[style]) for style in sorted(videos)],
    }
    atomic.write_bytes(directory.frames_path / DELIVERED_NAME, json.dumps(document, indent=1).encode("ascii") + b"\n")
    freed = 0
    for chain in directory.plan.chains:
        if chain.style == video.style:
            freed += _remove_chain(directory.frames_path / chain.id, chain)
    return freed


def _remove_chain(folder: Path, chain: Chain) -> int:
    freed = 0
    try:
        for path in list(folder.iterdir()) if folder.is_dir() else []:
            index = frame_index(path.name)
            if index is not None and index in chain.frames:
                freed += path.stat().st_size
                atomic.remove(path)
        with suppress(OSError):  # somebody else's file is in it
            folder.rmdir()
    except OSError as error:
        raise atomic.explain(error, folder) from error
    return freed


def _video(record: Any) -> Video | None:
    try:
        video = Video(**record)
    except TypeError:
        return None
    numbers, texts = (video.frames, video.size), (video.style, video.path, video.sha256, video.pixels, video.written)
    good = all(type(number) is int for number in numbers) and all(isinstance(text, str) for text in texts)
    good = good and isinstance(video.pictures, bool)
    return video if good else None

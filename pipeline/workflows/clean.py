"""Free disk space: remove caches, leftovers of crashes, and on request the frames of styles whose video is complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import RenderDirectoryError, WriteError
from pipeline.runtime.cancellation import Cancellation
from pipeline.store.directory import RenderDirectory, command_on, resume_command
from pipeline.store.edits import recover_edits
from pipeline.store.last_check import CHECKED_NAME
from pipeline.store.superseded import superseded_frames
from pipeline.store.videos import COMPOSED_NAME, VIDEOS_NAME, Video, exported, known_videos, remove_frames
from pipeline.workflows.export import shown_pixels
from pipeline.workflows.opened import OpenedRender, open_render

if TYPE_CHECKING:
    from pipeline.runtime.progress import Reporter

_LOSSY_ANIMATIONS: Final = (".gif", ".webp", ".avif")
"""These formats lose frames and colors, so they do not replace stored frames."""
_NOTES: Final = (VIDEOS_NAME, COMPOSED_NAME, CHECKED_NAME)
"""What stays in the cache: it is small, and cannot be made again."""


@dataclass(frozen=True, slots=True)
class Freed:
    """Something that was removed: what it was, the number of files, and their size in bytes."""

    what: str
    files: int
    size: int


def clean(path: Path, reporter: Reporter, cancellation: Cancellation | None = None, *, frames: bool) -> list[Freed]:
    """Remove the caches and the leftovers of a render directory, and with `frames` the frames that a video replaces.

    Frames that were stylized anew when the render got more frames are removed too.

    Frames of a style are removed only when a video that this render wrote from exactly these frames, all of them, is
    where it was written, has the bytes that were written, and decodes to its end. Raises RenderDirectoryError if a
    process works here, or if `frames` is given and a style has no such video: then no frame of any style is removed.
    """
    from pipeline.media.writer.partial import leftovers

    checkpoint = (cancellation or Cancellation()).checkpoint(
        "no frame was removed", hint="the same command cleans again"
    )
    opened = open_render(path)
    directory = opened.directory
    temporary = _temporary(directory)
    freed = [_measure("leftovers of crashes", temporary)]
    with directory.lock():  # which removes them
        recover_edits(directory)
        outputs = {
            *opened.outputs.values(),
            *(v.absolute_path(path) for v in known_videos(directory)),
        }
        partials = [partial for output in sorted(outputs) for partial in leftovers(output)]
        freed.append(_remove("incomplete videos", partials))
        freed.append(
            _remove(
                "cache",
                [entry for entry in _entries(directory.cache_path) if entry.name not in _NOTES],
            )
        )
        freed.append(_remove("frames of shorter plans", superseded_frames(directory.path)))
        if frames:
            done = exported(directory)
            styles = [style for style in directory.plan.styles if style not in done]
            chosen = {style: _checked_video(opened, style, reporter, checkpoint) for style in styles}
            for style, video in (done | chosen).items():
                count = sum(len(directory.stored(chain)) for chain in directory.plan.chains if chain.style == style)
                if count:
                    file = video.absolute_path(directory.path)
                    reporter.note(f"{style}: {file} replaces its stored frames, which are removed")
                    freed.append(Freed(f"frames of {style}", count, remove_frames(directory, video)))
    return [entry for entry in freed if entry.files]


def _checked_video(opened: OpenedRender, style: str, reporter: Reporter, checkpoint: Callable[[], None]) -> Video:
    """The video that may replace all frames of a style, checked. Raises RenderDirectoryError if there is none."""
    from pipeline.media.writer.video import check_whole

    directory = opened.directory

    count = directory.plan.source.frame_count
    hint = f"`{command_on(directory.path, 'export')} -o FILE.mp4` writes one; then clean again"
    videos = [video for video in known_videos(directory) if video.style == style and video.frames == count]
    videos = [video for video in videos if video.pixels]  # others do not show every frame as it is
    videos = [video for video in reversed(videos) if not video.path.lower().endswith(_LOSSY_ANIMATIONS)]
    videos = [video for video in videos if not video.problem(directory.path)]
    # The render's own video before later exports, which may be trials.
    own = opened.outputs[style]
    videos.sort(key=lambda video: video.absolute_path(directory.path) != own)
    chains = [chain for chain in directory.plan.chains if chain.style == style and chain.in_output]
    if not videos and any(directory.done(chain) < chain.stop for chain in chains):
        raise RenderDirectoryError(
            f"{directory.path}: not every frame of {style!r} is stylized yet, so its frames are kept",
            hint=f"`{resume_command(directory.path)}` stylizes the others and writes the video; then clean again",
        )
    if not videos:
        raise RenderDirectoryError(
            f"{directory.path}: no complete video of {style!r} that this render wrote is where it was written, so its "
            "frames are kept",
            hint=hint,
        )
    with reporter.stage(f"checking the frames of {style}", count) as advance:
        checked = 0

        def count_frame() -> None:
            nonlocal checked
            checkpoint()
            advance(checked)
            checked += 1

        pixels = shown_pixels(directory, style, count_frame)
    video = next((video for video in videos if video.pixels == pixels), None)
    if video is None:
        raise RenderDirectoryError(
            f"{directory.path}: frames of {style!r} have changed since its video was written, so they are kept",
            hint=hint,
        )
    if not video.stills:  # stills were written complete, and their bytes are the same
        file = video.absolute_path(directory.path)
        with reporter.stage(f"checking {file.name}", None):
            try:
                check_whole(file, count)
            except WriteError as error:
                raise RenderDirectoryError(f"{error.message}; the frames of {style!r} are kept", hint=hint) from error
    return video


def _temporary(directory: RenderDirectory) -> list[Path]:
    from pipeline.runtime.atomic import is_temporary

    folders = [directory.path, *(folder for folder in _entries(directory.frames_path) if folder.is_dir())]
    return [path for folder in folders for path in _entries(folder) if is_temporary(path.name)]


def _remove(what: str, paths: list[Path]) -> Freed:
    """Remove files, links and whole folders. Raises WriteError if one cannot be."""
    found = _measure(what, paths)
    for path in paths:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise WriteError(
                f"{path}: cannot be removed ({error.strerror})", hint="check its permissions, then clean again"
            ) from error
    return found


def _measure(what: str, paths: list[Path]) -> Freed:
    files = [path for path in paths if path.is_symlink() or not path.is_dir()]
    for folder in (path for path in paths if path.is_dir() and not path.is_symlink()):
        files += [Path(root, name) for root, _, names in os.walk(folder) for name in names]
    return Freed(
        what, len(files), sum(file.stat().st_size for file in files if not file.is_symlink() and file.exists())
    )


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []

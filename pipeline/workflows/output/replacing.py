"""Rules for replacing videos: only the render's own are replaced, and never a longer one by a shorter one."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import RenderDirectoryError, UsageError, WriteError
from pipeline.plan.paths import output_paths
from pipeline.store.directory import RenderDirectory
from pipeline.store.videos import Video, exported, known_videos, remember_video, size_and_digest
from pipeline.workflows.output.names import output_files
from pipeline.workflows.output.retime import output_timeline, picture_count
from pipeline.workflows.prepare import Prepared
from pipeline.workflows.request import RenderRequest

if TYPE_CHECKING:
    from pipeline.runtime.progress import Reporter


def keep_old_video(style: str, prepared: Prepared, request: RenderRequest, reporter: Reporter) -> None:
    """Before the work begins: refuse to replace a video that is not of this render, or with `fresh` move it aside.

    Raises UsageError if there is such a video, WriteError if it cannot be moved aside.
    """
    output, settings = prepared.outputs[style], prepared.configs[style].output
    timeline = output_timeline(settings, prepared.plan, prepared.source, output)
    count = picture_count(prepared.source, timeline)
    if not request.fresh:
        keep_other_files(output, prepared.path, count)
        return
    existing = _other_files(output, prepared.path, count)
    if not existing:
        return
    for file in existing:
        number = 1
        while (aside := file.with_name(f"{file.stem}.old-{number}{file.suffix}")).exists():
            number += 1
        try:
            file.rename(aside)
        except OSError as error:
            raise WriteError(
                f"{file}: cannot be moved aside ({error.strerror})",
                hint="choose another name with -o, or check the permissions of its folder",
            ) from error
    reporter.note(f"the old video is kept as {aside}")


def keep_other_files(output: Path, path: Path, count: int) -> None:
    """Raise UsageError if writing so many files would replace one that the render at `path` has not written."""
    if existing := _other_files(output, path, count):
        raise UsageError(
            f"{existing[0]}: exists, and is not of this render",
            hint="choose another name with -o, or move the old file away",
        )


def keep_longer_video(directory: RenderDirectory, output: Path, frame_count: int) -> None:
    """Raise UsageError if `output` is known to show more frames than the `frame_count` that would replace it."""
    for video in reversed(known_videos(directory)):
        if os.path.realpath(video.absolute_path(directory.path)) == os.path.realpath(output):
            if video.frames > frame_count and output_files(output, 1)[0].exists():
                raise UsageError(
                    f"{output}: shows {video.frames} frames, and only {frame_count} are stored now",
                    hint="name another file with -o, or stylize what is missing with `tempera resume` first",
                )
            return


def note_video(
    directory: RenderDirectory,
    style: str,
    output: Path,
    frame_count: int,
    pixels: str,
    reporter: Reporter,
    pictures: int = 0,
) -> None:
    """Remember a video that was just written: that this render wrote it, and what it shows (see `Video`).

    Numbered images of a longer output that are still behind these are noted.
    """
    files = output_files(output, pictures or frame_count)
    longest = output_files(output, _own_frames(output, directory.path))
    if behind := [file for file in longest[len(files) :] if file.exists()]:
        reporter.note(
            f"{output}: {behind[0].name} to {behind[-1].name} are still those of an earlier output of this render"
        )
    try:
        size, sha256 = size_and_digest(files)
    except OSError:
        return  # the note is optional
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    path = _relative(output, directory.path)
    stills = files != [output]
    remember_video(directory, Video(style, path, stills, frame_count, size, sha256, pixels, now, pictures))


def check_exported(directory: RenderDirectory, outputs: dict[str, Path]) -> dict[str, Path]:
    """Videos of the styles whose frames were removed, by style; they are not stylized again.

    Raises RenderDirectoryError if such a video is missing or changed, or is wanted under another name: then
    there are no frames to write it from.
    """
    found = {}
    for style, video in exported(directory).items():
        file = video.absolute_path(directory.path)
        anew = "begin anew with --fresh (the old folder is moved aside)"
        if problem := video.problem(directory.path):
            raise RenderDirectoryError(
                f"{directory.path}: the frames of {style!r} were removed after {file} was written, and that video is "
                f"{problem}",
                hint=f"put it back, or {anew}",
            )
        if style in outputs and os.path.realpath(outputs[style]) != os.path.realpath(file):
            raise RenderDirectoryError(
                f"{outputs[style]}: cannot be written, the frames of {style!r} were removed after {file} was written",
                hint=f"copy that video, or {anew}",
            )
        found[style] = file
    return found


def _other_files(output: Path, path: Path, count: int) -> list[Path]:
    """The files that writing so many would replace and that the render at `path` has not written."""
    return [file for file in output_files(output, count)[_own_frames(output, path) :] if file.exists()]


def _own_frames(output: Path, path: Path) -> int:
    """How many images, or one video, the render in a directory may have written there; 0 if it writes elsewhere."""
    if not (path / "plan.json").exists():
        return 0
    directory, wanted = RenderDirectory.open(path), os.path.realpath(output)
    planned = [file for file in output_paths(directory.plan, path).values() if os.path.realpath(file) == wanted]
    written = [video for video in known_videos(directory) if os.path.realpath(video.absolute_path(path)) == wanted]
    counts = [video.pictures or video.frames for video in written]
    return max([*counts, directory.plan.source.frame_count if planned else 0], default=0)


def _relative(output: Path, render_path: Path) -> str:
    try:
        return Path(os.path.relpath(os.path.realpath(output), os.path.realpath(render_path))).as_posix()
    except ValueError:  # another drive
        return Path(os.path.realpath(output)).as_posix()

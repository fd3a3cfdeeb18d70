"""Writing frames as a video, an animation or images, completely or not at all.

`check_output` checks before the work whether it can succeed, `write_video` does it, `written_size` is the size of the
result, `describe_codecs` lists what is possible on this machine, `check_whole` decodes a result to its end, and
`leftovers` lists the partial files of killed processes.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import WriteError
from pipeline.media.writer.animation import write_animation
from pipeline.media.writer.partial import leftovers, replacing
from pipeline.media.writer.stills import write_numbered, write_still
from pipeline.media.writer.target import SUFFIXES, check_count, check_output, describe_codecs, resolve, written_size
from pipeline.media.writer.time_map import AS_RECORDED
from pipeline.media.writer.timing import output_timing
from pipeline.media.writer.video import check_whole, encode_video

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from fractions import Fraction
    from pathlib import Path

    from pipeline.config.video import VideoSettings
    from pipeline.media.writer.time_map import TimeMap
    from pipeline.types import Pixels, Source

log = logging.getLogger(__name__)

__all__ = [
    "SUFFIXES",
    "check_output",
    "check_whole",
    "describe_codecs",
    "leftovers",
    "write_video",
    "written_size",
]


def write_video(
    path: Path,
    frames: Iterable[Pixels],
    *,
    source: Source,
    settings: VideoSettings,
    fps: Fraction | None = None,
    time_map: TimeMap | None = AS_RECORDED,
    record: str = "",
    progress: Callable[[int], None] | None = None,
    note: Callable[[str], None] = log.warning,
) -> Path:
    """Write the finished frames, uint8 or uint16 (H, W, 3) sRGB and all of one size and type, and return `path`.

    The suffix decides what is written: .mp4, .mov, .mkv, .webm, .mxf; animated .gif, .webp, .apng and .avif; a folder
    of images for a name with a number (`out/%05d.png`, from 0); one image for .png, .jpg, .tif, .exr, and for .webp and
    .avif of one frame. Missing folders are created. Where `Target.deep` says so more than 8 bits are kept.

    Every frame appears as long after the first one as in the source (`source.pts`), and the last one stays as long, to
    the tick in .mp4, .mov and .apng, to the millisecond in .mkv, .webm, .webp and .avif, to 1/100 s in .gif; or all at
    a constant rate of `fps` frames per second. Colors of the video files are BT.709 in limited range; odd sides grow by
    one pixel where the codec needs it (see `written_size`). The source's audio is carried over and stays in sync,
    unless `settings.audio` is "none" or `fps` changes the timing. `time_map` tells which of its moments the output
    shows, if not those from the first frame on at their own speed, also with `fps`; None, for frames that run backward:
    no audio.

    `record` is what the file says about its settings, at most `MAX_RECORD_BYTES` of printable ASCII (empty: nothing);
    every image of a folder has it. MXF has no place for it.

    The result is written to a hidden partial file beside `path`, which replaces `path` when it is complete and on the
    disk. On any error or interruption before, an existing file stays as it was and the partial file is removed.
    (Images of a folder replace those of the same names one after the other, once all of them are written.)

    `progress` is called with the number of frames written so far, `note` with what is done otherwise than asked.
    Raises WriteError (disk, permissions, codec, a wrong number of frames), UsageError (suffix), ConfigError (codec,
    profile, audio that cannot be copied), InputError (the source of the audio is gone); what `frames` raises passes
    through. ValueError for frames of unequal size or wrong type is a mistake of the caller.
    """
    target = resolve(path, settings)
    check_count(path, target, source.frame_count)
    timing = output_timing(source, fps)
    checked = _checked(path, frames, source.frame_count)
    if target.kind == "stills":
        write_numbered(path, checked, target=target, settings=settings, record=record, progress=progress)
        return path
    with replacing(path) as partial:
        if target.kind == "video":
            encode_video(
                path,
                partial,
                checked,
                target=target,
                source=source,
                timing=timing,
                time_map=_heard(path, source, settings, fps, time_map, note),
                record=record,
                progress=progress,
                note=note,
            )
        elif target.kind == "animation":
            write_animation(
                path,
                partial,
                checked,
                target=target,
                settings=settings,
                timing=timing,
                record=record,
                progress=progress,
            )
        else:
            for rgb in checked:
                write_still(path, partial, rgb, target=target, settings=settings, record=record)
            if progress is not None:
                progress(1)
    return path


def _heard(
    path: Path,
    source: Source,
    settings: VideoSettings,
    fps: Fraction | None,
    time_map: TimeMap | None,
    note: Callable[[str], None],
) -> TimeMap | None:
    """Which moments of the audio of the source go with the frames; None: it is not wanted, or cannot go with them."""
    if source.kind != "video" or not source.has_audio or settings.audio == "none":
        return None
    if fps is not None and time_map is AS_RECORDED:
        return None
    if time_map is None:
        note(f"{path}: the frames do not run forward throughout: the video has no audio")
    return time_map


def _checked(path: Path, frames: Iterable[Pixels], expected: int) -> Iterator[Pixels]:
    """The frames, checked to be uint8 or uint16 RGB, all of one type and size, and as many as `expected`."""
    shape: tuple[int, ...] = ()
    dtype, count = "uint8", 0
    for rgb in frames:
        if not shape:
            shape, dtype = rgb.shape, "uint16" if rgb.dtype == np.uint16 else dtype
        if rgb.dtype != dtype or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.shape != shape:
            raise ValueError(f"frame {count}: expected {dtype} {shape[:2]} RGB, found {rgb.dtype} {rgb.shape}")
        count += 1
        if count <= expected:
            yield rgb
    if count != expected:
        raise WriteError(
            f"{path}: expected {expected} frames, found {count}",
            hint="`tempera resume` renders the frames that are left",
        )

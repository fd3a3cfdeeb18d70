"""Decoding the frames of a video stream by PyAV, from the start or from near a frame, and nothing but local files."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

import av

from pipeline.errors import InputError
from pipeline.image import describe_content, read_head, resize
from pipeline.reader.pixels import to_rgb

if TYPE_CHECKING:
    from collections.abc import Generator

    import numpy as np
    from av.container import InputContainer
    from numpy.typing import NDArray

    from pipeline.types import Source

_STEPS_BACK_S: Final = (0, 4, 20)
"""Seconds before the wanted frame to seek to, one after the other, until a clean start is found."""


class _LostFrameError(Exception):
    """A frame that `probe` saw does not come out of the decoder."""


def open_video(file: str) -> InputContainer:
    """Open a container. Only local files: a file whose content is a playlist cannot make us fetch anything.

    Raises InputError if it is none or its index is missing.
    """
    try:
        return av.open(f"file:{file}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        content = describe_content(read_head(file))
        raise InputError(
            f"{file}: expected a video, found {content} that cannot be opened ({reason_of(error)})",
            hint="a recording that broke off has lost its index: repair or copy it again; else convert it to MP4",
        ) from None


def reason_of(error: Exception) -> str:
    """FFmpeg's words for an error, without its numbers and file names."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def decode(
    file: str, stream_index: int, *, threads: int = 0, seek_to: int | None = None, seconds_before: int = 0
) -> Generator[av.VideoFrame]:
    """Every frame of a stream in the order of showing, from the start or from near a time stamp.

    `seek_to` is in ticks of the stream: decoding starts at the key frame that the container finds for the time
    `seconds_before` it. `threads` 0 takes as many as there are cores. Raises av.FFmpegError at damage.
    """
    with open_video(file) as container:
        stream = next((s for s in container.streams.video if s.index == stream_index), None)
        if stream is None:
            return  # the file is another one now: the caller misses its frames
        stream.codec_context.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        if seek_to is not None:
            # Some streams tell their decoder only at the start what it needs all along: without x264's version, which
            # stands in the first packet, FFmpeg decodes 4:4:4 of older x264 to garbage.
            next(container.decode(stream), None)
            container.seek(seek_to - round(seconds_before / (stream.time_base or 1)), stream=stream)
        yield from container.decode(stream)


def read(source: Source, start: int, stop: int, size: tuple[int, int]) -> Generator[NDArray[np.uint8]]:
    """Decode frames [start, stop) of a video in the size (width, height) in px.

    Raises InputError, naming the frame, if the file is damaged there or no longer the one that was probed.
    """
    index = start
    reason = ""
    # The second way is slow and sure: from the start, counting, on one thread. With several threads damage takes frames
    # down that lie before it, and some containers cannot seek exactly.
    for surely in (False, True):
        try:
            with closing(_wanted(source, index, stop, surely=surely)) as frames:
                for frame in frames:
                    yield resize(to_rgb(frame, size), *size)
                    index += 1
        except (av.FFmpegError, _LostFrameError) as error:
            reason = reason_of(error)
        else:
            return
    raise InputError(
        f"{source.files[0]}: frame {index} cannot be decoded ({reason})",
        hint="the file is damaged or has changed: restore it, or start a new render of what it has now",
    )


def _wanted(source: Source, start: int, stop: int, *, surely: bool) -> Generator[av.VideoFrame]:
    """The decoded frames of [start, stop)."""
    if surely or not source.stream_pts or source.picks[start] == 0:
        return _by_counting(source, start, stop, threads=1 if surely else 0)
    return _by_stamp(source, start, stop)


def _by_counting(source: Source, start: int, stop: int, *, threads: int) -> Generator[av.VideoFrame]:
    wanted = dict(zip(source.picks[start:stop], range(start, stop), strict=True))
    with closing(decode(source.files[0], source.stream_index, threads=threads)) as frames:
        for position, frame in enumerate(frames):
            index = wanted.pop(position, None)
            if index is not None:
                if source.stream_pts and frame.pts != source.stream_pts[index]:
                    raise _LostFrameError(f"its time stamp is {frame.pts}, expected {source.stream_pts[index]}")
                yield frame
            if not wanted:
                return
    raise _LostFrameError("the video ends before it")


def _by_stamp(source: Source, start: int, stop: int) -> Generator[av.VideoFrame]:
    stamps = iter(source.stream_pts[start:stop])
    stamp = next(stamps)
    with closing(_from_near(source, stamp)) as frames:
        for frame in frames:
            if frame.pts is None or frame.pts < stamp:
                continue
            if frame.pts > stamp:
                raise _LostFrameError(f"no frame has its time stamp {stamp}")
            yield frame
            following = next(stamps, None)
            if following is None:
                return
            stamp = following
    raise _LostFrameError("the video ends before it")


def _from_near(source: Source, stamp: int) -> Generator[av.VideoFrame]:
    """Frames from a key frame at or before `stamp` on; from the start if none is found by seeking.

    A container seeks by its own index, often by decoding time, and may land behind the frame. And a decoder may begin
    at a frame that is not clean: only what follows a key frame in showing order is what a whole decode gives.
    """
    for seconds in _STEPS_BACK_S:
        frames = decode(source.files[0], source.stream_index, seek_to=stamp, seconds_before=seconds)
        with closing(frames):
            first = _first_clean(frames, stamp)
            if first is not None:
                yield first
                yield from frames
                return
    yield from decode(source.files[0], source.stream_index)


def _first_clean(frames: Generator[av.VideoFrame], stamp: int) -> av.VideoFrame | None:
    """Skip what comes before the first key frame; None if that is damaged or lies behind `stamp`."""
    for frame in frames:
        if frame.pts is None or frame.pts > stamp or frame.is_corrupt:
            return None
        if frame.key_frame:
            return frame
    return None

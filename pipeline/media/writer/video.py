"""Frames as a video file through PyAV, with color tags, exact times, metadata and the source's audio."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.error

from pipeline.errors import WriteError
from pipeline.media.image.record import xmp_box
from pipeline.media.writer.audio import AudioTrack, open_audio
from pipeline.media.writer.encoder_options import encoder_options, playable_options
from pipeline.media.writer.hardware import with_hardware
from pipeline.media.writer.metadata import container_metadata
from pipeline.media.writer.partial import write_error
from pipeline.media.writer.pixels import to_video_frame
from pipeline.media.writer.target import check_size, grown_size, pixel_format, quiet, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.media.writer.target import Target
    from pipeline.media.writer.time_map import TimeMap
    from pipeline.media.writer.timing import Timing
    from pipeline.types import Pixels, Source

# PyAV has no attribute for the siting; the other tags are set with it, so that all are set together. sRGB material is
# tagged with BT.709 transfer as everybody does: players show it unchanged, whereas the sRGB tag is ignored by some and
# honored by others, who then differ.
_TAGS = {
    "color_primaries": "bt709",
    "color_trc": "bt709",
    "colorspace": "bt709",
    "color_range": "tv",
    "chroma_sample_location": "left",
}
_RGB_TAGS = {"color_primaries": "bt709", "color_trc": "iec61966-2-1", "colorspace": "rgb", "color_range": "pc"}
_X265_DELAY = 2
"""Frames that x265 holds back with B-frames. Of a clip that has no more it gives decoding times that it never set."""
_MAX_RATE = 240  # SVT-AV1 refuses more; only a hint for the rate control, times are exact anyway


def encode_video(
    path: Path,
    partial: Path,
    frames: Iterator[Pixels],
    *,
    target: Target,
    source: Source,
    timing: Timing,
    time_map: TimeMap | None,
    record: str = "",
    progress: Callable[[int], None] | None,
    note: Callable[[str], None],
) -> None:
    """Write all frames (uint8 or uint16 (H, W, 3) sRGB) to `partial`; errors speak of `path`.

    `time_map` tells which audio of the source goes with them, None: none. `record` is what the video
    says about its settings; empty: nothing. Raises WriteError when the file cannot be written and passes on what
    `frames` raises.
    """
    first = next(frames)
    height_px, width_px = first.shape[:2]
    check_size(path, target, width_px, height_px)
    check_times(path, target, timing)
    target = with_hardware(target, note, *grown_size(target, width_px, height_px))
    # Without random identifiers and times, so that the same frames give the same bytes; MP4 and MOV have none.
    mp4 = target.container.format in {"mp4", "mov"}
    options = {"movflags": "+faststart"} if mp4 else {"fflags": "+bitexact"}
    with translated(path):
        # An absolute path, or FFmpeg takes what stands before a colon for a protocol.
        output = av.open(os.path.abspath(partial), "w", format=target.container.format, options=options)  # noqa: PTH100
    audio: AudioTrack | None = None
    try:
        with translated(path):
            output.metadata.update(container_metadata(source, target.settings, target.container, timing, record))
            stream = _add_stream(output, target, timing=timing, width_px=width_px, height_px=height_px)
        try:
            stream.codec_context.open()
        except (av.error.FFmpegError, ValueError) as error:
            raise refused(path, target, stream.width, stream.height, error) from error
        if time_map is not None:
            audio = open_audio(
                output, source, target.container, timing.duration_s, wanted=target.settings.audio, time_map=time_map
            )
        with translated(path):
            output.start_encoding()
        shown = _with_first(first, frames)
        _encode(path, output, stream, frames=shown, target=target, timing=timing, audio=audio, progress=progress)
        with translated(path):
            output.close()
            if record and mp4:
                with partial.open("ab") as file:
                    file.write(xmp_box(record))
    except BaseException:
        # The file is removed before it is closed, so that writing its trailer and copying for +faststart takes no time.
        partial.unlink(missing_ok=True)
        with suppress(av.error.FFmpegError, OSError):  # the first error is the one to report
            output.close()
        raise
    finally:
        if audio is not None:
            audio.close()
    _verify(path, partial, len(timing.starts))


def check_times(path: Path, target: Target, timing: Timing) -> None:
    """Raise WriteError if the container of a video does not take frames at these times."""
    rates = target.container.rates
    if rates and not (timing.constant and timing.mean_rate in rates):
        found = (
            f"{float(timing.mean_rate):g} frames per second" if timing.constant else "frames that stay unequally long"
        )
        raise WriteError(
            f"{path}: {target.suffix} does not take {found}",
            hint="--set output.time.fps=25 (or 24, 29.97 or another of its rates) makes in-betweens, `tempera export "
            "--fps 25` shows the same frames at that pace; or choose .mov",
        )


def _with_first(first: Pixels, rest: Iterator[Pixels]) -> Iterator[Pixels]:
    yield first
    yield from rest


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what FFmpeg or the operating system report inside the block into a WriteError about `path`."""
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        raise write_error(path, error) from error


def _add_stream(
    output: av.container.OutputContainer, target: Target, *, timing: Timing, width_px: int, height_px: int
) -> Any:
    settings = target.settings
    rate = min(max(timing.mean_rate.limit_denominator(1001), Fraction(1, 1001)), Fraction(_MAX_RATE))
    quiet(target.encoder)
    stream: Any = output.add_stream(target.encoder, rate=rate)
    context = stream.codec_context
    context.width, context.height = grown_size(target, width_px, height_px)
    context.pix_fmt = pixel_format(target)
    stream.time_base = context.time_base = timing.tick_s
    # FFmpeg's default of one thread, or of slices only, would make x264 slower and its output larger.
    context.thread_type = "AUTO"
    if settings.bits_per_second is not None:
        context.bit_rate = settings.bits_per_second
    context.options = {
        **encoder_options(target.encoder, target.codec, settings, target.variant),
        **playable_options(target.encoder, settings, target.pixels),
        **(_RGB_TAGS if target.pixels.rgb else _TAGS),
    }
    if target.encoder == "libx264" and -(-context.width // 16) % 8:
        # x264's assembly of "mbtree" reads memory that it never wrote unless a row is a multiple of 8 blocks: in a
        # process that had decoded before, ten encodes of the same frames gave five files at 136 px, and one at 128.
        context.options = {**context.options, "x264-params": "mbtree=0"}
    if not timing.constant and target.container.negative_times:
        # MP4 stores how long a frame stays in decoding order: reordered frames of unequal length lose the last one's.
        context.max_b_frames = 0
    if target.encoder == "libx265" and len(timing.starts) <= _X265_DELAY:
        context.max_b_frames = 0
    if target.codec == "hevc" and target.container.format in {"mp4", "mov"}:
        context.codec_tag = "hvc1"  # Apple's players do not open hev1
    return stream


def _encode(
    path: Path,
    output: av.container.OutputContainer,
    stream: Any,
    *,
    frames: Iterator[Pixels],
    target: Target,
    timing: Timing,
    audio: AudioTrack | None,
    progress: Callable[[int], None] | None,
) -> None:
    durations = {start: stop - start for start, stop in timing.spans()}
    for index, rgb in enumerate(frames):
        with translated(path):
            frame = to_video_frame(rgb, stream.width, stream.height, target.pixels)
            if stream.pix_fmt != target.pixels.format:
                frame = frame.reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = timing.starts[index], timing.tick_s
            _mux(output, stream, frame, durations, timing.tick_s)
            if audio is not None:
                audio.mux_until(timing.starts[index] * timing.tick_s)
        if progress is not None:
            progress(index + 1)
    with translated(path):
        _mux(output, stream, None, durations, timing.tick_s)
        if audio is not None:
            audio.mux_until(None)


def _mux(
    output: av.container.OutputContainer,
    stream: Any,
    frame: av.VideoFrame | None,
    durations: dict[int, int],
    tick_s: Fraction,
) -> None:
    for packet in stream.encode(frame):
        # Not every encoder hands the duration on, and the last frame's is known only here.
        if packet.time_base == tick_s and packet.pts in durations:
            packet.duration = durations[packet.pts]
        output.mux(packet)


def _verify(path: Path, partial: Path, frame_count: int) -> None:
    """Read the finished file's packets once: FFmpeg does not report every failure of its last writes."""
    try:
        with av.open(os.path.abspath(partial)) as written:  # noqa: PTH100
            count = sum(1 for packet in written.demux(video=0) if packet.size)
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise write_error(path, error, "reading back what was written") from error
    if count != frame_count:
        raise WriteError(
            f"{path}: {frame_count} frames were written, {count} can be read back",
            hint="the disk may be full or faulty: free some space, or choose another disk with -o",
        )


def check_whole(path: Path, frame_count: int) -> None:
    """Decode a video from its first frame to its last. Raises WriteError if it is not complete."""
    count = 0
    try:
        with av.open(os.path.abspath(path)) as written:  # noqa: PTH100
            written.streams.video[0].thread_type = "AUTO"
            for frame in written.decode(video=0):
                if frame.is_corrupt:
                    raise WriteError(f"{path}: frame {count} is damaged", hint="write it again with `tempera export`")
                count += 1
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise write_error(path, error, "reading back what was written") from error
    if count != frame_count:
        raise WriteError(
            f"{path}: {frame_count} frames were written, {count} can be decoded",
            hint="the disk may be faulty: write it again, or to another disk, with `tempera export`",
        )

"""Decoding the frames of a video stream by PyAV, from the start or from near a frame, and nothing but local files."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import av

from pipeline.errors import InputError
from pipeline.media.image.sniff import describe_content, read_head
from pipeline.media.reader.deinterlace import deinterlaced, which_frames
from pipeline.media.reader.ffv1 import FFV1, damaged_packets, slices_intact
from pipeline.media.reader.pixels import FrameConverter, blend, conversion

if TYPE_CHECKING:
    from collections.abc import Generator

    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

    from pipeline.config.settings import InputSettings
    from pipeline.types import Pixels, Source

_STEPS_BACK_S: Final = (0, 4, 20)
"""Seconds before the wanted frame to seek to, one after the other, until a clean start is found."""
MAX_VIDEO_PX: Final = 80_000_000
"""Pixels in a frame that the decoder may reserve memory for, many times over; 8K has 33 million."""
_SPECIAL_NAME: Final = re.compile(r"[%*?\[\]{}\ud800-\udfff]")
"""Names that FFmpeg would take for a pattern of image files, or that cannot be passed on because they are not UTF-8."""
_WITH_ALPHA: Final = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders that read transparency, by FFmpeg's names of the codecs."""
_FAILED_READS: Final = 4
"""Attempts to read on in a container, one after the other without a packet, until it counts as broken off."""


@dataclass(slots=True)
class PacketLog:
    """The packets that went into the decoder, in the order of the file; stamps in ticks of the stream."""

    stamps: list[int | None] = field(default_factory=list)
    keys: list[bool] = field(default_factory=list)
    checksums: list[bool | None] = field(default_factory=list)
    """The results of `slices_intact` for the packets of FFV1; empty for other codecs."""
    failed: list[int] = field(default_factory=list)
    """Indices of the packets that the decoder refused."""
    incomplete: bool = False
    """Whether the last packet is incomplete."""
    reason: str = ""
    """FFmpeg's words for the first failure."""
    broke_off: str = ""
    """FFmpeg's words for what ended the reading before the end of the file; "" where nothing did."""

    def add(self, packet: av.Packet[Any], codec: str) -> None:
        """Record a packet that goes into the decoder, if its frame is to be shown."""
        if packet.size and not packet.is_discard:
            self.stamps.append(packet.pts)
            self.keys.append(packet.is_keyframe)
            self.incomplete = packet.is_corrupt
            if codec == FFV1:
                self.checksums.append(slices_intact(bytes(packet)))

    def stamps_of_wrong_checksums(self) -> set[int | None]:
        """Stamps of the packets whose frames are damaged according to their checksums."""
        return {self.stamps[index] for index in damaged_packets(self.checksums, self.keys)}


class _LostFrameError(Exception):
    """A frame that `probe` saw does not come out of the decoder."""


def open_video(file: str) -> InputContainer:
    """Open a container. Only local files: a file whose content is a playlist cannot cause a download.

    Raises InputError if it is none or its index is missing.
    """
    try:
        if not _SPECIAL_NAME.search(file):
            return av.open(f"file:{file}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
        with Path(file).open("rb") as opened:  # FFmpeg keeps a copy of the descriptor
            options = {"protocol_whitelist": "fd", "fd": str(opened.fileno())}
            return av.open("fd:", options=options, metadata_errors="replace")
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
    file: str,
    stream_index: int,
    log: PacketLog | None = None,
    *,
    seek_to: int | None = None,
    seconds_before: int = 0,
) -> Generator[av.VideoFrame]:
    """Every frame of a stream in the order of showing, from the start or from near a time stamp, on all cores.

    `seek_to` is in ticks of the stream: decoding starts at the key frame that the container finds for the time
    `seconds_before` it. Raises av.FFmpegError at damage; but the last frames may also be missing without an error,
    which only the stamps in `log` show.
    """
    with open_video(file) as container:
        stream = _stream(container, stream_index)
        if stream is None:
            return  # the file has been replaced: the caller finds its frames missing
        decoder = _decoder(stream, threads=0)
        if seek_to is not None:
            # Some streams state only at the start what their decoder needs throughout: without x264's version, which
            # is in the first packet, FFmpeg decodes 4:4:4 of older x264 to garbage. FFV1 needs nothing, and its decoder
            # keeps what damage in those packets left behind.
            if decoder.name != FFV1:
                next(container.decode(stream), None)
            container.seek(seek_to - round(seconds_before / (stream.time_base or 1)), stream=stream)
        for packet in container.demux(stream):
            if log is not None:
                log.add(packet, stream.codec_context.name)
            yield from decoder.decode(packet)


def decode_past_damage(file: str, stream_index: int, log: PacketLog | None = None) -> Generator[av.VideoFrame]:
    """Every frame of a stream that can be decoded, in the order of showing, from the start and always the same ones.

    On one thread: with several, frames that lie before the damage are lost too. What failed is recorded in `log`.
    """
    log = PacketLog() if log is None else log
    with open_video(file) as container:
        stream = _stream(container, stream_index)
        if stream is None:
            return
        decoder = _decoder(stream, threads=1)
        attempts = _FAILED_READS
        while attempts:
            try:
                for packet in container.demux(stream):
                    attempts = _FAILED_READS
                    log.add(packet, stream.codec_context.name)
                    try:
                        frames = decoder.decode(packet)
                    except av.FFmpegError as error:
                        log.reason = log.reason or reason_of(error)
                        if log.stamps:
                            log.failed.append(len(log.stamps) - 1)
                    else:
                        yield from frames
            except av.FFmpegError as error:
                attempts -= 1
                log.broke_off = reason_of(error)
            else:
                return


def _stream(container: InputContainer, index: int) -> VideoStream | None:
    return next((s for s in container.streams.video if s.index == index), None)


def _decoder(stream: VideoStream, threads: int) -> VideoCodecContext:
    """The decoder of a stream; for VP8 and VP9 with transparency libvpx, since FFmpeg's own one leaves that out."""
    decoder = stream.codec_context
    if has_separate_alpha(stream):
        created: Any = av.CodecContext.create(_WITH_ALPHA[decoder.name], "r")
        decoder = created
    decoder.thread_type = "AUTO"
    decoder.thread_count = threads
    options = {"max_pixels": str(MAX_VIDEO_PX)}
    if decoder.codec.intra_only or decoder.name == FFV1:
        # Without other frames to conceal damage with, the decoder shows uninitialized memory: an error is better.
        options["err_detect"] = "crccheck+explode"
    decoder.options = options
    return decoder


def has_separate_alpha(stream: VideoStream) -> bool:
    """Whether a WebM stream has transparency beside its frames, and there is a decoder for it.

    That decoder does not mark key frames, so such a stream is always read from the start.
    """
    name = _WITH_ALPHA.get(stream.codec_context.name)
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    return name in av.codecs_available and tags.get("alpha_mode") == "1"


def read(source: Source, start: int, stop: int, size: tuple[int, int], settings: InputSettings) -> Generator[Pixels]:
    """Decode frames [start, stop) of a video, none of them in `source.damaged`, in the size (width, height) in px.

    Raises InputError, naming the frame, if the file is damaged there or no longer the one that was probed.
    """
    index = start
    reason = ""
    to_size = FrameConverter(size, conversion(settings, source.peak_nits))
    # The second way is slow and exact: from the start, counting, on one thread. With several threads, frames that lie
    # before damage are lost too, and some containers cannot seek exactly. Where `probe` saw damage it is the only way.
    for sequentially in (False, True) if source.stream_pts else (True,):
        try:
            with closing(_wanted(source, index, stop, settings, sequentially=sequentially)) as frames:
                while index < stop:
                    count = _frames_in(source, index)
                    images = map(to_size, islice(frames, count))
                    yield blend(images) if count > 1 else next(images)
                    index += 1
        except (av.FFmpegError, _LostFrameError) as error:
            reason = reason_of(error)
        else:
            return
    raise InputError(
        f"{source.files[0]}: frame {index} cannot be decoded ({reason})",
        hint="the file is damaged or has changed: restore it, or start a new render of what it has now",
    )


def _wanted(
    source: Source, start: int, stop: int, settings: InputSettings, *, sequentially: bool
) -> Generator[av.VideoFrame]:
    """The decoded frames of [start, stop), of a blended one all that it is made of."""
    file, stream_index = source.files[0], source.stream_index
    which = which_frames(settings, interlaced=source.interlaced)
    if sequentially:
        return _by_counting(source, start, stop, deinterlaced(decode_past_damage(file, stream_index), which))
    if source.decoded_indices[start] == 0:
        return _by_counting(source, start, stop, deinterlaced(decode(file, stream_index), which))
    # Deinterlacing needs the frame before the first one as well.
    near = _from_near(source, source.stream_pts[start] - (which != "none"))
    return _by_stamp(source, start, stop, deinterlaced(near, which))


def _frames_in(source: Source, index: int) -> int:
    """How many decoded frames a frame is made of."""
    return source.blended[index] if source.blended else 1


def _by_counting(source: Source, start: int, stop: int, decoded: Generator[av.VideoFrame]) -> Generator[av.VideoFrame]:
    """Frames by their position among all decoded ones; a position may be wanted several times in a row."""
    index, taken = start, 0
    with closing(decoded):
        for position, frame in enumerate(decoded):
            while position == source.decoded_indices[index] + taken:
                if not taken and source.stream_pts and frame.pts != source.stream_pts[index]:
                    raise _LostFrameError(f"its time stamp is {frame.pts}, expected {source.stream_pts[index]}")
                yield frame
                taken += 1
                if taken == _frames_in(source, index):
                    index, taken = index + 1, 0
                if index == stop:
                    return
    raise _LostFrameError("the video ends before it")


def _by_stamp(source: Source, start: int, stop: int, decoded: Generator[av.VideoFrame]) -> Generator[av.VideoFrame]:
    """Frames by their stamps, from decoded ones that begin at or before the first; the others of a blend follow it."""
    index, taken = start, 0
    with closing(decoded):
        for frame in decoded:
            if not taken:
                stamp = source.stream_pts[index]
                if frame.pts is None or frame.pts < stamp:
                    continue
                if frame.pts > stamp:
                    raise _LostFrameError(f"no frame has its time stamp {stamp}")
            yield frame
            taken += 1
            if taken == _frames_in(source, index):
                index, taken = index + 1, 0
            if index == stop:
                return
    raise _LostFrameError("the video ends before it")


def _from_near(source: Source, stamp: int) -> Generator[av.VideoFrame]:
    """Frames from a key frame at or before `stamp` on; from the start if none is found by seeking.

    A container seeks by its own index, often by decoding time, and may land behind the frame. And a decoder may begin
    at a frame that it cannot decode fully: only frames that follow a key frame in the order of showing are those of a
    whole decode.
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
    """Skip what comes before the first key frame; None if that is damaged or after `stamp`."""
    for frame in frames:
        if frame.pts is None or frame.pts > stamp or frame.is_corrupt:
            return None
        if frame.key_frame:
            return frame
    return None

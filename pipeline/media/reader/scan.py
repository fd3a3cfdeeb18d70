"""One pass through all frames of a video: when each is shown, which cannot be decoded, and other properties."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import av

from pipeline.media.reader.decode import PacketLog, decode, decode_past_damage, reason_of
from pipeline.media.reader.deinterlace import which_frames
from pipeline.media.reader.ffv1 import FFV1
from pipeline.media.reader.pixels import (
    Conversion,
    FrameConverter,
    Orientation,
    color_tags,
    conversion,
    display_size,
    frame_orientation,
    is_transparent,
    peak_nits,
    to_rgb,
)
from pipeline.types import ColorTags

if TYPE_CHECKING:
    from collections.abc import Generator, Set
    from fractions import Fraction

    from av.video.stream import VideoStream

    from pipeline.config.settings import InputSettings
    from pipeline.media.reader.thumbnails import Thumbnails

_LEADING: Final = 32
"""Packets after a key frame that may be shown before it: more than any codec keeps."""
_CONCEALED: Final = "damaged frames"
_TRIAL_PX: Final = (16, 16)


@dataclass(slots=True)
class Scan:
    """What the frames of a stream have shown; stamps in ticks of the stream.

    `positions[i]` is the position of frame i among the frames that come out of the decoder, None if it does not come
    out or cannot be shown; `concealed` are the frames of which the decoder reports that it made up a part from others.
    """

    stamps: list[int | None] = field(default_factory=list)
    positions: list[int | None] = field(default_factory=list)
    concealed: list[int] = field(default_factory=list)
    last_duration: int = 0
    size: tuple[int, int] = (0, 0)
    """Stored width and height in px of the first frame."""
    sample_aspect: Fraction | None = None
    orientation: Orientation = field(default_factory=Orientation)
    color: ColorTags = field(default_factory=ColorTags)
    resized_at: int | None = None
    interlaced: bool = False
    """Whether a frame is marked so."""
    transparent: bool = False
    peak_nits: int = 0
    """What the first frame states, see `pixels.peak_nits`."""
    unconvertible: str = ""
    """Why the first frame that has no way to RGB has none; "" if all have one."""
    reason: str = ""
    """FFmpeg's words for the first damage; "" where there is none."""
    broke_off: str = ""
    """FFmpeg's words for why the file ends too early; "" if it does not."""
    complete: bool = False

    @property
    def display_size(self) -> tuple[int, int]:
        """Width and height in px of the first frame, upright and with square pixels."""
        return display_size(self.size, self.sample_aspect, self.orientation)

    @property
    def lost(self) -> list[int]:
        """Frames that cannot be decoded."""
        return [index for index, position in enumerate(self.positions) if position is None]


def scan(
    file: str,
    stream: VideoStream,
    limit: int | None,
    settings: InputSettings,
    thumbnails: Thumbnails | None = None,
) -> Scan:
    """Decode up to `limit` frames, and keep small ones in `thumbnails`.

    At any damage they are decoded again on one thread, since only that shows exactly which frames are lost.
    """
    stream_index = stream.index
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    found, log = Scan(sample_aspect=aspect), PacketLog()
    try:
        found.complete = _add_frames(found, decode(file, stream_index, log), limit, settings, thumbnails)
    except av.FFmpegError as error:
        found.reason = reason_of(error)
    if not found.reason and not found.concealed and not _misses_frames(found, log):
        found.reason = found.unconvertible
        return found
    found, log = Scan(sample_aspect=aspect), PacketLog()
    found.complete = _add_frames(found, decode_past_damage(file, stream_index, log), limit, settings, thumbnails)
    found.reason, found.broke_off = log.reason or found.unconvertible, log.broke_off
    wrong = log.stamps_of_wrong_checksums()
    found.concealed = [at for at, stamp in enumerate(found.stamps) if at in found.concealed or stamp in wrong]
    _place_lost(found, log, complete=not log.broke_off and not log.incomplete and len(log.stamps) == stream.frames)
    if stream.codec_context.codec.intra_only or stream.codec_context.name == FFV1:
        # Without other frames to conceal damage with, the decoder shows uninitialized memory, each time another.
        found.positions = [None if at in found.concealed else position for at, position in enumerate(found.positions)]
        if found.concealed:
            found.reason, found.concealed = found.reason or _CONCEALED, []
    return found


def _misses_frames(found: Scan, log: PacketLog) -> bool:
    """Whether packets show damage that decoding on several threads does not report.

    At the end of a stream damaged frames are only missing; and FFV1's wrong checksums are known from its packets alone.
    """
    missing = {*log.stamps} - {*found.stamps} or (None in log.stamps and len(log.stamps) > len(found.stamps))
    return bool(found.complete and missing) or not log.stamps_of_wrong_checksums().isdisjoint(found.stamps)


def _add_frames(
    found: Scan,
    frames: Generator[av.VideoFrame],
    limit: int | None,
    settings: InputSettings,
    thumbnails: Thumbnails | None,
) -> bool:
    """Add what the decoded frames show to `found`, and small ones to `thumbnails`; whether that was all of them.

    No small frames are kept of a video that is to be deinterlaced: they are read like all others.
    """
    convertible = _Convertible()
    to_thumbnail: FrameConverter | None = None
    with closing(frames):
        for position, frame in enumerate(frames):
            if position == 0:
                found.size = (frame.width, frame.height)
                found.orientation = frame_orientation(frame)
                found.color = color_tags(frame)
                found.transparent = is_transparent(frame)
                found.peak_nits = peak_nits(frame) if found.color.transfer == "smpte2084" else 0
                if thumbnails is not None:
                    thumbnails.start(*found.display_size)
                    to_thumbnail = FrameConverter(thumbnails.size, conversion(settings, found.peak_nits, deep=False))
            elif (frame.width, frame.height) != found.size and found.resized_at is None:
                found.resized_at = position
            found.interlaced |= bool(frame.interlaced_frame)
            if thumbnails is not None and which_frames(settings, interlaced=found.interlaced) != "none":
                thumbnails.discard()
                thumbnails = None
            if frame.is_corrupt:
                found.concealed.append(position)
            found.stamps.append(frame.pts)
            refusal = convertible.refusal(frame)
            found.unconvertible = found.unconvertible or refusal
            found.positions.append(None if refusal else position)
            if thumbnails is not None and to_thumbnail is not None and not refusal:
                _keep(thumbnails, position, frame, to_thumbnail)
            found.last_duration = int(frame.duration or 0)
            if limit is not None and position + 1 >= limit:
                return False
    return True


def _keep(thumbnails: Thumbnails, position: int, frame: av.VideoFrame, convert: FrameConverter) -> None:
    try:
        rgb = convert(frame)
    except av.FFmpegError:
        thumbnails.discard()  # reading the frame raises the error, with its number
    else:
        thumbnails.add(position, rgb)


class _Convertible:
    """Which frames have a way to RGB, tried once for each combination of pixel format and color tags."""

    def __init__(self) -> None:
        self._refusals: dict[tuple[str, int, int], str] = {}

    def refusal(self, frame: av.VideoFrame) -> str:
        """Why a frame cannot be converted, "" if it can."""
        kind = (frame.format.name, int(frame.colorspace), int(frame.color_range))
        if kind not in self._refusals:
            try:
                to_rgb(frame, _TRIAL_PX, Orientation(), Conversion())
            except av.FFmpegError as error:
                matrix = color_tags(frame).matrix or f"number {kind[1]}"
                self._refusals[kind] = f"colors of {kind[0]} with matrix {matrix}: {reason_of(error)}"
            else:
                self._refusals[kind] = ""
        return self._refusals[kind]


def _place_lost(found: Scan, log: PacketLog, *, complete: bool) -> None:
    """Insert the frames that did not come out of the decoder where their time stamps belong.

    Those missing after the last decoded frame do not count as lost but as the end of a truncated file, unless the file
    is `complete`.
    """
    if not log.failed:
        return
    if any(stamp is None for stamp in found.stamps):
        _place_by_counting(found, log)
        return
    position: dict[int, int | None] = {}
    late: set[int] = set()  # a decoder that has lost its references may give frames in a wrong order
    for at, stamp in enumerate(found.stamps):
        assert stamp is not None
        if position and stamp <= next(reversed(position)):
            late.add(stamp)
        else:
            position[stamp] = found.positions[at]
    missing = (late | _stamps_lost(log, position.keys())) - position.keys()
    last = next(reversed(position), None)
    tail = {stamp for stamp in missing if last is None or stamp > last}
    if tail and not (complete and found.complete):
        if found.complete:
            found.broke_off = found.broke_off or found.reason
        missing -= tail
    concealed = {found.stamps[index] for index in found.concealed}
    position |= dict.fromkeys(missing)
    ordered = sorted(position)
    found.stamps = list(ordered)
    found.positions = [position[stamp] for stamp in ordered]
    found.concealed = [
        index for index, stamp in enumerate(ordered) if stamp in concealed and position[stamp] is not None
    ]


def _place_by_counting(found: Scan, log: PacketLog) -> None:
    """Insert the lost frames of a stream without stamps, whose packets and frames are in the same order.

    As many are lost as there are packets without a frame: at the packets that failed, and after the first of them.
    """
    short = max(0, len(log.stamps) - len(found.stamps))
    failed = log.failed[:short]
    lost = failed[:1] * (short - len(failed)) + failed
    for at in lost:
        found.stamps.insert(at, None)
        found.positions.insert(at, None)
        found.concealed = [index + (index >= at) for index in found.concealed]


def _stamps_lost(log: PacketLog, came_out: Set[int]) -> set[int]:
    """Stamps of the packets that the decoder refused, and of those after them that it skipped without an error.

    A decoder that has lost its reference frames may output nothing until the next key frame. Elsewhere a packet without
    a frame is no damage: some hold only what later frames are predicted from.
    """
    lost: set[int] = set()
    for failed in log.failed:
        following = range(failed + 1, len(log.stamps))
        restart = next((at for at in following if log.keys[at] and log.stamps[at] in came_out), None)
        limit = None if restart is None else log.stamps[restart]
        for at in range(failed, len(log.stamps)):
            stamp = log.stamps[at]
            if stamp is not None and (at == failed or limit is None or stamp < limit):
                lost.add(stamp)
            if restart is not None and at > restart + _LEADING:
                break
    return lost

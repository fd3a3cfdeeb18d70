"""One pass through all frames of a video: when each is shown, which cannot be decoded, and what is odd about them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import av

from pipeline.media.reader.decode import PacketLog, decode, decode_past_damage, reason_of
from pipeline.media.reader.pixels import Orientation, color_tags, orientation
from pipeline.types import ColorTags

if TYPE_CHECKING:
    from collections.abc import Generator, Set

    from av.video.stream import VideoStream

_LEADING: Final = 32
"""Packets behind a key frame that may be shown before it: more than any codec keeps."""


@dataclass(slots=True)
class Scan:
    """What the frames of a stream have shown; stamps in ticks of the stream.

    `positions[i]` is the position of frame i among the frames that come out of the decoder, None if it does not or is
    not fit to be shown; `patched` are the frames of which the decoder says that it made up a part from others.
    """

    stamps: list[int | None] = field(default_factory=list)
    positions: list[int | None] = field(default_factory=list)
    patched: list[int] = field(default_factory=list)
    last_duration: int = 0
    size: tuple[int, int] = (0, 0)
    turn: Orientation = field(default_factory=Orientation)
    color: ColorTags = field(default_factory=ColorTags)
    resized_at: int | None = None
    interlaced: bool = False
    reason: str = ""
    """FFmpeg's words for the first damage; "" where there is none."""
    broke_off: str = ""
    """And for why there is no more, if the file ends too early."""
    complete: bool = False

    @property
    def lost(self) -> list[int]:
        """Frames that cannot be decoded."""
        return [index for index, position in enumerate(self.positions) if position is None]


def scan(file: str, stream: VideoStream, limit: int | None) -> Scan:
    """Decode up to `limit` frames; at any damage again on one thread, since only that says exactly what is lost."""
    stream_index = stream.index
    found, log = Scan(), PacketLog()
    try:
        found.complete = _look(found, decode(file, stream_index, log), limit)
    except av.FFmpegError as error:
        found.reason = reason_of(error)
    # With several threads the damage of the last frames goes unsaid: they are only not there.
    missing = {*log.stamps} - {*found.stamps} or (None in log.stamps and len(log.stamps) > len(found.stamps))
    if not found.reason and not found.patched and not (found.complete and missing):
        return found
    found, log = Scan(), PacketLog()
    found.complete = _look(found, decode_past_damage(file, stream_index, log), limit)
    found.reason, found.broke_off = log.reason, log.broke_off
    _place_lost(found, log, whole=not log.broke_off and not log.torn and len(log.stamps) == stream.frames)
    if stream.codec_context.codec.intra_only:
        # There are no others to make a part up from: it shows what lay in memory, another time something else.
        found.positions = [None if at in found.patched else position for at, position in enumerate(found.positions)]
        found.reason, found.patched = found.reason or "a damaged picture", []
    return found


def _look(found: Scan, frames: Generator[av.VideoFrame], limit: int | None) -> bool:
    """Fill in what the decoded frames show; whether that was all of them."""
    with closing(frames):
        for position, frame in enumerate(frames):
            if position == 0:
                found.size = (frame.width, frame.height)
                found.turn = orientation(frame)
                found.color = color_tags(frame)
                found.interlaced = bool(frame.interlaced_frame)
            elif (frame.width, frame.height) != found.size and found.resized_at is None:
                found.resized_at = position
            if frame.is_corrupt:
                found.patched.append(position)
            found.stamps.append(frame.pts)
            found.positions.append(position)
            found.last_duration = int(frame.duration or 0)
            if limit is not None and position + 1 >= limit:
                return False
    return True


def _place_lost(found: Scan, log: PacketLog, *, whole: bool) -> None:
    """Put the frames that did not come out where they belong by their time stamps.

    What is missing behind the last good frame is not lost but the end of a file that breaks off, unless the file is
    `whole`.
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
            position[stamp] = at
    missing = (late | _stamps_lost(log, position.keys())) - position.keys()
    last = next(reversed(position), None)
    tail = {stamp for stamp in missing if last is None or stamp > last}
    if tail and not (whole and found.complete):
        if found.complete:
            found.broke_off = found.broke_off or found.reason
        missing -= tail
    patched = {found.stamps[index] for index in found.patched}
    position |= dict.fromkeys(missing)
    ordered = sorted(position)
    found.stamps = list(ordered)
    found.positions = [position[stamp] for stamp in ordered]
    found.patched = [index for index, stamp in enumerate(ordered) if stamp in patched and position[stamp] is not None]


def _place_by_counting(found: Scan, log: PacketLog) -> None:
    """For a stream without stamps, whose packets and frames are then in the same order: as many are lost as it has
    packets without a frame, at the packets that failed and behind the first of them."""
    short = max(0, len(log.stamps) - len(found.stamps))
    failed = log.failed[:short]
    lost = failed[:1] * (short - len(failed)) + failed
    for place in lost:
        found.stamps.insert(place, None)
        found.positions.insert(place, None)
        found.patched = [index + (index >= place) for index in found.patched]


def _stamps_lost(log: PacketLog, came_out: Set[int]) -> set[int]:
    """Stamps of the packets that the decoder refused, and of those that it then passed over in silence.

    A decoder that has lost its reference frames may give nothing until the next key frame. Elsewhere a packet without a
    frame is no damage: some hold only what later frames are made from.
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

"""Understanding a video file: which stream, when each frame is shown, its shape, and its damage."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
from av.stream import Disposition

from pipeline.errors import InputError
from pipeline.media.image.limits import MAX_PX, MAX_SIDE_PX
from pipeline.media.reader.damage import describe, fill
from pipeline.media.reader.decode import MAX_VIDEO_PX, has_separate_alpha, open_video
from pipeline.media.reader.hdr import HDR_NAMES, USUAL_PEAK_NITS, WIDE_NAMES
from pipeline.media.reader.scan import Scan, scan
from pipeline.media.reader.timing import check_slice, check_slice_end, choose, repair, usual_step
from pipeline.types import FrameSlice, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.container import InputContainer
    from av.video.stream import VideoStream

    from pipeline.config.settings import InputSettings
    from pipeline.media.reader.damage import Policy
    from pipeline.media.reader.inputs import InputFiles
    from pipeline.media.reader.thumbnails import Thumbnails

_NOT_VIDEO: Final = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_LISTED: Final = 4
"""How many other streams a note or an error names."""


@dataclass(frozen=True, slots=True)
class _Stamps:
    """When the frames of a video are shown, strictly increasing, and when the last one ends, in ticks of `base_s`.

    `average` is the rate that the file states, and `made_up` how many stamps are not those of the file.
    """

    pts: list[int]
    end: int
    base_s: Fraction
    average: Fraction | None
    made_up: int

    @property
    def length_s(self) -> Fraction:
        """Seconds from the first frame to the end of the last one."""
        return (self.end - self.pts[0]) * self.base_s


def probe(
    found: InputFiles,
    settings: InputSettings,
    *,
    frames: FrameSlice | None,
    fps: Fraction | None,
    thumbnails: Thumbnails | None = None,
) -> Source:
    """Decode a video up to the end of the slice for its exact time stamps and its damage, and describe it.

    Small frames of that pass are kept in `thumbnails`.

    Raises InputError if it is no video, has no video stream that can be decoded, or not one frame can be decoded;
    UsageError for a bad slice.
    """
    _, wanted_end, _ = check_slice(frames)
    file = found.files[0]
    with open_video(file) as container:
        stream, notes = _choose_stream(container, file, settings.stream)
        # One frame more than wanted: it shows how long the last wanted one stays.
        scanned = scan(file, stream, None if wanted_end is None else wanted_end + 1, settings, thumbnails)
        _check_decoded(scanned, stream, file)
        wanted = check_slice_end(frames, len(scanned.stamps))
        width_px, height_px = _display_size(scanned, file)
        stamps = _repaired(scanned, stream)
        pts = stamps.pts
        shown = _shown(scanned, settings.on_damaged)
        chosen = _chosen(wanted, shown, settings.on_damaged, file)
        over = pts[wanted.stop] if wanted.stop < len(pts) else stamps.end
        timeline = choose([pts[index] for index in chosen], chosen, over, stamps.base_s, fps)
        numbers = timeline.numbers
        if stamps.made_up:
            notes.append(f"{stamps.made_up} missing or repeated time stamps were set from the frame rate.")
        notes += _damage_notes(scanned, pts, stamps.base_s, wanted, Path(file).name, settings.on_damaged)
        notes += _ending_notes(scanned, stream, container, stamps.length_s)
        notes += _format_notes(scanned, settings)
        # Frames are counted from the start where that alone is sure to give the same pixels: near damage they depend on
        # where decoding begins.
        counted = stamps.made_up or scanned.lost or scanned.concealed or has_separate_alpha(stream)
        blended = _blended(numbers, chosen, shown) if settings.rate == "blend" else ()
        if blended:
            notes.append(f"Up to {max(blended)} frames of the video are averaged to one, in linear light.")
        return Source(
            path=found.path,
            kind="video",
            files=(file,),
            width_px=width_px,
            height_px=height_px,
            frame_rate=fps or _frame_rate(stamps) / wanted.step,
            time_base=timeline.time_base,
            pts=timeline.pts,
            duration_ticks=timeline.duration_ticks,
            decoded_indices=tuple(number if (at := shown[number]) is None else at for number in numbers),
            damaged=tuple(index for index, number in enumerate(numbers) if shown[number] is None),
            rotation_deg=scanned.orientation.rotation_deg,
            color=scanned.color,
            has_audio=bool(container.streams.audio),
            notes=(*found.notes, *notes),
            stream_index=stream.index,
            stream_pts=() if counted else tuple(pts[number] for number in numbers),
            interlaced=scanned.interlaced,
            peak_nits=scanned.peak_nits,
            blended=blended,
        )


def _check_decoded(scanned: Scan, stream: VideoStream, file: str) -> None:
    """Raise InputError if not one frame was decoded."""
    if any(position is not None for position in scanned.positions):
        return
    claimed = stream.codec_context.width * stream.codec_context.height
    why = "its frames are too large" if claimed > MAX_VIDEO_PX else scanned.reason or "it has none"
    raise InputError(f"{file}: not one frame of the video can be decoded ({why})", hint="copy or export the file again")


def _repaired(scanned: Scan, stream: VideoStream) -> _Stamps:
    """The time stamps of all frames that were decoded."""
    base_s = Fraction(stream.time_base or Fraction(1, 90_000))
    average = stream.average_rate or stream.guessed_rate
    nominal = max(1, round(1 / (average * base_s))) if average else 1
    pts, made_up = repair(scanned.stamps, usual_step([s for s in scanned.stamps if s is not None], nominal))
    return _Stamps(pts, pts[-1] + (scanned.last_duration or usual_step(pts, nominal)), base_s, average, made_up)


def _chosen(wanted: range, shown: Sequence[int | None], policy: Policy, file: str) -> list[int]:
    """The wanted frames that are rendered: with `stop` all, else those that something can be shown for.

    Raises InputError if there are none.
    """
    chosen = [index for index in wanted if policy == "stop" or shown[index] is not None]
    if not chosen:
        raise InputError(
            f"{file}: not one of the frames {wanted.start}:{wanted.stop} can be decoded",
            hint="choose others with --frames",
        )
    return chosen


def _blended(numbers: Sequence[int], chosen: Sequence[int], shown: Sequence[int | None]) -> tuple[int, ...]:
    """How many decoded frames each frame of `numbers` is made of: itself and those of `chosen` left out after it, up to
    the first gap.

    `shown` has the positions of the decoder by frame. Empty if all are made of one.
    """
    place_of = {number: place for place, number in enumerate(chosen)}
    places, positions = [place_of[number] for number in numbers], [shown[number] for number in chosen]
    counts = []
    for place, following in pairwise((*places, len(positions))):
        first, count = positions[place], 1
        while first is not None and place + count < following and positions[place + count] == first + count:
            count += 1
        counts.append(count)
    return tuple(counts) if max(counts) > 1 else ()


def _shown(scanned: Scan, policy: Policy) -> list[int | None]:
    """For each of the video's own frames the position of the decoded one to show, by `damage.fill`.

    `stop` shows frames that the decoder has concealed, and does not stop there.
    """
    unusable = set() if policy == "stop" else set(scanned.concealed)
    if len(unusable) == sum(position is not None for position in scanned.positions):
        unusable = set()  # there are no others
    return fill([None if index in unusable else at for index, at in enumerate(scanned.positions)], policy)


def _choose_stream(container: InputContainer, file: str, wanted: int | None) -> tuple[VideoStream, list[str]]:
    """The stream with the number `wanted`; else that which a player shows: the first marked default, else the first.

    Cover art, thumbnails and streams without a decoder do not count.
    """
    moving = [stream for stream in container.streams.video if not stream.disposition & _NOT_VIDEO]
    usable = [stream for stream in moving if stream.codec_context is not None and stream.codec_context.width > 0]
    if not usable:
        if moving:
            what = "a video stream that cannot be decoded"
        elif container.streams.audio:
            what = "only audio"
        else:
            what = f"no video stream (format {container.format.name})"
        raise InputError(
            f"{file}: expected a video, found {what}",
            hint="check that this is the right file, or convert it to H.264 in MP4",
        )
    if wanted is None:
        stream = next((s for s in usable if s.disposition & Disposition.default), usable[0])
    else:
        chosen = next((s for s in usable if s.index == wanted), None)
        if chosen is None:
            raise InputError(
                f"{file}: stream {wanted} is no video that can be decoded; there is {_listed(usable)}",
                hint=f"choose one of them, as --set input.stream={usable[0].index}",
            )
        stream = chosen
    others = [s for s in usable if s.index != stream.index]
    if not others:
        return stream, []
    another = f"--set input.stream={others[0].index} chooses another one"
    return stream, [f"Rendered is video stream {stream.index}, not {_listed(others)}; {another}."]


def _listed(streams: Sequence[VideoStream]) -> str:
    named = ", ".join(f"stream {s.index} of {s.width}x{s.height}" for s in streams[:_LISTED])
    return named + (f" and {len(streams) - _LISTED} more" if len(streams) > _LISTED else "")


def _damage_notes(
    scanned: Scan, pts: Sequence[int], time_base: Fraction, chosen: range, name: str, policy: Policy
) -> list[str]:
    """Notes on which of the chosen frames are damaged, and what is done about it."""

    def at(index: int) -> str:
        return f"{index} ({float(pts[index] * time_base):.3f} s)"

    unusable = scanned.lost if policy == "stop" else sorted({*scanned.lost, *scanned.concealed})
    notes = [describe(name, damaged, policy)] if (damaged := [at(i) for i in unusable if i in chosen]) else []
    concealed = [index for index in scanned.concealed if index in chosen and policy == "stop"]
    if concealed:
        notes.append(
            f"{len(concealed)} damaged frame{'s' * (len(concealed) > 1)} concealed by the decoder, "
            f"first {at(concealed[0])}: "
            "--set input.on_damaged=hold or =skip leaves them out."
        )
    return notes


def _ending_notes(scanned: Scan, stream: VideoStream, container: InputContainer, found_s: Fraction) -> list[str]:
    """A note if the video is not as long as its header states."""
    count = len(scanned.stamps)
    if scanned.broke_off:
        of = f" of {stream.frames}" if stream.frames > count else ""
        return [f"The file breaks off: only the first {count}{of} frames can be decoded ({scanned.broke_off})."]
    if not scanned.complete:
        return []
    stated_s = _stated_seconds(stream, container)
    if stated_s is None:
        return [f"The file does not state its duration: {float(found_s):.3f} s were found."]
    if stated_s - found_s > max(3 * found_s / count, Fraction(1, 10)):
        return [
            f"The file states {float(stated_s):.3f} s, but its video ends after {float(found_s):.3f} s: "
            "it may be cut off."
        ]
    return []


def _stated_seconds(stream: VideoStream, container: InputContainer) -> Fraction | None:
    """Duration of the video as the file states it; of the whole container, with audio, where it states no other."""
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * stream.time_base
    tag = stream.metadata.get("DURATION", "").split(":")  # Matroska, written by FFmpeg: 00:00:30.003000000
    if len(tag) == 3:
        try:
            return Fraction(tag[0]) * 3600 + Fraction(tag[1]) * 60 + Fraction(tag[2])
        except ValueError:
            return None
    return None if container.duration is None else Fraction(container.duration, av.time_base)


def _format_notes(scanned: Scan, settings: InputSettings) -> list[str]:
    """Notes on properties of the frames that are ignored or changed."""
    notes = []
    if scanned.resized_at is not None:
        notes.append(f"The frame size changes at frame {scanned.resized_at}; all frames are scaled to the first one's.")
    if scanned.interlaced and settings.deinterlace == "never":
        notes.append("The video is interlaced; its fields are not separated.")
    elif scanned.interlaced or settings.deinterlace == "always":
        notes.append("Read as interlaced: of each frame the first field is kept and its missing lines are filled in.")
    color = scanned.color
    if color.transfer in HDR_NAMES:
        peak = scanned.peak_nits or USUAL_PEAK_NITS
        notes.append(f"The video is HDR ({HDR_NAMES[color.transfer]}, up to {peak} cd/m2); it is tone-mapped to sRGB.")
    elif color.primaries in WIDE_NAMES:
        notes.append(f"The colors of the video are {WIDE_NAMES[color.primaries]}; they are converted to sRGB.")
    if scanned.transparent:
        notes.append(f"Transparent parts of the video are laid over {settings.background} (input.background).")
    return notes


def _frame_rate(stamps: _Stamps) -> Fraction:
    """The rate of even time stamps; else the stated average, if the rate of the stamps is within 5 percent of it."""
    steps = {b - a for a, b in pairwise(stamps.pts)}
    if len(steps) == 1:
        return 1 / (steps.pop() * stamps.base_s)
    measured = len(stamps.pts) / stamps.length_s
    if stamps.average and abs(stamps.average / measured - 1) < Fraction(1, 20):
        return Fraction(stamps.average)
    return measured.limit_denominator(1001)


def _display_size(scanned: Scan, file: str) -> tuple[int, int]:
    """Width and height in px of the frames as they are shown. Raises InputError if that is too large."""
    width_px, height_px = scanned.display_size
    if max(width_px, height_px) > MAX_SIDE_PX or width_px * height_px > MAX_PX:
        raise InputError(f"{file}: {width_px}x{height_px} px is too large", hint="scale the video down first")
    return width_px, height_px

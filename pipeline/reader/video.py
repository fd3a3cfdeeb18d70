"""Video files by PyAV: which stream, when each frame is shown, and its pixels as upright sRGB with square pixels."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av
import numpy as np
from av.video.reformatter import Interpolation

from pipeline.errors import InputError
from pipeline.image import BACKGROUND, MAX_PX, MAX_SIDE_PX, describe_content, read_head, resize
from pipeline.reader.digest import digest_files
from pipeline.reader.timing import check_fps, check_slice, check_slice_end, choose, repair, usual_step
from pipeline.types import ColorTags, Source

if TYPE_CHECKING:
    from collections.abc import Generator

    from av.container import InputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from pipeline.reader.inputs import Found

# Plain swscale cuts corners where chroma is subsampled: measured 1.5/255 darker in the mean. With these it is within 0.5.
_EXACT: Final = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_NO_PICTURE: Final = ("attached_pic", "timed_thumbnails", "still_image")
_UNSPECIFIED: Final = 2
_BT709: Final = 1
_FULL_RANGE: Final = 2
# Code points of ITU-T H.273 by the names that FFmpeg gives them.
_PRIMARIES: Final = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 12: "smpte432"}
_TRANSFERS: Final = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 13: "iec61966-2-1",
    14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 18: "arib-std-b67",
}  # fmt: skip
_MATRICES: Final = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc", 10: "bt2020c",
}  # fmt: skip
_HDR: Final = {"smpte2084": "PQ", "arib-std-b67": "HLG"}


@dataclass(slots=True)
class _Scan:
    """What one pass through the frames of a stream has shown; stamps in ticks of the stream."""

    stamps: list[int | None] = field(default_factory=list)
    last_duration: int = 0
    size: tuple[int, int] = (0, 0)
    orientation: tuple[bool, bool, bool] = (False, False, False)
    color: ColorTags = field(default_factory=ColorTags)
    resized_at: int | None = None
    damaged: list[int] = field(default_factory=list)
    interlaced: bool = False
    broke_off: str = ""
    complete: bool = False


def probe(found: Found, *, frames: tuple[int | None, int | None] | None, fps: Fraction | None) -> Source:
    """Decode a video up to the end of the slice for its exact time stamps, and describe it.

    Raises InputError if it is no video, has no video stream that we can decode, or not one frame can be decoded;
    UsageError for a bad slice or rate.
    """
    check_fps(fps)
    _, wanted_end = check_slice(frames)
    file = found.files[0]
    with _open(file) as container:
        stream, notes = _choose_stream(container, file)
        # One frame more than wanted: it says how long the last wanted one stays.
        scan = _scan(file, stream.index, None if wanted_end is None else wanted_end + 1)
        if not scan.stamps:
            raise InputError(
                f"{file}: not one frame of the video can be decoded ({scan.broke_off or 'it has none'})",
                hint="copy or export the file again",
            )
        begin, end = check_slice_end(frames, len(scan.stamps))
        time_base = Fraction(stream.time_base or Fraction(1, 90_000))
        average = stream.average_rate or stream.guessed_rate
        nominal = max(1, round(1 / (average * time_base))) if average else 1
        pts, made_up = repair(scan.stamps, usual_step([s for s in scan.stamps if s is not None], nominal))
        step = usual_step(pts, nominal)
        last_end = pts[-1] + (scan.last_duration or step)
        timeline = choose(pts[begin:end], begin, pts[end] if end < len(pts) else last_end, time_base, fps)
        if made_up:
            notes.append(f"{made_up} missing or repeated time stamps were set from the frame rate.")
        notes += _describe(scan, stream, container, pts, last_end, time_base)
        width_px, height_px = _display_size(scan, stream)
        if max(width_px, height_px) > MAX_SIDE_PX or width_px * height_px > MAX_PX:
            raise InputError(f"{file}: {width_px}x{height_px} px is too large", hint="scale the video down first")
        return Source(
            path=found.path,
            kind="video",
            files=(file,),
            width_px=width_px,
            height_px=height_px,
            frame_rate=fps or _frame_rate(average, pts, last_end, time_base),
            time_base=timeline.time_base,
            pts=timeline.pts,
            duration_ticks=timeline.duration_ticks,
            picks=timeline.picks,
            rotation_deg=_rotation_deg(scan.orientation),
            color=scan.color,
            has_audio=bool(container.streams.audio),
            digest=digest_files([file]),
            notes=(*found.notes, *notes),
            stream_index=stream.index,
            stream_pts=() if made_up else tuple(pts[pick] for pick in timeline.picks),
        )


def read(source: Source, start: int, stop: int) -> Generator[NDArray[np.uint8]]:
    """Decode frames [start, stop) in the source's size.

    Raises InputError, naming the frame, if the file is damaged there or no longer the one that was probed.
    """
    index = start
    # With several decoding threads an error takes frames down that lie before the damage; one thread then goes on alone.
    for threads in (0, 1):
        try:
            with closing(_wanted_frames(source, index, stop, threads)) as frames:
                for frame in frames:
                    yield resize(_to_rgb(frame), source.width_px, source.height_px)
                    index += 1
        except (av.FFmpegError, _LostFrameError) as error:
            reason = str(error)
            continue
        return
    raise InputError(
        f"{source.files[0]}: frame {index} cannot be decoded ({reason})",
        hint=f"the file has changed or is damaged; copy it again, or render --frames up to {source.picks[index]}",
    )


class _LostFrameError(Exception):
    """A frame that `probe` saw does not come out of the decoder."""


def _wanted_frames(source: Source, start: int, stop: int, threads: int) -> Generator[av.VideoFrame]:
    """The decoded frames of [start, stop), found by their time stamps, or by counting where those cannot be trusted."""
    file = source.files[0]
    if not source.stream_pts:
        with closing(_decode(file, source.stream_index, threads, None)) as frames:
            wanted = iter(source.picks[start:stop])
            pick = next(wanted, None)
            for position, frame in enumerate(frames):
                if position == pick:
                    yield frame
                    pick = next(wanted, None)
                if pick is None:
                    return
        raise _LostFrameError("the video ends before it")
    stamps = source.stream_pts[start:stop]
    seek_to = stamps[0] if source.picks[start] > 0 else None
    frames = _decode(file, source.stream_index, threads, seek_to)
    first = next(frames, None)
    if seek_to is not None and (first is None or first.pts is None or first.pts > seek_to or not first.key_frame):
        # Landed behind the frame, or where a decoder may start but not cleanly: from the beginning it is always right.
        frames.close()
        frames = _decode(file, source.stream_index, threads, None)
        first = next(frames, None)
    with closing(frames):
        place = 0
        frame = first
        while frame is not None:
            if frame.pts == stamps[place]:
                yield frame
                place += 1
                if place == len(stamps):
                    return
            elif frame.pts is not None and frame.pts > stamps[place]:
                raise _LostFrameError(f"no frame has its time stamp {stamps[place]}")
            frame = next(frames, None)
    raise _LostFrameError("the video ends before it")


def _decode(file: str, stream_index: int, threads: int, seek_to: int | None) -> Generator[av.VideoFrame]:
    """Every frame of a stream in the order of showing, from the key frame at or before `seek_to` (None: the beginning)."""
    with _open(file) as container:
        stream = container.streams[stream_index]
        assert isinstance(stream, av.VideoStream)
        stream.codec_context.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        if seek_to is not None:
            container.seek(seek_to, stream=stream)
        yield from container.decode(stream)


def _open(file: str) -> InputContainer:
    """Open a container. Only local files: a file whose content is a playlist cannot make us fetch anything."""
    try:
        return av.open(f"file:{file}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise InputError(
            f"{file}: expected a video, found {_guess(file)} that cannot be opened ({_reason(error)})",
            hint="a recording that broke off has no index and cannot be read; else convert it to MP4",
        ) from None


def _guess(file: str) -> str:
    content = describe_content(read_head(file))
    return content if content != "unknown data" else "data of an unknown format"


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _choose_stream(container: InputContainer, file: str) -> tuple[VideoStream, list[str]]:
    """The stream that a player shows: the first one marked default that holds moving pictures, else the first of them."""
    pictures = [s for s in container.streams.video if not any(_has(s, name) for name in _NO_PICTURE)]
    usable = [s for s in pictures if s.codec_context is not None and s.codec_context.width > 0]
    if not usable:
        if pictures:
            codec = pictures[0].codec_context
            raise InputError(
                f"{file}: the video stream cannot be decoded (codec {codec.name if codec else 'unknown'})",
                hint="convert it to H.264 in MP4, or copy the file again",
            )
        what = "only sound" if container.streams.audio else f"no video stream (format {container.format.name})"
        raise InputError(f"{file}: expected a video, found {what}", hint="check that this is the right file")
    stream = next((s for s in usable if _has(s, "default")), usable[0])
    notes = []
    if len(usable) > 1:
        others = ", ".join(f"stream {s.index} {s.width}x{s.height}" for s in usable if s.index != stream.index)
        notes.append(f"Of {len(usable)} video streams, stream {stream.index} is rendered (not {others}).")
    return stream, notes


def _has(stream: VideoStream, disposition: str) -> bool:
    return bool(stream.disposition & av.stream.Disposition[disposition])


def _scan(file: str, stream_index: int, limit: int | None) -> _Scan:
    """Decode up to `limit` frames, on one thread again if that fails, since only that says exactly where it breaks."""
    scan = _scan_once(file, stream_index, limit, threads=0)
    return _scan_once(file, stream_index, limit, threads=1) if scan.broke_off else scan


def _scan_once(file: str, stream_index: int, limit: int | None, threads: int) -> _Scan:
    scan = _Scan()
    try:
        with closing(_decode(file, stream_index, threads, None)) as frames:
            for frame in frames:
                if not scan.stamps:
                    scan.size = (frame.width, frame.height)
                    scan.orientation = _orientation(frame)
                    scan.color = _color_tags(frame)
                    scan.interlaced = bool(frame.interlaced_frame)
                elif (frame.width, frame.height) != scan.size and scan.resized_at is None:
                    scan.resized_at = len(scan.stamps)
                if frame.is_corrupt:
                    scan.damaged.append(len(scan.stamps))
                scan.stamps.append(frame.pts)
                scan.last_duration = int(frame.duration or 0)
                if limit is not None and len(scan.stamps) >= limit:
                    return scan
        scan.complete = True
    except av.FFmpegError as error:
        scan.broke_off = _reason(error)
    return scan


def _describe(
    scan: _Scan, stream: VideoStream, container: InputContainer, pts: list[int], last_end: int, time_base: Fraction
) -> list[str]:
    """What a user should know about a video, one sentence each."""
    notes = []
    seconds = float((last_end - pts[0]) * time_base)
    promised = stream.frames
    if scan.broke_off:
        of = f" of the {promised} promised" if promised > len(pts) else ""
        notes.append(f"The file is damaged: only the first {len(pts)} frames{of} can be decoded ({scan.broke_off}).")
    elif scan.complete:
        stated = _stated_seconds(stream, container, has_audio=bool(container.streams.audio))
        step = float((last_end - pts[0]) * time_base) / len(pts)
        if stated is None:
            notes.append(f"The file does not state its duration: {seconds:.3f} s were found.")
        elif stated - seconds > max(3 * step, 0.1):
            notes.append(
                f"The file promises {stated:.3f} s, but its video ends after {seconds:.3f} s: it may be cut off."
            )
    if scan.damaged:
        notes.append(
            f"{len(scan.damaged)} frames are damaged and were patched by the decoder, first {scan.damaged[0]}."
        )
    if scan.resized_at is not None:
        notes.append(f"The picture size changes at frame {scan.resized_at}; all are scaled to the first.")
    if scan.interlaced:
        notes.append("The video is interlaced; its fields are not separated.")
    if scan.color.transfer in _HDR:
        notes.append(
            f"The video is HDR ({_HDR[scan.color.transfer]}); it is read without tone mapping and may look flat."
        )
    return notes


def _stated_seconds(stream: VideoStream, container: InputContainer, *, has_audio: bool) -> float | None:
    """How long the file says its video is; the container's duration counts only if no sound can be the longer part."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is None:
        return None
    seconds = container.duration / av.time_base
    start = (container.start_time or 0) / av.time_base
    return seconds if has_audio else seconds - max(0.0, start)


def _frame_rate(average: Fraction | None, pts: list[int], last_end: int, time_base: Fraction) -> Fraction:
    """The stream's stated average rate if it is about what the time stamps say, else what they say."""
    measured = len(pts) / ((last_end - pts[0]) * time_base)
    if average and (len(pts) == 1 or abs(average / measured - 1) < Fraction(1, 20)):
        return Fraction(average)
    return measured.limit_denominator(1001)


def _color_tags(frame: av.VideoFrame) -> ColorTags:
    full = {1: False, _FULL_RANGE: True}.get(int(frame.color_range))
    return ColorTags(
        primaries=_PRIMARIES.get(int(frame.color_primaries)),
        transfer=_TRANSFERS.get(int(frame.color_trc)),
        matrix=_MATRICES.get(int(frame.colorspace)),
        full_range=full,
    )


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """How stored pixels become upright: (swap rows and columns, then flip left-right, then flip top-bottom).

    From the display matrix, which maps a stored point (x, y) to (a x + c y, b x + d y); only quarter turns and flips.
    """
    data = next((s for s in frame.side_data if s.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return False, False, False
    a, b, _, c, d = (int(v) for v in np.frombuffer(bytes(data), dtype=np.int32)[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def _rotation_deg(orientation: tuple[bool, bool, bool]) -> int:
    """Counter-clockwise turn, in degrees, of an orientation; a mirrored one is named by its turn alone."""
    swap, left_right, top_bottom = orientation
    if swap:
        return 270 if left_right else 90
    return 180 if left_right and top_bottom else 0


def _display_size(scan: _Scan, stream: VideoStream) -> tuple[int, int]:
    """Width and height in px, upright, with square pixels: of the two sides the shorter-sampled one grows, so that no
    detail is lost."""
    width, height = scan.size
    ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if ratio and Fraction(1, 8) <= ratio <= 8:  # beyond that it is a damaged header
        if ratio > 1:
            width = round(width * ratio)
        else:
            height = round(height / ratio)
    return (height, width) if scan.orientation[0] else (width, height)


def _to_rgb(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """A decoded frame as uint8 (H, W, 3) sRGB, upright, in its stored size (before square pixels).

    The matrix and range are those of the frame; where none is stated, BT.709 for HD and BT.601 below, as players do.
    Transparent parts are laid over white.
    """
    swap, left_right, top_bottom = _orientation(frame)
    if int(frame.colorspace) == _UNSPECIFIED and not frame.format.is_rgb and _is_hd(frame):
        frame.colorspace = _BT709
    if any(component.is_alpha for component in frame.format.components):
        rgba = frame.reformat(format="rgba", interpolation=_EXACT).to_ndarray().astype(np.float32)
        alpha = rgba[..., 3:] / 255
        blended = rgba[..., :3] * alpha + np.asarray(BACKGROUND, np.float32) * (1 - alpha)
        rgb = np.rint(blended).astype(np.uint8)
    else:
        rgb = frame.reformat(format="rgb24", interpolation=_EXACT).to_ndarray()
    if swap:
        rgb = rgb.transpose(1, 0, 2)
    if left_right:
        rgb = rgb[:, ::-1]
    if top_bottom:
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)


def _is_hd(frame: av.VideoFrame) -> bool:
    return max(frame.width, frame.height) >= 1280 or min(frame.width, frame.height) > 576

"""What `tempera probe` tells of an input: a table, warnings, and the same as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from pipeline.config.settings import InputSettings
from pipeline.errors import InputError, printable
from pipeline.media.image.raw import is_raw_file
from pipeline.media.reader.cameras import list_cameras
from pipeline.media.reader.hdr import HDR_NAMES
from pipeline.media.reader.inputs import is_animation
from pipeline.media.reader.intervals import BURST_COUNT, duration_text
from pipeline.media.reader.photo_facts import PhotoFacts, photo_facts, shutter_text
from pipeline.media.reader.source import probe, read_frames
from pipeline.media.reader.video_facts import VideoFacts, video_facts
from pipeline.types import FrameSlice, Source

SHAKE_FRAMES: Final = {"video": 120, "photos": 24}
"""So many frames are looked at for shake, at most: large photos take long to decode."""
LEAST_SHAKE_FRAMES: Final = 3
SHAKE_SIDE_PX: Final = 160
SHAKY: Final = 0.01
"""From this part of the longer side on, shake is worth a warning."""


@dataclass(frozen=True, slots=True)
class Findings:
    """A part of a report: rows of the table by their label, warnings of one sentence each, and data for JSON."""

    rows: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """All findings about an input. A note of the source that is a warning too is among the warnings only."""

    source: Source
    rows: Mapping[str, str]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    data: Mapping[str, Any]


def probe_report(
    given: Sequence[str | Path],
    settings: InputSettings,
    *,
    frames: FrameSlice | None = None,
    fps: Fraction | None = None,
) -> ProbeReport:
    """Probe an input and gather what every part of the report finds. Raises what `media.reader.source.probe` raises."""
    source = probe(given, settings, frames=frames, fps=fps)
    rows: dict[str, str] = {}
    warnings: list[str] = []
    data: dict[str, Any] = asdict(source) | {"frame_count": source.frame_count, "duration_s": source.duration_s}
    for part in MEASURES:
        found = part(source, settings)
        rows.update((label, printable(text)) for label, text in found.rows.items())
        warnings += (printable(sentence) for sentence in found.warnings)
        data.update(found.data)
    notes = tuple(note for note in source.notes if note not in warnings)
    return ProbeReport(source, rows, notes, tuple(warnings), data | {"warnings": warnings})


def _input(source: Source, _: InputSettings) -> Findings:
    rotated = f", rotated by {source.rotation_deg} degrees" if source.rotation_deg else ""
    return Findings(
        {
            "input": source.path,
            "kind": f"{source.kind}, {source.frame_count} frame{'s' * (source.frame_count != 1)}",
            "size": f"{source.width_px}x{source.height_px} px{rotated}",
        }
    )


def _timing(source: Source, _: InputSettings) -> Findings:
    steps = {later - earlier for earlier, later in zip(source.pts, source.pts[1:], strict=False)}
    timing = (
        "constant" if len(steps) <= 1 else f"variable, steps {min(steps)} to {max(steps)} ticks of {source.time_base} s"
    )
    return Findings({"rate": f"{float(source.frame_rate):.3f} fps, {timing}", "duration": f"{source.duration_s:.3f} s"})


def _photos(source: Source, settings: InputSettings) -> Findings:
    """Order, cameras, times and exposure of photos; of a video only its order."""
    if source.kind != "photos":
        return Findings({"order": source.order})
    facts = photo_facts(source, settings)
    rows = {"order": _order(source, settings, facts)}
    if any(facts.cameras):
        rows["cameras"] = list_cameras(facts.cameras)
    if facts.first and facts.last:
        rows["taken"] = f"{facts.first.replace('T', ' ')} to {facts.last.replace('T', ' ')}"
    if facts.interval_s is not None and facts.shortest_s is not None and facts.longest_s is not None:
        usual, shortest, longest = map(duration_text, (facts.interval_s, facts.shortest_s, facts.longest_s))
        rows["interval"] = f"usually {usual}" + (f", {shortest} to {longest}" if shortest != longest else "")
        lost = sum(gap.seconds for gap in facts.gaps)
        rows["gaps"] = f"{len(facts.gaps)}, {duration_text(lost)} in all" if facts.gaps else "none"
    exposure = [
        _between(facts.exposure_s, shutter_text),
        _between(facts.f_number, lambda number: f"f/{number:g}"),
        facts.iso and f"ISO {_between(facts.iso, '{:g}'.format)}",
    ]
    if any(exposure):
        rows["exposure"] = ", ".join(text for text in exposure if text)
    rows["profile"] = ", ".join(sorted(name or "none, read as sRGB" for name in facts.profiles))
    rows["depth"] = ", ".join(f"{depth} bits" if depth else "unknown" for depth in sorted(facts.depths))
    data = asdict(facts)
    del data["warnings"]
    return Findings(rows, facts.warnings, {"photos": data})


def _order(source: Source, settings: InputSettings, facts: PhotoFacts) -> str:
    """The order and the reason for it."""
    count = len({*source.decoded_indices})
    if settings.order != "auto":
        return f"{source.order}, as input.order={settings.order} asks"
    if count == 1:
        return "a single photo"
    reasons = {
        "capture time": "every photo has one",
        "time in the names": f"every name has one, and {facts.with_time} of {count} photos a capture time",
        "name": f"{facts.with_time or 'none'} of {count} photos have a capture time",
        "as listed": "the list is not alphabetical",
    }
    return f"{source.order} ({reasons[source.order]})"


def _between(limits: tuple[float, float] | None, text: Callable[[float], str]) -> str:
    return "" if limits is None else " to ".join(dict.fromkeys(map(text, limits)))


def _color(source: Source, _: InputSettings) -> Findings:
    if source.kind == "photos":
        return Findings()  # every photo has its own profile
    color = source.color
    tags = [color.primaries, color.transfer, color.matrix]
    if color.full_range is not None:
        tags.append("full range" if color.full_range else "limited range")
    return Findings({"color": ", ".join(tag for tag in tags if tag) or "not tagged"})


def _video(source: Source, _: InputSettings) -> Findings:
    """How a video is coded, and its streams; of photos and animated pictures only that they have no audio."""
    if source.kind != "video" or is_animation(source.files[0]):
        return Findings({"audio": "no"})
    facts, transfer = video_facts(source), source.color.transfer
    picture = [facts.codec, facts.pixel_format, f"{facts.bits} bits" if facts.bits else "", *_special(source, facts)]
    rows = {
        "video": ", ".join(text for text in picture if text),
        "stream": f"{source.stream_index} of {len(facts.streams)} ({', '.join(facts.streams)})",
        "audio": f"yes, {facts.audio}" if facts.audio else "no",
    }
    hdr = HDR_NAMES.get(transfer or "")
    return Findings(rows, data={"video": asdict(facts) | {"hdr": hdr}})


def _special(source: Source, facts: VideoFacts) -> list[str]:
    """What most videos are not."""
    found = ["interlaced"] if source.interlaced else []
    if source.color.transfer in HDR_NAMES:
        peak = f", up to {source.peak_nits} cd/m2" if source.peak_nits else ""
        found.append(f"HDR ({HDR_NAMES[source.color.transfer]}{peak})")
    return found + ["transparent"] * facts.transparent


def _shake(source: Source, settings: InputSettings) -> Findings:
    """How much the camera shakes in the first frames, measured in small ones.

    Not of raw files, which take seconds each, nor of frames that turn out to be damaged: a render names them.
    """
    import cv2
    import numpy as np

    from pipeline.analysis.stabilization import measured_shake_px
    from pipeline.media.image.arrays import size_within

    count = min(source.frame_count, SHAKE_FRAMES[source.kind], *source.damaged)
    if count < LEAST_SHAKE_FRAMES or _is_raw(source):
        return Findings()
    width, height = size_within(source.width_px, source.height_px, SHAKE_SIDE_PX)
    try:
        with closing(read_frames(source, stop=count, width_px=width, height_px=height, settings=settings)) as frames:
            grays = (np.asarray(cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY), np.uint8) for frame in frames)
            shake_px = measured_shake_px(grays, float(source.frame_rate)) * source.width_px / width
    except InputError:
        return Findings()
    part = "" if count == source.frame_count else f" in the first {count} frames"
    rows, data = {"shake": f"{shake_px:.1f} px{part}"}, {"shake_px": shake_px}
    if shake_px < SHAKY * max(source.width_px, source.height_px):
        return Findings(rows, data=data)
    burst = source.kind == "photos" and source.frame_count < BURST_COUNT
    way = "input.align=burst lays them onto each other" if burst else "input.stabilize=0.5 steadies it"
    return Findings(rows, [f"The frames shake by {shake_px:.0f} px; if that is the camera, --set {way}."], data)


def _is_raw(source: Source) -> bool:
    return source.kind == "photos" and is_raw_file(source.files[source.decoded_indices[0]])


def _digest(source: Source, _: InputSettings) -> Findings:
    return Findings({"digest": source.digest})


MEASURES: Final[tuple[Callable[[Source, InputSettings], Findings], ...]] = (
    _input,
    _timing,
    _photos,
    _color,
    _video,
    _shake,
    _digest,
)
"""What is found out about an input, in the order of the table: a measure that warns is one more function here."""

"""Writing finished frames, as they are or by a timeline: in any order, with in-betweens, seen by a virtual camera."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from pipeline.execute.in_order import map_in_order, thread_count
from pipeline.workflows.output.framed import framed_pictures, output_framing, shown_times

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.settings import MotionSettings
    from pipeline.config.video import VideoSettings
    from pipeline.media.writer.time_map import TimeMap
    from pipeline.motion.between import FlowPair
    from pipeline.motion.methods import FlowEstimator
    from pipeline.postprocess.timeline import Shown, Timeline
    from pipeline.runtime.progress import Reporter
    from pipeline.types import Frame, Pixels, RenderPlan, Shot, Source

Item = TypeVar("Item")

BLOCK: Final = 8
"""Frames that are read at a time where they are shown backward: a video can only be decoded forward."""
KEPT_BYTES: Final = 1 << 28
"""Flow that is kept for the way back and for repetitions; what does not fit is estimated again."""


@dataclass(frozen=True, slots=True)
class FinishedFrames:
    """The finished frames of an output, and what pictures between them are made from.

    `images` gives the frames with some indices, in that order, uint8 or uint16, and `contents` those of a range as they
    were stylized; all are of `size_px`, (width, height). `motion` says how flow is estimated. Frames in `repeats` show
    the stylized frame before them. `threads` is the most that are used, 0: all.
    """

    images: Callable[[Sequence[int]], Generator[Pixels]]
    contents: Callable[[range], Generator[Frame]]
    size_px: tuple[int, int]
    motion: MotionSettings
    repeats: Collection[int] = ()
    threads: int = 0


def repeated(shots: Iterable[Shot], hold: int) -> set[int]:
    """The frames that show the stylized frame before them, where one in `hold` is stylized."""
    return {index for shot in shots for index in range(shot.start, shot.stop) if (index - shot.start) % hold}


def output_timeline(
    settings: VideoSettings,
    plan: RenderPlan,
    source: Source,
    output: Path,
    fps: Fraction | None = None,
    *,
    first: int = 0,
) -> Timeline | None:
    """The timeline of an output, None if it shows the frames of the source as they are; one image is no clip.

    `source` is the part of the plan's source that is shown, which begins with its frame `first`; `fps` shows it at
    another pace first. Raises ConfigError as `make_timeline` does.
    """
    from pipeline.media.writer.target import resolve
    from pipeline.postprocess.timeline import make_timeline

    if resolve(output, settings).kind == "still":
        return None
    cuts = [shot.start - first for shot in plan.shots if 0 < shot.start - first < source.frame_count]
    return make_timeline(settings.time, settings.view, paced(source, fps), cuts, output.suffix.lower())


def picture_count(source: Source, timeline: Timeline | None) -> int:
    """How many pictures an output of a source has."""
    return source.frame_count if timeline is None else len(timeline.shown)


def check_times(output: Path, settings: VideoSettings, source: Source, timeline: Timeline | None) -> None:
    """Raise WriteError if a video of this kind cannot show a source, or the pictures of a timeline, at the times."""
    from pipeline.media.writer import video
    from pipeline.media.writer.target import resolve
    from pipeline.media.writer.timing import output_timing

    target = resolve(output, settings)
    if target.kind == "video":
        shown = source if timeline is None else _shown_source(source, timeline)
        video.check_times(output, target, output_timing(shown, None))


def plays_in_words(output: Path, settings: VideoSettings, plan: RenderPlan, source: Source) -> str:
    """How an output plays, for people: pictures, seconds, rate, loop, what is made between frames, audio."""
    from pipeline.media.writer.target import resolve

    kind, timeline = resolve(output, settings).kind, output_timeline(settings, plan, source, output)
    if kind == "still":
        return "one image"
    starts = [pts * source.time_base for pts in source.pts] if timeline is None else [it.start for it in timeline.shown]
    end = Fraction(source.duration_s) if timeline is None else timeline.end
    steps = {after - before for before, after in pairwise(starts)}
    words = [_pictures_of(source, timeline)]
    words += [
        f"{float(end):.2f} s",
        f"{float(1 / steps.pop()):.3g} per second" if len(steps) == 1 else "at their times",
    ]
    if timeline is not None:
        words += {
            "boomerang": ["forth and back"],
            "seamless": [timeline.note or "the end leads into the beginning"],
        }.get(timeline.loop, [])
        if any(shown.weight for shown in timeline.shown):
            words.append(f"in-betweens {'along the motion' if timeline.flow else 'crossfaded'}")
    if kind == "animation":
        plays = 0 if output.suffix.lower() == ".avif" else settings.animation.plays
        words.append(f"repeated {plays} times" if plays > 1 else "once" if plays else "repeated for ever")
    if kind == "video" and source.has_audio and settings.audio != "none":
        words.append("with audio" if timeline is None or timeline.audio is not None else "without audio")
    return ", ".join(words)


def _pictures_of(source: Source, timeline: Timeline | None) -> str:
    frames = f"{source.frame_count} frame{'s' * (source.frame_count != 1)}"
    if timeline is None:
        return frames
    return f"{len(timeline.shown)} picture{'s' * (len(timeline.shown) != 1)} of {frames}"


def write_frames(
    output: Path,
    frames: FinishedFrames,
    source: Source,
    timeline: Timeline | None,
    settings: VideoSettings,
    reporter: Reporter,
    *,
    fps: Fraction | None = None,
    record: str = "",
) -> None:
    """Write the frames of a source by a timeline, or all of them as they are, at constant `fps` if that is given.

    Audio of the source goes with pictures that run forward. `record` is what the file says about its settings. Raises
    ConfigError as `output_framing` does, and what `write_video` raises.
    """
    from pipeline.media.writer.output import write_video
    from pipeline.media.writer.time_map import AS_RECORDED

    shown = output_framing(settings, frames.size_px, shown_times(source, timeline, fps), output.name, reporter)
    time_map: TimeMap | None = AS_RECORDED
    if timeline is None:
        pictures = frames.images(range(source.frame_count))
    else:
        if timeline.note:
            reporter.note(timeline.note)
        reporter.note(f"{output.name}: {_pictures_of(source, timeline)}, {float(timeline.end):.2f} s")
        finished, contents = frames.images(timeline.frames), in_any_order(timeline.contents, frames.contents)
        threads = thread_count(frames.size_px, frames.threads)
        pictures = retimed(timeline, finished, contents, frames.motion, threads, frames.repeats)
        time_map, source, fps = _time_map(timeline), _shown_source(source, timeline), None
    with (
        closing(framed_pictures(pictures, shown, frames.threads)) as made,
        reporter.stage(f"writing {output.name}", source.frame_count) as advance,
    ):
        write_video(
            output,
            made,
            source=source,
            settings=settings,
            fps=fps,
            time_map=time_map,
            record=record,
            progress=advance,
            note=reporter.note,
        )


def _time_map(timeline: Timeline) -> TimeMap | None:
    """Which moments of the input the output shows; None if it does not run forward."""
    from pipeline.media.writer.time_map import TimeMap

    if timeline.audio is None:
        return None
    output_s, input_s = zip(*timeline.audio, strict=True)
    return TimeMap(output_s, input_s)


def retimed(
    timeline: Timeline,
    finished: Generator[Pixels],
    contents: Generator[Frame],
    motion: MotionSettings,
    threads: int,
    repeats: Collection[int] = (),
) -> Generator[Pixels]:
    """The pictures of a timeline, in order, made on several threads.

    `finished` are the frames of `timeline.frames`, in that order, `contents` those of `timeline.contents` as they were
    stylized, which are read only where flow is needed; all are of one size. The flow between two frames is estimated
    once, as long as what is kept of others leaves room. Frames in `repeats` show the stylized frame before them, so
    nothing moves to them; where there are any, paths are straight.
    """
    from pipeline.motion.between import between
    from pipeline.motion.camera import enlarged_part

    def picture(shown: Shown, images: Sequence[Pixels], flows: FlowPair | None) -> Pixels:
        image = images[0]
        if flows is not None:
            image = between(images[0], images[1], flows, float(shown.weight))
        return enlarged_part(image, shown.part)

    def made() -> Generator[tuple[Shown, Sequence[Pixels], FlowPair | None]]:
        with closing(finished), closing(contents):
            yield from _with_flows(timeline, finished, contents, motion, repeats)

    return map_in_order(lambda work: picture(*work), made(), threads)


def in_any_order(order: Sequence[int], read: Callable[[range], Generator[Item]]) -> Generator[Item]:
    """What `read` gives for ranges of frames, for frames in any order; it is called for stretches that go forward.

    Where the order goes backward, `BLOCK` frames are read at a time and given in reverse.
    """
    start = 0
    while start < len(order):
        stop = start + 1
        step = -1 if stop < len(order) and order[stop] == order[start] - 1 else 1
        while stop < len(order) and order[stop] == order[stop - 1] + step and (step > 0 or stop - start < BLOCK):
            stop += 1
        first, last = sorted((order[start], order[stop - 1]))
        with closing(read(range(first, last + 1))) as items:
            if step > 0:
                yield from items
            else:
                yield from reversed(list(items))
        start = stop


def _with_flows(
    timeline: Timeline,
    finished: Iterator[Pixels],
    contents: Iterator[Frame],
    motion: MotionSettings,
    repeats: Collection[int],
) -> Generator[tuple[Shown, Sequence[Pixels], FlowPair | None]]:
    """Every picture with the finished frames that it is made of, and between two the way from one to the other."""
    from pipeline.motion.between import FlowPair, faded
    from pipeline.motion.estimate import motion_between
    from pipeline.motion.methods import load_estimator

    flow = timeline.reads_content
    estimator = load_estimator(motion) if flow else None
    known = _KnownFlows(motion, estimator, timeline.inner if not repeats else frozenset())
    images: dict[int, Pixels] = {}
    seen: dict[int, NDArray[np.uint8]] = {}
    first = (next(finished), next(contents).rgb) if timeline.fading else None
    for shown in timeline.shown:
        if flow:
            seen = {it: seen[it] if it in seen else next(contents).rgb for it in timeline.around(shown)}
        kept, images = images, {}
        for index in shown.pair:
            images[index] = kept[index] if index in kept else next(finished)
            if first is not None and index in timeline.fading and index not in kept:
                moved = motion_between(first[1], seen[index], motion, from_index=0, to_index=index, estimator=estimator)
                images[index] = faded(images[index], first[0], moved, float(timeline.fading[index]))
        flows = None
        if shown.weight:
            followed = timeline.flow and shown.second not in repeats
            flows = known.between(shown.first, shown.second, seen) if followed else FlowPair()
        yield shown, list(images.values()), flows


class _KnownFlows:
    """The flows between neighboring frames, kept while there is room, and the accelerations at `inner` ones."""

    def __init__(self, motion: MotionSettings, estimator: FlowEstimator | None, inner: Collection[int]) -> None:
        self._motion, self._estimator, self._inner = motion, estimator, inner
        self._pairs: dict[tuple[int, int], FlowPair] = {}
        self._bends: dict[int, NDArray[np.float32] | None] = {}

    def between(self, first: int, second: int, contents: Mapping[int, NDArray[np.uint8]]) -> FlowPair:
        """The flows between two frames, with the accelerations at both. `contents` has all frames that this needs."""
        from pipeline.motion.acceleration import acceleration_at

        flows = self._straight(first, second, contents)
        bends = {}
        for at in (first, second) if flows.forward is not None else ():
            if at in self._inner and at not in self._bends:
                before, behind = (self._straight(it, it + 1, contents) for it in (at - 1, at))
                self._bends[at] = acceleration_at(before, behind)
            bends[at] = self._bends.get(at)
        self._bends = bends
        return replace(flows, bend_a=bends.get(first), bend_b=bends.get(second))

    def _straight(self, first: int, second: int, contents: Mapping[int, NDArray[np.uint8]]) -> FlowPair:
        from pipeline.motion.between import find_flows

        flows = self._pairs.pop((first, second), None)
        if flows is None:
            flows = find_flows(contents[first], contents[second], self._motion, self._estimator)
        in_use = 1 if self._inner else 0
        while len(self._pairs) > in_use and sum(it.nbytes for it in self._pairs.values()) + flows.nbytes > KEPT_BYTES:
            del self._pairs[next(iter(self._pairs))]
        self._pairs[first, second] = flows
        return flows


def paced(source: Source, fps: Fraction | None) -> Source:
    """The source at a constant rate; of photos the gaps stay, which are whole frames."""
    if fps is None:
        return source
    if source.kind == "photos":
        return replace(source, frame_rate=fps, time_base=1 / fps)
    return replace(source, frame_rate=fps, time_base=1 / fps, pts=tuple(range(source.frame_count)), duration_ticks=1)


def _shown_source(source: Source, timeline: Timeline) -> Source:
    """A source with a frame for each picture of a timeline, at its time.

    The times begin with those of the source, from where its audio is taken.
    """
    begin = source.pts[0] * source.time_base
    times = [begin + shown.start for shown in timeline.shown] + [begin + timeline.end]
    tick = Fraction(1, math.lcm(*(time.denominator for time in times)))
    pts = tuple(int(time / tick) for time in times)
    return replace(
        source,
        time_base=tick,
        pts=pts[:-1],
        duration_ticks=pts[-1] - pts[-2],
        decoded_indices=tuple(source.decoded_indices[shown.first] for shown in timeline.shown),
        stream_pts=(),
        damaged=(),
    )

"""When each picture of the output is shown, and what it shows: pure arithmetic in fractions, from settings and times.

One pass goes from the first frame to the last one at changing speed, eased at both ends; loops and repetitions are
made of passes. The pictures are taken from it at an even rate, or at the times of the frames.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from pipeline.config.section import with_values
from pipeline.errors import ConfigError
from pipeline.media.reader.timing import rate
from pipeline.postprocess.passing import Passing, places

if TYPE_CHECKING:
    from pipeline.config.retime import Between, Loop, TimeSettings, ViewSettings
    from pipeline.types import Source

SMOOTH_RATE: Final = Fraction(24)
"""Frames per second where in-betweens are made and no rate is asked for; more where the input has more."""
LOOP_RATE: Final = Fraction(25)
"""The same of a burst: whole hundredths of a second, in which .gif counts."""
BURST: Final = range(3, 24)
"""So many photos of one shot are a burst."""
EVEN: Final = 1.25
"""Time stamps in milliseconds and rates that vary a little count as even."""
MAX_PICTURES: Final = 5_000_000
"""More than a day at 50 per second; more would fill the memory with their times."""
LOOPING: Final = frozenset({".gif", ".webp"})
"""Outputs that players show again and again."""

Part = tuple[float, float, float, float]
WHOLE: Final[Part] = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Pace:
    """What the settings of time come to: nothing is `auto`, and `fps` None means the frames' own times.

    Behind the frames of `gaps` pictures are made along the flow, whatever `between` says.
    """

    loop: Loop
    between: Between
    fps: Fraction | None
    note: str = ""
    gaps: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture of the output: from `start` seconds on, `weight` in [0, 1) of the way from a frame to the next one.

    `first` is the index of the frame, `second` that of the next one, the same with weight 0. `part` is what is seen of
    it: left, top, width, height in fractions.
    """

    start: Fraction
    first: int
    second: int
    weight: Fraction = Fraction(0)
    part: Part = WHOLE

    @property
    def pair(self) -> tuple[int, ...]:
        """The frames that it is made of: one or two."""
        return (self.first,) if self.first == self.second else (self.first, self.second)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The pictures of an output, and when the last one ends, in seconds.

    `flow` says whether in-betweens are made along the flow, else they are crossfaded. `inner` are the frames that stand
    between two others of their shot, at about even distances: there the path of the motion may bend. `fading` has, by
    index, how far frames at the end of a seamless loop have turned into the first one. `audio` maps moments of the
    output to seconds after the first frame of the input, piecewise linearly and increasing; None: no such map exists.
    `note` says what was chosen, and `loop` is never `auto`.
    """

    shown: tuple[Shown, ...]
    end: Fraction
    flow: bool = False
    fading: Mapping[int, Fraction] = field(default_factory=dict)
    audio: tuple[tuple[Fraction, Fraction], ...] | None = None
    note: str = ""
    loop: Loop = "none"
    inner: frozenset[int] = frozenset()

    @property
    def reads_content(self) -> bool:
        """Whether a picture is made along the motion of the content."""
        return bool(self.fading) or (self.flow and any(picture.weight for picture in self.shown))

    @property
    def frames(self) -> list[int]:
        """The frames in the order in which they are needed, where those of the last picture are kept.

        If frames turn into the first one, that stands in front of them all.
        """
        return self._needed([shown.pair for shown in self.shown])

    @property
    def contents(self) -> list[int]:
        """The frames whose content is needed, likewise."""
        return self._needed([self.around(shown) for shown in self.shown])

    def around(self, shown: Shown) -> tuple[int, ...]:
        """The frames whose content tells how a picture moves: its own, and where those are inner ones the next ones."""
        reach = {index: 1 if index in self.inner else 0 for index in shown.pair}
        return tuple(sorted({index + step for index in reach for step in range(-reach[index], reach[index] + 1)}))

    def _needed(self, pictures: Sequence[tuple[int, ...]]) -> list[int]:
        needed: list[int] = [0] if self.fading else []
        kept: tuple[int, ...] = ()
        for picture in pictures:
            needed += [index for index in picture if index not in kept]
            kept = picture
        return needed


def make_timeline(
    time: TimeSettings, view: ViewSettings, source: Source, cuts: Collection[int], suffix: str
) -> Timeline | None:
    """The timeline of an output with this suffix; None if the frames are shown as they are, at their own times.

    `cuts` are the frames before which there is a cut: nothing is ever shown between two shots. Raises ConfigError for
    curves that do not fit the clip, for holds that are longer than the whole, and for more than `MAX_PICTURES`.
    """
    pace = resolved(time, source, cuts, suffix)
    moving_view = view.zoom > 1  # of a curve it is the largest value, and without zoom there is nothing to move
    if pace.fps is None and source.frame_count == 1 and moving_view:
        pace = replace(pace, fps=SMOOTH_RATE)
    as_it_is = type(time)(
        loop=time.loop, between=time.between, fps=time.fps, seam_s=time.seam_s, seam_frames=time.seam_frames
    )
    if pace.loop == "none" and pace.fps is None and not moving_view and time == as_it_is and not time.own_curves:
        return None
    passing = Passing(time, source, seamless=pace.loop == "seamless")
    _check_count((source.frame_count if pace.fps is None else round(passing.duration * pace.fps)) * time.repeat)
    once, cycle = _own_times(passing, pace) if pace.fps is None else _evenly(passing, pace, pace.fps, cuts)
    audio = None
    if pace.loop != "boomerang" and not time.reverse and time.repeat == 1:
        audio = passing.audio([it.start for it in once])
    shown = [replace(it, start=it.start + number * cycle) for number in range(time.repeat) for it in once]
    parts = _parts(view, [it.start for it in shown])
    shown = [replace(it, part=part) for it, part in zip(shown, parts, strict=True)]
    fading = {}
    if pace.loop == "seamless" and not cuts:
        count = min(time.seam_frames, source.frame_count // 2)
        fading = {source.frame_count - behind: 1 - Fraction(behind, count + 1) for behind in range(1, count + 1)}
    elif pace.loop == "seamless":
        pace = replace(pace, note="the clip has cuts: its end does not turn into its beginning")
    flow = pace.between == "flow" or bool(pace.gaps)
    inner = _inner(source, cuts) if flow else frozenset()
    return Timeline(tuple(shown), cycle * time.repeat, flow, fading, audio, pace.note, pace.loop, inner)


def resolved(time: TimeSettings, source: Source, cuts: Collection[int], suffix: str) -> Pace:
    """What settings come to for a source and an output with this suffix; one frame alone is no loop."""
    fps = rate(time.fps) if time.fps else None
    loop: Loop = time.loop if source.frame_count > 1 else "none"
    between, note = time.between, ""
    gaps = frozenset(source.gaps_to_fill if between == "auto" else ())
    if loop == "auto":
        untouched = time == type(time)() and not time.own_curves
        burst = source.kind == "photos" and source.frame_count in BURST and not cuts and suffix in LOOPING
        loop = "boomerang" if burst and untouched else "none"
        if loop == "boomerang":
            fps, between = max(LOOP_RATE, source.frame_rate), "flow"
            note = (
                f"{source.frame_count} photos become a loop, forth and back, with in-betweens; for one "
                "picture of each photo: --set output.time.loop=none"
            )
    if fps is None and (loop == "seamless" or between in ("blend", "flow")):
        fps = max(SMOOTH_RATE, source.frame_rate)
    if fps is None and gaps:
        fps = source.frame_rate
    if between == "auto":
        changed = time.own_curves or time.speed != 1 or time.duration_s or time.ease_in_s or time.ease_out_s
        smooth = fps is not None and (fps > source.frame_rate or changed or loop == "seamless")
        between = "flow" if smooth else "none"
    return Pace(loop, between, fps, note, gaps)


def _inner(source: Source, cuts: Collection[int]) -> frozenset[int]:
    """The frames between two others of their shot, of which one is at most `EVEN` times as far away as the other."""
    steps = [after - before for before, after in pairwise(source.pts)]
    return frozenset(
        index
        for index, (before, after) in enumerate(pairwise(steps), start=1)
        if index not in cuts and index + 1 not in cuts and max(before, after) <= EVEN * min(before, after)
    )


def _check_count(count: int) -> None:
    if count > MAX_PICTURES:
        raise ConfigError(
            f"output.time: the output would have {count:,} pictures; expected at most {MAX_PICTURES:,}",
            hint="choose a smaller fps or repeat, a shorter duration_s, or a larger speed",
        )


def _own_times(passing: Passing, pace: Pace) -> tuple[list[Shown], Fraction]:
    """The pictures of a cycle where each is a frame and appears when that is reached, and the cycle's length."""
    order = range(len(passing.times))
    there = [(passing.moment(index), index) for index in (reversed(order) if passing.backward else order)]
    cycle = passing.duration
    if pace.loop == "boomerang":
        cycle = passing.turn + passing.moving
        there += [(cycle - (moment - passing.before), index) for moment, index in there[-2:0:-1]]
    pictures = [Shown(moment, index, index) for moment, index in there]
    return [replace(pictures[0], start=Fraction(0)), *pictures[1:]], cycle


def _evenly(passing: Passing, pace: Pace, fps: Fraction, cuts: Collection[int]) -> tuple[list[Shown], Fraction]:
    """The pictures of a cycle at an even rate, and its length, which is a whole number of them.

    That differs from the length asked for by half a picture at most; a loop is stretched by it, so that it closes.
    """
    turns = pace.loop == "boomerang"
    cycle = passing.turn + passing.moving if turns else passing.duration
    count = max(1, round(cycle * fps))
    step = 1 / fps if pace.loop == "none" else cycle / count
    found = []
    for number in range(count):
        moment = number * step
        returning = turns and moment > passing.turn
        position = passing.position(cycle - moment + passing.before if returning else moment)
        found.append(Shown(number / fps, *_place(passing, position, pace, cuts, falls=returning != passing.backward)))
    return found, count / fps


def _place(
    passing: Passing, position: Fraction, pace: Pace, cuts: Collection[int], *, falls: bool
) -> tuple[int, int, Fraction]:
    """The frames around a position, and how far it is from the first to the second.

    At a cut it is one of them: the one before where frames are held and in gaps, else the nearer one.
    """
    times = passing.times
    first = bisect_right(times, position) - 1
    at_end = first + 1 == len(times)
    if position == times[first] or (at_end and passing.length == times[-1]):
        return first, first, Fraction(0)
    second, stop = (0, passing.length) if at_end else (first + 1, times[first + 1])
    weight = (position - times[first]) / (stop - times[first])
    if weight == 1:
        return second, second, Fraction(0)
    over_cut = second in cuts or (at_end and bool(cuts))
    gap = first in pace.gaps
    if (pace.between in ("blend", "flow") or gap) and not over_cut:
        return first, second, weight
    if pace.between == "hold" or gap:
        shown = second if falls else first
    else:
        shown = second if weight > Fraction(1, 2) else first
    return shown, shown, Fraction(0)


def _parts(view: ViewSettings, starts: Sequence[Fraction]) -> list[Part]:
    """What is seen of the pictures that appear at these moments."""
    if view.zoom == 1:
        return [WHOLE] * len(starts)
    moved = {
        key: (curve, [float(it) for it in places(curve, starts, f"output.view.{key}")])
        for key, curve in view.own_curves.items()
    }
    found = []
    for start in starts:
        now = with_values(view, {key: curve.value_at(at, float(start)) for key, (curve, at) in moved.items()})
        side = 1 / now.zoom
        left, top = (min(max(center - side / 2, 0.0), 1 - side) for center in (now.x, now.y))
        found.append((left, top, side, side))
    return found

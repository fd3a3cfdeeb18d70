"""The timeline of an output: properties of its arithmetic, and known answers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.retime import TimeSettings, ViewSettings
from pipeline.errors import ConfigError
from pipeline.media.reader.timing import rate
from pipeline.media.writer.time_map import TimeMap
from pipeline.postprocess.passing import places
from pipeline.postprocess.ramp import Ramp
from pipeline.postprocess.timeline import WHOLE, Timeline, make_timeline
from pipeline.types import Source

STILL = ViewSettings()
SOME = settings(deadline=None, max_examples=30)
SPEED_RAMP = [{"at": 0, "value": 1}, {"at": "1s", "value": 4, "ease": "smooth"}]


def source_of(pts: tuple[int, ...], *, ticks: int = 4, last: int = 1, kind: Any = "photos") -> Source:
    """Frames at `pts` ticks of 1 / `ticks` s."""
    span = pts[-1] - pts[0] + last
    return Source(
        "in",
        kind,
        (),
        48,
        32,
        Fraction(len(pts) * ticks, span),
        Fraction(1, ticks),
        pts,
        last,
        tuple(range(len(pts))),
        has_audio=True,
    )


def even(count: int, fps: int = 4) -> Source:
    return source_of(tuple(range(count)), ticks=fps)


def timeline(source: Source, view: ViewSettings = STILL, cuts: tuple[int, ...] = (), **time: Any) -> Timeline:
    found = make_timeline(TimeSettings(**({"loop": "none"} | time)), view, source, cuts, ".mp4")
    assert found is not None
    return found


def positions(found: Timeline, source: Source) -> list[Fraction]:
    """What is shown as seconds after the first frame; of a loop, frame 0 again counts as behind the last one."""
    times = [(pts - source.pts[0]) * source.time_base for pts in source.pts]
    ends = [*times, times[-1] + source.duration_ticks * source.time_base]
    return [times[it.first] + it.weight * (ends[it.first + 1] - times[it.first]) for it in found.shown]


def audio_map(found: Timeline) -> TimeMap:
    assert found.audio is not None
    output_s, input_s = zip(*found.audio, strict=True)
    return TimeMap(output_s, input_s)


sources = st.builds(
    lambda steps, first: source_of(
        tuple(first + sum(steps[:number]) for number in range(len(steps))), ticks=30, last=steps[-1]
    ),
    st.lists(st.integers(1, 30), min_size=2, max_size=7),
    st.integers(0, 100),
)
ramps = st.lists(
    st.tuples(st.sampled_from(["linear", "smooth", "in", "out", "hold"]), st.integers(5, 50)), min_size=2, max_size=4
).map(
    lambda points: [
        {"at": f"{100 * number // len(points)}%", "value": speed / 10, "ease": ease}
        for number, (ease, speed) in enumerate(points)
    ]
)
times = st.fixed_dictionaries(
    {
        "fps": st.sampled_from([0, 5, 23.976, 24]),
        "between": st.sampled_from(["auto", "none", "hold", "blend", "flow"]),
    },
    optional={
        "speed": st.one_of(st.integers(4, 80).map(lambda it: it / 10), ramps),
        "ease_in_s": st.integers(0, 30).map(lambda it: it / 10),
        "ease_out_s": st.integers(0, 30).map(lambda it: it / 10),
        "hold_first_s": st.integers(0, 20).map(lambda it: it / 10),
        "hold_last_s": st.integers(0, 20).map(lambda it: it / 10),
        "duration_s": st.just(5.0),
    },
)


@SOME
@given(sources, times, st.booleans())
def test_a_pass_is_monotone_and_begins_at_its_first_frame(source: Source, time: dict[str, Any], reverse: bool) -> None:
    found = make_timeline(TimeSettings(loop="none", reverse=reverse, **time), STILL, source, (), ".mp4")
    if found is None:
        return
    starts = [it.start for it in found.shown]
    assert starts[0] == 0 and all(before < after for before, after in pairwise([*starts, found.end]))
    shown = positions(found, source)
    assert shown == sorted(shown, reverse=reverse)
    assert found.shown[0].first == (source.frame_count - 1 if reverse else 0)
    assert all(0 <= it.weight < 1 and it.second - it.first in (0, 1) for it in found.shown)
    assert (found.audio is None) == reverse
    if found.audio is not None:
        audio_map(found)  # which refuses what does not run forward from 0


@SOME
@given(sources, times, st.booleans())
def test_a_boomerang_is_symmetric_and_doubles_no_end(source: Source, time: dict[str, Any], reverse: bool) -> None:
    time = time | {"hold_first_s": 0, "hold_last_s": 0, "loop": "boomerang", "reverse": reverse}
    found = timeline(source, **time)
    shown = positions(found, source)
    if time["between"] not in ("hold", "none") and time["fps"]:
        assert all(there == back for there, back in zip(shown[1:], shown[:0:-1], strict=True))
    if not time["fps"] and time["between"] in ("auto", "none", "hold"):
        order = list(range(source.frame_count))[:: -1 if reverse else 1]
        assert [it.first for it in found.shown] == [*order, *order[-2:0:-1]]


@SOME
@given(sources, st.sampled_from([5, 24, 29.97]), st.integers(1, 9), st.sampled_from(["none", "boomerang", "seamless"]))
def test_an_even_rate_is_exact(source: Source, fps: float, repeat: int, loop: str) -> None:
    found = timeline(source, fps=fps, repeat=repeat, loop=loop)
    assert {after.start - before.start for before, after in pairwise(found.shown)} <= {1 / rate(fps)}
    moving = (source.pts[-1] - source.pts[0]) * source.time_base
    whole = 2 * moving if loop == "boomerang" else moving + source.duration_ticks * source.time_base
    assert abs(found.end / repeat - whole) <= max(1 / rate(fps) / 2, 1 / rate(fps) - whole)
    once = len(found.shown) // repeat
    assert [it.pair for it in found.shown] == [it.pair for it in found.shown[:once]] * repeat


@SOME
@given(sources, times, st.sampled_from(["none", "boomerang", "seamless"]), st.booleans())
def test_frames_are_asked_for_as_they_are_needed(
    source: Source, time: dict[str, Any], loop: str, reverse: bool
) -> None:
    found = make_timeline(TimeSettings(loop=loop, reverse=reverse, **time), STILL, source, (), ".mp4")
    if found is None:
        return
    asked = iter(found.frames)
    assert not found.fading or next(asked) == 0
    kept: set[int] = set()
    for shown in found.shown:
        kept = {index if index in kept else next(asked) for index in shown.pair}
        assert kept == set(shown.pair)
    assert next(asked, None) is None


@SOME
@given(sources, times, st.sampled_from(["none", "boomerang", "seamless"]))
def test_nothing_is_shown_across_a_cut(source: Source, time: dict[str, Any], loop: str) -> None:
    cuts = tuple(range(1, source.frame_count))
    found = make_timeline(TimeSettings(loop=loop, **time), STILL, source, cuts, ".mp4")
    assert found is None or all(it.weight == 0 for it in found.shown)


def test_paths_bend_at_frames_with_even_neighbors_in_their_shot() -> None:
    """The photo after a gap has one neighbor farther away than the other, and at a cut one is missing."""
    source = source_of((0, 1, 2, 3, 4, 7, 8, 9, 10, 11))
    assert timeline(source, fps=24).inner == {1, 2, 3, 6, 7, 8}
    assert timeline(source, cuts=(8,), fps=24).inner == {1, 2, 3, 6}
    assert timeline(source, fps=24, between="blend").inner == frozenset()
    assert timeline(source_of((0, 41, 83, 124), ticks=1000), fps=48).inner == {1, 2}


@SOME
@given(sources, times, st.sampled_from(["none", "boomerang", "seamless"]))
def test_contents_are_asked_for_as_they_are_needed(source: Source, time: dict[str, Any], loop: str) -> None:
    """Forward each one once: those around a picture stay while a frame itself is shown."""
    found = make_timeline(TimeSettings(loop=loop, **time), STILL, source, (), ".mp4")
    if found is None:
        return
    needed, kept = iter(found.contents), set[int]()
    if found.fading:
        assert next(needed) == 0
    for shown in found.shown:
        around = found.around(shown)
        assert set(shown.pair) <= set(around) <= set(range(source.frame_count))
        assert [it for it in around if it not in kept] == [next(needed) for it in around if it not in kept]
        kept = set(around)
    assert next(needed, None) is None
    every_frame = all(after.first - before.first in (0, 1) for before, after in pairwise(found.shown))
    if loop == "none" and every_frame:
        assert found.contents == list(range(len(found.contents)))


def test_what_is_not_changed_has_no_timeline() -> None:
    assert make_timeline(TimeSettings(), STILL, even(30), (), ".gif") is None
    assert make_timeline(TimeSettings(between="hold"), STILL, even(5), (), ".mp4") is None


def test_gaps_are_filled_with_in_betweens_and_nothing_else_is() -> None:
    source = replace(source_of((0, 1, 4, 5)), frame_rate=Fraction(4), gaps_to_fill=(1,))
    found = timeline(source)
    third = Fraction(1, 3)
    assert [(it.first, it.weight) for it in found.shown] == [(0, 0), (1, 0), (1, third), (1, 2 * third), (2, 0), (3, 0)]
    assert found.flow and found.end == Fraction(6, 4) and found.frames == [0, 1, 2, 3]
    slower = timeline(source, fps=3).shown  # every 4/3 frames: outside the gap the nearest ones
    assert [(it.first, it.weight) for it in slower] == [(0, 0), (1, third / 3), (1, 5 * third / 3), (2, 0)]
    assert {it.weight for it in timeline(source, between="hold", fps=4).shown} == {0}
    over_cut = timeline(source, cuts=(2,)).shown
    assert [it.first for it in over_cut] == [0, 1, 1, 1, 2, 3] and {it.weight for it in over_cut} == {0}
    assert make_timeline(TimeSettings(between="hold"), STILL, source, (), ".mp4") is None


def test_frames_that_are_held_are_held_up_to_a_cut() -> None:
    for cuts in ((), (1,)):
        assert [it.first for it in timeline(even(2), fps=16, between="hold", cuts=cuts).shown] == [0] * 4 + [1] * 4


def test_in_betweens_at_a_whole_multiple() -> None:
    found = timeline(even(3), fps=8, between="flow")
    half = Fraction(1, 2)
    shown = [(it.first, it.second, it.weight) for it in found.shown]
    assert shown == [(0, 0, 0), (0, 1, half), (1, 1, 0), (1, 2, half), (2, 2, 0), (2, 2, 0)]
    assert found.flow and audio_map(found).plain and found.end == Fraction(3, 4)


def test_the_last_frame_of_a_seamless_loop_leads_into_the_first() -> None:
    found = timeline(even(3), fps=8, loop="seamless")
    assert (found.shown[-1].first, found.shown[-1].second, found.shown[-1].weight) == (2, 0, Fraction(1, 2))
    longer = timeline(even(3), fps=8, loop="seamless", seam_s=1)
    assert [it.weight for it in longer.shown[4:]] == [Fraction(part, 8) for part in range(8)]
    back = timeline(even(3), fps=8, loop="seamless", reverse=True)
    assert [it.pair for it in back.shown] == [(0,), (2, 0), (2,), (1, 2), (1,), (0, 1)]


def test_the_end_of_a_seamless_loop_turns_into_its_beginning() -> None:
    """Most of all the last frame, and at most half of the clip; with a cut the end is of another shot."""
    loop: dict[str, Any] = {"loop": "seamless", "seam_frames": 3}
    assert timeline(even(8), **loop).fading == {5: Fraction(1, 4), 6: Fraction(1, 2), 7: Fraction(3, 4)}
    assert timeline(even(4), **loop).fading == {2: Fraction(1, 3), 3: Fraction(2, 3)}
    assert timeline(even(8), cuts=(4,), **loop).fading == {}
    assert timeline(even(8), seam_frames=3, fps=24).fading == {}


def test_held_frames_of_a_boomerang_are_held_where_it_turns() -> None:
    found = timeline(even(3), loop="boomerang", fps=4, hold_first_s=0.25, hold_last_s=0.25)
    assert [it.first for it in found.shown] == [0, 0, 1, 2, 2, 1]


def test_a_frame_stays_until_the_next_one_is_reached_either_way() -> None:
    for reverse, order in ((False, [0, 0, 1, 1, 2, 2]), (True, [2, 2, 1, 1, 0, 0])):
        found = timeline(even(3), fps=8, between="hold", reverse=reverse)
        assert [it.pair for it in found.shown] == [(index,) for index in order]


@pytest.mark.parametrize("loop", ["boomerang", "seamless"])
def test_one_frame_is_no_loop(loop: Any) -> None:
    assert make_timeline(TimeSettings(loop=loop), STILL, even(1), (), ".gif") is None
    found = timeline(even(1), loop=loop, between="flow", fps=8, duration_s=1, seam_s=1)
    assert len(found.shown) == 8 and not any(it.first or it.second or it.weight for it in found.shown)
    assert found.end == 1 and not found.fading


def test_a_clip_with_cuts_is_no_seamless_loop_and_says_so() -> None:
    assert not timeline(even(4), loop="seamless").note and timeline(even(4), loop="seamless").fading
    cut = timeline(even(4), cuts=(2,), loop="seamless")
    assert "has cuts" in cut.note and not cut.fading


def test_a_ramp_covers_the_integral_of_its_speed() -> None:
    """From speed 1 to 4, smoothly, over 1 s of the input: 0.4 s, half of which cover 0.4 (1/2 + 3 * 3/32) s."""
    ramp = Ramp(Fraction(2), [(Fraction(0), Fraction(1), "linear"), (Fraction(1), Fraction(4), "smooth")])
    assert ramp.duration == Fraction(2, 5) + Fraction(1, 4)
    assert ramp.at(Fraction(1, 5)) == Fraction(2, 5) * (Fraction(1, 2) + 3 * Fraction(3, 32))
    assert ramp.at(Fraction(2, 5)) == 1 and ramp.moment(Fraction(1)) == Fraction(2, 5)
    assert ramp.last_speed == 4
    third = Ramp(Fraction(1), [(Fraction(0), Fraction(1), "linear"), (Fraction(1), Fraction(2), "linear")])
    assert third.duration == Fraction(2, 3)  # exact at the points, where it is no number of microseconds


@SOME
@given(st.integers(1, 2000), st.sampled_from(["linear", "smooth", "in", "out"]), st.integers(1, 40), st.integers(1, 40))
def test_the_moment_of_a_position_is_where_it_is_shown(place: int, ease: Any, before: int, after: int) -> None:
    ramp = Ramp(Fraction(2), [(Fraction(0), Fraction(before, 10), "linear"), (Fraction(3), Fraction(after, 10), ease)])
    position = Fraction(place, 1000)
    assert abs(ramp.at(ramp.moment(position)) - position) < Fraction(1, 10**5)


def test_easing_takes_its_time_and_covers_half_the_way() -> None:
    """8 frames at 4 fps move for 7/4 s; each second of easing covers half a second."""
    found = timeline(even(8), fps=8, ease_in_s=1, ease_out_s=1)
    assert found.end == Fraction(7, 4) + Fraction(1, 2) + Fraction(1, 2) + Fraction(1, 4)
    shown = positions(found, even(8))
    assert shown[8] == Fraction(1, 2) and shown[1] < Fraction(1, 64)
    short = timeline(even(2), fps=8, ease_in_s=1, ease_out_s=1)  # no time for both: a quarter of a second each
    assert short.end == Fraction(3, 4) and positions(short, even(2))[2] == Fraction(1, 8)


def test_duration_stretches_a_pass() -> None:
    assert timeline(even(4), duration_s=3, hold_last_s=1).end == 3
    assert timeline(even(4), duration_s=3).shown[1].start == Fraction(3, 4)
    assert timeline(even(1), duration_s=2.5).end == Fraction(5, 2)
    assert timeline(even(1), speed=2).end == Fraction(1, 8)
    with pytest.raises(ConfigError, match="not longer"):
        timeline(even(4), duration_s=1, hold_last_s=1)


@pytest.mark.parametrize("time", [{"duration_s": 86400, "fps": 240}, {"speed": 0.01, "fps": 60, "repeat": 1000}])
def test_more_pictures_than_fit_into_memory_are_refused_at_once(time: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"would have [0-9,]+ pictures; expected at most 5,000,000"):
        timeline(even(4), **time)


def test_audio_stays_only_with_the_pace() -> None:
    assert audio_map(timeline(even(4), fps=24)).plain
    assert audio_map(timeline(even(4), hold_last_s=1)).plain
    held = audio_map(timeline(even(4), hold_first_s=1))
    assert [held.input_at(at) for at in (0, 0.5, 1, 1.5, 2)] == [0, 0, 0, 0.5, 1] and held.speed_at(0.5) == 0
    assert audio_map(timeline(even(4), speed=2)).speed_at(0.1) == 2
    ramped = audio_map(timeline(even(4), speed=SPEED_RAMP))
    assert 1 < ramped.speed_at(0.1) < ramped.speed_at(0.4)
    at_rest = audio_map(timeline(source_of((0, 4), ticks=30), fps=240, speed=SPEED_RAMP, ease_out_s=5))
    assert max(at_rest.input_s[:-1]) == Fraction(4, 30)
    for time in ({"reverse": True}, {"loop": "boomerang"}, {"repeat": 2}):
        assert timeline(even(4), **time).audio is None


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_a_burst_becomes_a_loop_where_players_loop(suffix: str) -> None:
    found = make_timeline(TimeSettings(), STILL, even(12), (), suffix)
    if suffix == ".mp4":
        assert found is None
        return
    assert found is not None and found.flow and "output.time.loop=none" in found.note
    assert found.shown[1].start == Fraction(1, 25) and found.shown[-1].first == 0
    assert make_timeline(TimeSettings(loop="none"), STILL, even(12), (), suffix) is None
    assert make_timeline(TimeSettings(), STILL, even(12), (5,), suffix) is None
    assert make_timeline(TimeSettings(), STILL, source_of(tuple(range(12)), kind="video"), (), suffix) is None


def test_a_zoom_into_a_still_moves_evenly_and_stays_inside() -> None:
    view = ViewSettings.model_validate(
        {"zoom": [{"at": 0, "value": 1}, {"at": "100%", "value": 2}], "x": 1.0, "y": 0.25}
    )
    found = timeline(even(1), view, duration_s=1)
    assert len(found.shown) == 24
    assert found.shown[0].part == WHOLE
    assert found.shown[-1].part == pytest.approx((0.5, 0, 0.5, 0.5))
    for left, top, width, height in (it.part for it in found.shown):
        assert left >= 0 and top >= 0 and left + width <= 1 + 1e-12 and top + height <= 1 + 1e-12
    assert make_timeline(TimeSettings(), ViewSettings(x=0.2), even(1), (), ".mp4") is None


def test_a_pan_and_a_zoom_are_two_curves() -> None:
    ends = {"zoom": (1.25, 2), "x": (0.25, 0.75)}
    view = ViewSettings.model_validate(
        {key: [{"at": 0, "value": one}, {"at": "1s", "value": two}] for key, (one, two) in ends.items()}
    )
    found = timeline(even(1), view, duration_s=1.5, fps=10)
    assert found.shown[0].part == pytest.approx((0, 0.1, 0.8, 0.8))
    assert found.shown[10].part == pytest.approx((0.5, 0.25, 0.5, 0.5))


def test_frames_behind_the_last_one_are_as_far_apart_as_the_last_two() -> None:
    curve = TimeSettings.model_validate({"speed": [{"at": 0, "value": 1}, {"at": 5, "value": 2}]}).own_curves["speed"]
    assert places(curve, [Fraction(0), Fraction(1), Fraction(3)], "speed") == [0, 9]


def test_points_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"output\.time\.speed"):
        timeline(even(4), speed=[{"at": 3, "value": 1}, {"at": "10%", "value": 2}])
    with pytest.raises(ConfigError, match="cannot follow"):
        timeline(even(4), speed={"follow": "light", "points": [{"at": 0, "value": 1}]})


def test_rates_of_television_are_fractions() -> None:
    assert rate(29.97) == Fraction(30000, 1001) and rate(23.976) == Fraction(24000, 1001)
    assert rate(24) == 24 and rate(12.5) == Fraction(25, 2)

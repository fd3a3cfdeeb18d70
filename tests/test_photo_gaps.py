"""Intervals of photos: gaps and how long they last in the video, and the rate of a burst."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.config.settings import InputSettings
from pipeline.errors import InputError
from pipeline.media.reader.intervals import duration_text, find_gaps, photo_rate, usual_interval
from pipeline.media.reader.source import probe, read_frames
from pipeline.types import Source
from pipeline.workflows.output.style_frames import selected
from tests.support.clips import truncate
from tests.support.photos import at, names, write_photo

Data = Callable[[str], Path]
SETTINGS = InputSettings()
HOLD = InputSettings(gaps="hold")
TIMES = (0, 10, 20, 50, 60, 70, 81, 90, 110)
"""Two photos are missing after the third, and one before the last."""


def write_series(folder: Path, times: Sequence[float]) -> Path:
    for number, second in enumerate(times):
        write_photo(folder / f"p{number:02d}.jpg", number, details=at(second))
    return folder


def gap_notes(source: Source) -> list[str]:
    return [note for note in source.notes if note.startswith(("Gap", "input.gaps"))]


def test_gaps_are_intervals_above_one_and_a_half_times_the_usual_one() -> None:
    found = find_gaps(TIMES)
    assert [(gap.after, gap.seconds, gap.frames) for gap in found] == [(2, 30, 3), (7, 20, 2)]
    assert find_gaps((0, 10, 20, 35, 45)) == []  # exactly one and a half
    assert find_gaps((0, 30, 60)) == []  # too few to know the usual interval
    assert find_gaps((0, 0.1, 0.2, 0.3, 1.0)) == []  # within what clocks of whole seconds are off
    assert [gap.frames for gap in find_gaps((0, 0, 0, 0, 1, 1, 1, 1, 5, 5, 5, 5))] == [9]  # 11 intervals in 5 s


def test_usual_interval_is_the_median_and_for_slow_clocks_the_mean() -> None:
    assert usual_interval(TIMES) == 10
    assert usual_interval((0, 0, 0, 0, 1, 1, 1, 1)) == pytest.approx(1 / 7)
    assert usual_interval((3,)) is None


def test_gaps_are_noted_with_their_times_among_the_frames_asked_for(tmp_path: Path) -> None:
    write_series(tmp_path, TIMES)
    assert gap_notes(probe([tmp_path], SETTINGS)) == [
        "Gap of 30 s after p02.jpg (10:00:20 to 10:00:50, usual interval 10 s).",
        "Gap of 20 s after p07.jpg (10:01:30 to 10:01:50, usual interval 10 s).",
    ]
    assert len(gap_notes(probe([tmp_path], SETTINGS, frames=(3, 9)))) == 1
    assert len(gap_notes(probe([tmp_path], SETTINGS, frames=(2, 4)))) == 1  # of two photos, the interval is that of all
    assert gap_notes(probe([tmp_path], SETTINGS, frames=(3, 8))) == []


def test_photo_before_a_gap_is_held_as_long_as_the_gap_lasts(tmp_path: Path) -> None:
    write_series(tmp_path, TIMES)
    kept, held = probe([tmp_path], SETTINGS, fps=Fraction(5)), probe([tmp_path], HOLD, fps=Fraction(5))
    assert kept.pts == tuple(range(9))
    assert held.pts == (0, 1, 2, 5, 6, 7, 8, 9, 11)
    assert (held.duration_ticks, held.time_base, held.gaps_to_fill) == (1, Fraction(1, 5), ())
    assert held.decoded_indices == kept.decoded_indices and held.digest == kept.digest
    assert [frame.pts for frame in read_frames(held, settings=HOLD)] == list(held.pts)
    assert gap_notes(held)[-1] == "input.gaps=hold: 2 gaps, the photo before each is shown as long as it lasts."
    assert probe([tmp_path], HOLD, frames=(2, 5)).pts == (0, 3, 4)


def test_gaps_to_be_interpolated_have_the_timeline_of_held_ones_and_are_marked(tmp_path: Path) -> None:
    write_series(tmp_path, TIMES)
    source = probe([tmp_path], InputSettings(gaps="interpolate"))
    assert source.pts == probe([tmp_path], HOLD).pts
    assert source.gaps_to_fill == (2, 7)
    assert selected(source, range(1, 8)).gaps_to_fill == (1, 6)
    assert selected(source, range(1, 8)).pts == source.pts[1:8]
    blended = replace(source, blended=tuple(range(1, source.frame_count + 1)))
    assert selected(blended, range(1, 8)).blended == (2, 3, 4, 5, 6, 7, 8)


def test_damaged_photos_leave_their_time_to_the_photo_before_them(tmp_path: Path) -> None:
    write_series(tmp_path, TIMES)
    truncate(tmp_path / "p05.jpg", 0.6)
    skipped = probe([tmp_path], InputSettings(gaps="hold", on_damaged="skip"))
    assert skipped.pts == (0, 1, 2, 5, 6, 8, 9, 11)
    repeated = probe([tmp_path], InputSettings(gaps="hold", on_damaged="hold"))
    assert repeated.pts == (0, 1, 2, 5, 6, 7, 8, 9, 11)
    assert probe([tmp_path], InputSettings(on_damaged="skip")).pts == tuple(range(8))


def test_gaps_are_not_known_without_times_in_order(tmp_path: Path) -> None:
    for number, second in enumerate((0, 50, 10, 20, 30)):
        write_photo(tmp_path / f"p{number}.jpg", number, details=at(second))
    by_name = InputSettings(gaps="hold", order="name")
    source = probe([tmp_path], by_name)
    assert source.pts == tuple(range(5))
    assert gap_notes(source) == ["input.gaps=hold: the photos have no times in their order, so no gaps are known."]
    assert names(probe([tmp_path], HOLD)) == ["p0.jpg", "p2.jpg", "p3.jpg", "p4.jpg", "p1.jpg"]


def test_gap_of_years_is_refused_to_be_held(tmp_path: Path) -> None:
    write_series(tmp_path, TIMES)
    write_photo(tmp_path / "p99.jpg", 99, details={0x9003: "2199:01:01 00:00:00"})
    assert "63793.6 days" in gap_notes(probe([tmp_path], SETTINGS))[-1]
    with pytest.raises(InputError, match=r"p08\.jpg: the gap behind it would be .* days of video"):
        probe([tmp_path], HOLD)
    assert probe([tmp_path], HOLD, frames=(0, 9)).pts[-1] == 11


@pytest.mark.parametrize(
    ("count", "interval_s", "rate"),
    [
        *[(1, None, 24), (7, None, 4), (7, 5.0, 4), (7, 1 / 6, 6), (23, 0.01, 12), (23, 60.0, 4), (7, 0.0, 4)],
        *[(24, None, 24), (24, 60.0, 24), (24, 1.0, 24), (24, 0.1, 10), (99, 0.5, 4), (100, 0.1, 24)],
    ],
)
def test_few_photos_are_shown_in_real_time_within_limits(count: int, interval_s: float | None, rate: int) -> None:
    assert photo_rate(count, interval_s) == rate


def test_rate_of_a_burst_is_told_and_fps_has_precedence(tmp_path: Path) -> None:
    write_series(tmp_path, [number / 8 for number in range(12)])
    source = probe([tmp_path], SETTINGS)
    assert source.frame_rate == 8 and source.duration_s == 1.5
    assert source.notes[-1] == "A burst of 12 photos, shown at 8 fps: --fps sets another rate."
    assert probe([tmp_path], SETTINGS, fps=Fraction(30)).frame_rate == 30
    assert probe([tmp_path], SETTINGS, fps=Fraction(30)).notes == ()
    assert probe([tmp_path], SETTINGS, frames=(0, 2)).frame_rate == 8  # a part of a burst is as fast as all of it


def test_durations_are_told_in_the_unit_of_their_size() -> None:
    assert [duration_text(s) for s in (0.125, 148, 7199, 54_000, 400_000)] == [
        "0.125 s", "148 s", "7199 s", "15.0 h", "4.6 days",
    ]  # fmt: skip


def test_real_bursts_and_gaps(data: Data) -> None:
    ice = probe([data("timelapse/icecube_s60")], HOLD)
    assert ice.frame_rate == 24
    held = [index for index in range(69) if ice.pts[index + 1] - ice.pts[index] == 2]
    assert [Path(ice.files[index]).stem[-6:] for index in held] == ["183749", "191217"] and ice.pts[-1] == 71
    assert probe([data("burst/pcb_focus")], SETTINGS).frame_rate == 4
    tower = probe([data("timelapse/plant_tower")], HOLD)
    assert (tower.order, tower.frame_count, tower.pts[-1]) == ("time in the names", 60, 154)

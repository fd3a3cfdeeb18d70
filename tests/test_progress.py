"""Progress: the estimate of the time left, lines for programs and for people, and nothing on stdout."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from pipeline.runtime.progress import CallbackReporter, Estimate, FrameProgress, describe_seconds
from pipeline.runtime.reporters import Kind, PlainReporter, RichReporter, make_reporter
from pipeline.types import Chain, FrameStats, Phase

CHAIN = Chain("swirl-s000", "swirl", 0, 0, 10, 0)
STATS = FrameStats(8, 0.25)


def test_frame_that_starts_anew_is_one_of_those_that_were_left() -> None:
    estimate = Estimate({"cold": 0, "warm": 3})
    estimate.frame_stored("warm", 2.0)
    estimate.started_anew()
    estimate.frame_stored("cold", 20.0)
    assert estimate.anew == 1
    assert estimate.seconds_left() == pytest.approx((2.0 + 20.0) / 2)  # as likely as not it starts anew


def test_estimate_expects_as_many_frames_to_start_anew_as_did() -> None:
    estimate = Estimate({"cold": 2, "warm": 100})
    estimate.frame_stored("cold", 30.0)
    for number in range(20):
        if number % 4 == 0:
            estimate.started_anew()
            estimate.frame_stored("cold", 30.0)
        else:
            estimate.frame_stored("warm", 2.0)
    assert estimate.seconds_left() == pytest.approx(30.0 + 80 * (0.25 * 30.0 + 0.75 * 2.0))


def test_estimate_averages_cold_and_warm_frames_separately() -> None:
    estimate = Estimate({"cold": 2, "warm": 10})
    assert estimate.seconds_left() is None
    estimate.frame_stored("cold", 100.0)
    assert estimate.seconds_left() is None  # the time of a warm frame is not known yet
    estimate.frame_stored("warm", 2.0)
    estimate.frame_stored("warm", 4.0)
    assert estimate.seconds_left() == pytest.approx(1 * 100.0 + 8 * 3.0)


def test_estimate_needs_only_the_phases_that_are_left() -> None:
    estimate = Estimate({"cold": 0, "warm": 3})  # resumed: the cold frame was stored before
    estimate.frame_stored("warm", 2.0)
    assert estimate.seconds_left() == pytest.approx(4.0)
    estimate.frame_stored("warm", 2.0)
    estimate.frame_stored("warm", 2.0)
    assert estimate.seconds_left() == 0.0


def test_estimate_follows_recent_frames() -> None:
    estimate = Estimate({"cold": 0, "warm": 1000})
    for _ in range(50):
        estimate.frame_stored("warm", 100.0)
    for _ in range(50):
        estimate.frame_stored("warm", 1.0)
    assert estimate.seconds_left() == pytest.approx(900.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "..."), (0, "0 s"), (12.4, "12 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")],
)
def test_seconds_are_written_in_the_largest_units(seconds: float | None, text: str) -> None:
    assert describe_seconds(seconds) == text


def play(kind: Kind) -> None:
    """A resumed render of ten frames, of which four were stored."""
    reporter = make_reporter(kind)
    reporter.note("input: a [bold]gap[/bold]")
    with reporter.stage("reading the input", 3) as advance:
        for done in range(1, 4):
            advance(done)
    left: dict[Phase, int] = {"cold": 1, "warm": 5}
    with reporter.stylizing(left, 4):
        reporter.frame_stored(CHAIN, 4, "cold", STATS, 60.0)
        for index in range(5, 10):
            reporter.frame_stored(CHAIN, index, "warm", STATS, 2.0)


def play_anew(kind: Kind) -> None:
    """Four frames of a burst whose third photo differs from the second."""
    reporter = make_reporter(kind)
    with reporter.stylizing({"cold": 1, "warm": 3}, 0):
        phases: list[Phase] = ["cold", "warm", "cold", "warm"]
        for index, phase in enumerate(phases):
            if index == 2:
                reporter.started_anew(CHAIN, index)
            reporter.frame_stored(CHAIN, index, phase, STATS, 30.0 if phase == "cold" else 2.0)


def test_frame_that_starts_anew_is_said_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    play_anew("plain")
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("swirl-s000 frame 2 starts anew: too little of it corresponds with the frame before") == 1
    play_anew("json")
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert events[2] == {"event": "anew", "chain": "swirl-s000", "frame": 2, "anew": 1}
    frames = [event for event in events if event["event"] == "frame"]
    assert [frame["anew"] for frame in frames] == [0, 0, 1, 1]
    assert [frame["seconds_left"] for frame in frames] == [None, 4.0, 16.0, 0.0]
    play_anew("rich")
    assert "1 started anew" in capsys.readouterr().err
    told: list[FrameProgress] = []
    reporter = CallbackReporter(told.append)
    with reporter.stylizing({"cold": 0, "warm": 1}, 0):
        reporter.started_anew(CHAIN, 1)
        reporter.frame_stored(CHAIN, 1, "cold", STATS, 1.0)
    assert (told[0].anew, told[0].phase, told[0].seconds_left) == (1, "cold", 0.0)


@pytest.mark.parametrize("columns", [40, 50, 79, 119, 140])
def test_bars_stay_on_one_line_and_show_how_far_it_is(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reporter, shown = RichReporter(), io.StringIO()
    reporter._console = Console(file=shown, width=columns, force_terminal=True, color_system=None, legacy_windows=False)
    chain = replace(CHAIN, style="a-style-with-a-name-that-is-long")
    with reporter.stylizing({"cold": 1, "warm": 199}, 20):
        reporter.frame_stored(chain, 21, "warm", FrameStats(12, 0.5), 3.2)
    line = re.sub(r"\x1b\[[0-9?]*[a-zA-Z]", "", shown.getvalue()).rstrip().rpartition("\r")[2]
    assert len(line.rstrip().splitlines()) == 1 and len(line.rstrip()) <= columns
    assert "21/220" in line and "left" in line


@pytest.mark.parametrize("kind", ["plain", "json", "rich", "none", "auto"])
def test_progress_never_touches_stdout(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    play(kind)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert (captured.err == "") == (kind == "none")
    if kind != "none":
        assert "[bold]gap[/bold]" in captured.err  # a path with brackets is no markup


def test_json_lines_parse_and_count_frames(capsys: pytest.CaptureFixture[str]) -> None:
    play("json")
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert events[0] == {"event": "note", "message": "input: a [bold]gap[/bold]"}
    frames = [event for event in events if event["event"] == "frame"]
    assert [frame["done"] for frame in frames] == [5, 6, 7, 8, 9, 10]
    assert {frame["total"] for frame in frames} == {10}
    assert [frame["frame"] for frame in frames] == [4, 5, 6, 7, 8, 9]
    assert [frame["phase"] for frame in frames] == ["cold"] + ["warm"] * 5
    assert frames[0]["seconds_left"] is None
    assert [frame["seconds_left"] for frame in frames[1:]] == [8.0, 6.0, 4.0, 2.0, 0.0]
    assert frames[0]["chain"] == "swirl-s000" and frames[0]["evaluations"] == 8 and frames[0]["loss"] == 0.25


def test_plain_lines_are_few_and_include_the_last_frame(capsys: pytest.CaptureFixture[str]) -> None:
    play("plain")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("stylized")]
    assert len(lines) == 2  # the first at once, then every few seconds, and the last
    assert "stylized 5 of 10 frames" in lines[0] and "left ..." in lines[0]
    assert "stylized 10 of 10 frames" in lines[1] and "swirl-s000 frame 9, warm" in lines[1] and "left 0 s" in lines[1]


def test_long_stage_reports_its_position(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 1000.0
    monkeypatch.setattr("pipeline.runtime.reporters.time.monotonic", lambda: now)
    with PlainReporter().stage("writing out.mp4", 100) as advance:
        for done in range(1, 101):
            now += 0.3
            advance(done)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"writing out.mp4: {done} of 100" for done in (34, 68, 100)]


def test_auto_is_rich_on_a_terminal_and_plain_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    assert type(make_reporter("auto")).__name__ == "PlainReporter"
    monkeypatch.setattr(stream, "isatty", lambda: True)
    assert type(make_reporter("auto")).__name__ == "RichReporter"

"""How long a render takes is told before it begins: frames, seconds, memory, and what is remembered for others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from pipeline import cli
from pipeline.config.catalog import load_style
from pipeline.config.settings import Config
from pipeline.encoders import fetch
from pipeline.errors import MissingPartError
from pipeline.plan.edits import Edit
from pipeline.runtime.progress import SilentReporter
from pipeline.store.directory import RenderDirectory
from pipeline.stylers.resources import Resources
from pipeline.types import FrameStats
from pipeline.workflows.forecast import cost, frames_left, remembered
from pipeline.workflows.forecast import forecast as forecasts
from pipeline.workflows.forecast import memory as memory_need
from pipeline.workflows.forecast.cost import Measured, cold_work, expected_work, measure, warm_work, work_of
from pipeline.workflows.forecast.forecast import BEGINNING_S, Forecast, about, forecast, tell_forecast
from pipeline.workflows.forecast.frames_left import FrameCounts
from pipeline.workflows.forecast.memory import MemoryNeed
from pipeline.workflows.forecast.remembered import recall, remember, style_keys
from pipeline.workflows.forecast.seen import Seen
from pipeline.workflows.input.digest import HashedInput
from pipeline.workflows.missing_weights import fetch_missing, missing_weights
from pipeline.workflows.prepare import Prepared
from pipeline.workflows.resolve import load_resources
from tests.support.clips import texture
from tests.support.command_line import clip_and_style, render_of, tree
from tests.support.plans import DIGEST, a_config, a_plan, a_source, a_style, shots_of

CPU = Resources(torch.device("cpu"), "float32", None)
SIZE = (48, 64)
FRAMES = 6


def prepared_of(
    path: Path, config: Config, frames: int = 12, cuts: tuple[int, ...] = (), segments: int = 0
) -> Prepared:
    """A render of 64x48 px that was not begun."""
    source = a_source(frames)
    style = a_style(config=config, segment_frames=segments)
    outputs = {config.name: path / "v.mp4"}
    plan = a_plan(style, source=source, shots=shots_of([*cuts, frames]))
    configs, resources = {config.name: config}, {config.name: CPU}
    return Prepared(plan, path / "v.render", source, configs, resources, outputs, HashedInput(DIGEST, None), {})


def counts(path: Path, config: Config, **options: Any) -> tuple[int, ...]:
    return tuple(frames_left.frames_left(prepared_of(path, config, **options))["swirl"])


def test_frames_are_counted_as_the_chains_make_them(tmp_path: Path) -> None:
    def with_motion(**motion: Any) -> Config:
        return a_config(motion=motion)

    assert counts(tmp_path, a_config()) == (1, 11, 0)
    assert counts(tmp_path, a_config(), cuts=(5, 9)) == (3, 9, 0)
    assert counts(tmp_path, with_motion(boil=1)) == (12, 0, 0)
    assert counts(tmp_path, with_motion(hold=2), frames=11, cuts=(5,)) == (2, 4, 5)  # 0 2 4 and 5 7 9
    # keyframes 0 4 8, the segments begin with them
    assert counts(tmp_path, a_config(), segments=4) == (1, 2 + 9, 3)
    # keyframes 0 4 8; of each segment the first is its keyframe and 1, 3 are repeated
    assert counts(tmp_path, with_motion(hold=2), segments=4) == (1, 2 + 3, 3 + 6)


def test_stored_frames_and_those_that_edits_pin_are_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepared_of(tmp_path, a_config())
    prepared.path.mkdir()
    (prepared.path / "plan.json").touch()
    edit = Edit(1, prepared.plan.chains[0].id, 6, 10, 2, DIGEST, DIGEST, (), "2026-01-01T00:00:00Z")
    monkeypatch.setattr(frames_left, "stored_edits", lambda _: (edit, replace(edit, state="undone", frame=3)))
    monkeypatch.setattr(RenderDirectory, "done", lambda _self, _chain, among: 4 if among.start == 0 else among.start)
    assert tuple(frames_left.frames_left(prepared)["swirl"]) == (0, 2 + 3 + 1, 0)  # 4 5, 7 8 9, 11
    assert tuple(frames_left.frames_left(prepared, anew=True)["swirl"]) == (1, 11, 0)
    monkeypatch.setattr(frames_left, "exported", lambda _: {"swirl": "v.mp4"})
    assert frames_left.frames_left(prepared) == {}


def test_work_of_frames_in_closed_form() -> None:
    config = a_config(optimize={"cold": {"evaluations": 10, "min_scale_px": 64, "scale_step": 2}})
    scales = [(64, 48), (128, 96), (256, 192)]
    assert cold_work(config, (256, 192)) == 10 * sum(h * w + cost.OVERHEAD_PX for h, w in scales)
    assert warm_work(config, (256, 192), 2) == (8.75 + 2) * work_of((256, 192))
    assert expected_work(config, (256, 192), 2, 3, beside=2) == 2 * cold_work(config, (256, 192)) + 3 * warm_work(
        config, (256, 192), 2
    )
    # boil 0.5: the 2 finest of 3 scales, (10 + 10) / 2 evaluations each
    boiling = config.model_copy(update={"motion": config.motion.model_copy(update={"boil": 0.5})})
    assert warm_work(boiling, (256, 192), 2) == 10 * sum(map(work_of, scales[1:])) + 2 * work_of((256, 192))
    assert cold_work(a_config(styler="palette"), SIZE) == work_of(SIZE)


def test_seconds_are_those_of_the_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = a_config(optimize={"cold": {"evaluations": 10, "min_scale_px": 64}})
    prepared = prepared_of(tmp_path, config, cuts=(5,))
    calls: list[bool] = []

    def measured(*_: Any, motion: bool, **__: Any) -> Measured:
        calls.append(motion)
        return Measured(1e-4, 0.5, beside=2)

    monkeypatch.setattr(forecasts, "measure", measured)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    found = forecast(prepared)
    work = 2 * 10 * work_of(SIZE) + 10 * (8.75 + 2) * work_of(SIZE)
    writing = 12 * 48 * 64 * forecasts.WRITE_S_PER_PX / 2
    assert found.frames == FrameCounts(2, 10, 0)
    assert found.seconds == pytest.approx(work * 1e-4 + 0.5 + BEGINNING_S + writing)
    assert forecast(prepared).seconds == pytest.approx(found.seconds) and calls == [True]  # remembered
    assert not (tmp_path / "v.render").exists()
    scales = a_config(optimize={"cold": {"evaluations": 10, "min_scale_px": 32, "scale_step": 2}})
    found = forecast(prepared_of(tmp_path, scales, frames=1))  # every size of the cold frame is set up
    work = 10 * sum(map(work_of, ((24, 32), SIZE)))
    writing = 48 * 64 * forecasts.WRITE_S_PER_PX / 2
    assert found.seconds == pytest.approx(work * 1e-4 + 2 * 0.5 + BEGINNING_S + writing)


def test_what_renders_took_comes_before_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = a_config(optimize={"cold": {"evaluations": 10, "min_scale_px": 64}})
    prepared = prepared_of(tmp_path, config)
    chain = prepared.plan.chains[0]
    clock = iter((0.0, 6.0))
    monkeypatch.setattr("pipeline.workflows.forecast.seen.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    monkeypatch.setattr(forecasts, "measure", lambda *_, **__: pytest.fail("all of it is known"))
    seen = Seen(SilentReporter(), prepared)
    seen.frame_stored(chain, 0, "cold", FrameStats(10, 0.1), 20.0)
    seen.started_anew(chain, 1)
    seen.frame_stored(chain, 1, "cold", FrameStats(10, 0.1), 20.0)
    for index, seconds in enumerate((1.0, 2.0, 6.0), 2):
        seen.frame_stored(chain, index, "warm", FrameStats(5, 0.1), seconds)
    seen.frame_stored(chain, 5, "warm", FrameStats(0, 0.1), 0.0)  # repeated
    with seen.writing("swirl"):
        pass
    seen.remember()
    # of 11 warm frames one in four starts anew; writing the 12 frames took 6 s
    assert forecast(prepared).seconds == pytest.approx(20 + 11 * (0.25 * 20 + 0.75 * 3) + 6)


def test_short_render_begins_without_a_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    reporter = SilentReporter()
    monkeypatch.setattr(reporter, "note", notes.append)
    monkeypatch.setattr(forecasts, "measure", lambda *_, **__: Measured(1e-3))
    tell_forecast(prepared_of(tmp_path, a_config()), reporter)
    assert notes == []
    tell_forecast(prepared_of(tmp_path, a_config(), frames=1200), reporter)
    assert len(notes) == 1 and notes[0].startswith("forecast: 1,200 frames (1 cold, 1,199 warm): about ")


def test_seconds_of_several_styles_are_known_if_those_of_each_are(tmp_path: Path) -> None:
    one, other = a_config(), a_config(name="waves", optimize={"warm": {"evaluations": 20}})
    prepared = prepared_of(tmp_path, one)
    prepared = replace(
        prepared,
        plan=a_plan(a_style(config=one), a_style("waves", other), source=prepared.source),
        configs={"swirl": one, "waves": other},
        resources=dict.fromkeys(("swirl", "waves"), CPU),
        outputs={"swirl": tmp_path / "a.mp4", "waves": tmp_path / "b.mp4"},
    )
    remember({style_keys(one, CPU, SIZE)[0]: {"cold": 1e-4, "warm": 1e-4}})
    assert forecast(prepared, if_worth_it=True).seconds is None
    remember({style_keys(other, CPU, SIZE)[0]: {"cold": 1e-4, "warm": 1e-4}})
    assert forecast(prepared, if_worth_it=True).seconds is not None


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\x00\xff", b"[" * 5000, b"7", b'{"version": 2}', b'{"version": 1, "figures": []}',
     b'{"version": 1, "figures": {"k": {"cold": "x"}, "l": 3, "m": {"cold": [NaN], "day": [1]}, "n": {"cold": []}}}',
     b'{"version": 1, "figures": {"k": {"cold": [1], "day": [%d]}}}' % remembered._today() + b" " * (1 << 20)],
)  # fmt: skip
def test_remembered_file_survives_garbage(garbage: bytes) -> None:
    path = remembered.figures_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(garbage)
    assert recall(["k", "l", "m", "n"]) == {}
    remember({"k": {"cold": 2.0, "warm": float("nan")}})
    assert recall(["k"]) == {"cold": 2.0}


def test_the_median_of_the_latest_values_holds_and_old_ones_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (100.0, 1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 3.0):
        remember({"a": {"cold": value}})
    assert recall(["a"]) == {"cold": 2.0}
    remember({"b": {"cold": 7.0, "warm": 8.0}})
    assert recall(["a", "b"]) == {"cold": 2.0, "warm": 8.0}  # the first key that has it
    for number in range(remembered.KEPT_ENTRIES):
        remember({f"c{number}": {"cold": 1.0}})
    assert recall(["a", "b"]) == {}
    today = remembered._today()
    monkeypatch.setattr(remembered, "_today", lambda: today + remembered.OLDEST_DAYS + 1)
    assert recall(["c3"]) == {}


def test_what_cannot_be_written_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(remembered, "figures_path", lambda: tmp_path / "file" / "speed.json")
    remember({"a": {"cold": 1.0}})
    assert recall(["a"]) == {}


def test_figures_are_of_a_machine_a_style_and_a_size_class(monkeypatch: pytest.MonkeyPatch) -> None:
    config = a_config()
    known = style_keys(config, CPU, (360, 640))
    assert known == style_keys(a_config(seed=3), CPU, (365, 645)) and len(set(known)) == 3
    assert style_keys(config, CPU, (720, 640))[0] in known  # the class next to it
    for other in (a_config(optimize={"warm": {"evaluations": 20}}), a_config(runtime={"threads": 7})):
        assert not set(known) & set(style_keys(other, CPU, (360, 640)))
    monkeypatch.setattr(remembered, "_processor", lambda: "another")
    assert not set(known) & set(style_keys(config, CPU, (360, 640)))


def test_evaluations_are_measured_at_the_size_that_takes_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []

    def clocked(_short: Config, size: tuple[int, int], _resources: Resources) -> Measured:
        sizes.append(size)
        return Measured(1e-6)

    monkeypatch.setattr(cost, "_measured", clocked)
    monkeypatch.setattr(cost, "_beside_s", lambda *_: 0.4)
    config = a_config()
    assert measure(config, (240, 320), CPU, largest=True).beside == cost.BESIDE_EVALUATIONS and sizes == [(240, 320)]
    assert measure(config, (480, 640), CPU, largest=True, motion=True).beside == pytest.approx(
        0.4 / (1e-6 * work_of((480, 640)))
    )
    sizes.clear()
    measure(config, (1500, 2000), CPU, largest=True)
    assert sizes[0] == (240, 320) and work_of(sizes[1]) * 1e-6 == pytest.approx(cost.LONGEST_EVALUATION_S, rel=0.1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return clip_and_style(tmp_path)


def test_dry_run_measures_and_leaves_only_what_it_remembers(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(home)
    assert cli.run(render_of(home, "--dry-run")) == 0
    line = next(it for it in capsys.readouterr().out.splitlines() if it.startswith("forecast"))
    assert line.startswith("forecast   6 frames (1 cold, 5 warm): about ") and line.endswith(" of disk")
    assert tree(home) == before
    (entry,) = json.loads(remembered.figures_path().read_text())["figures"].values()
    assert entry.keys() == {"measured_cold", "measured_warm", "setup", "day"}


def test_render_says_what_is_left_where_it_is_known(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(render_of(home)) == 0
    assert "forecast" not in capsys.readouterr().err
    for frame in (4, 5):
        next((home / "v.render").rglob(f"{frame:08d}.png")).unlink()
    (home / "v.mp4").unlink()
    assert cli.run(["resume", f"{home}/v.render", "--progress", "json"]) == 0
    notes = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (note,) = [it["message"] for it in notes if it["event"] == "note" and it["message"].startswith("forecast")]
    assert re.match(r"forecast: 2 frames \(0 cold, 2 warm\): about \d+ s, ", note)  # by the time that the first took


def test_dry_run_fetches_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEMPERA_CACHE", str(home / "cache"))
    monkeypatch.setattr(fetch, "download", lambda *_, **__: pytest.fail("nothing is to be downloaded"))
    before = tree(home)
    more = ("--encoder", "vgg19", "--set=motion.method=raft_small", "--dry-run")
    assert cli.run(render_of(home, *more)) == 0
    printed = capsys.readouterr().out
    assert "forecast   6 frames (1 cold, 5 warm): time unknown, " in printed
    assert "`tempera weights fetch vgg19`" in printed and "`tempera weights fetch raft_small`" in printed
    assert tree(home) == before


def test_weights_are_missing_where_they_would_be_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPERA_CACHE", str(tmp_path))
    assert missing_weights(a_config(encoder="vgg16"), None) == ["vgg16"]
    assert missing_weights(a_config(encoder="vgg16"), tmp_path / "own.pth") == []
    assert missing_weights(a_config(encoder="auto"), None) == missing_weights(a_config(encoder="compact"), None) == []
    assert missing_weights(a_config(styler="palette", encoder="vgg16"), None) == []
    fetch.weights_path("vgg16").touch()
    assert missing_weights(a_config(encoder="vgg16"), None) == []


def test_missing_weights_are_downloaded_once_and_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPERA_CACHE", str(tmp_path))
    said: list[str] = []
    reporter = SilentReporter()
    monkeypatch.setattr(reporter, "note", said.append)

    def arrive(name: str, *, progress: fetch.Progress) -> None:
        said.append(f"begun {name}")
        progress(1 << 20, None)
        fetch.weights_path(name).touch()

    monkeypatch.setattr(fetch, "fetch", arrive)
    configs = [a_config(encoder="vgg16"), a_config(encoder="compact"), a_config(encoder="vgg16")]
    for _ in range(2):
        fetch_missing(configs, None, reporter)
    assert said == [
        f"the weights of vgg16 are not here yet: downloading them to {fetch.weights_path('vgg16')}, once",
        "begun vgg16",
    ]


def test_loading_a_style_says_what_it_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPERA_CACHE", str(tmp_path))
    monkeypatch.setattr("pipeline.encoders.pretrained.weights_url", lambda name: f"http://127.0.0.1:9/{name}.pth")
    said: list[str] = []
    reporter = SilentReporter()
    monkeypatch.setattr(reporter, "note", said.append)
    with pytest.raises(MissingPartError, match="could not be downloaded"):
        load_resources([a_config(encoder="vgg16")], None, reporter)
    assert [note.partition(" are not here yet")[0] for note in said] == ["the weights of vgg16"]


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], MemoryNeed]:
    """`memory(side_px, free)`: what a square frame needs with so many bytes free."""
    from pipeline.stylers.resources import find_resources

    Image.fromarray(texture((64, 48), 50)).save(tmp_path / "one.png")
    config = load_style(str(tmp_path / "one.png"), ["encoder=compact", "optimize.precision=float32"])
    resources = find_resources(config)

    def need(side_px: int, free: int) -> MemoryNeed:
        monkeypatch.setattr("pipeline.runtime.memory.free_bytes", lambda _: free)
        plan = a_plan(a_style(config.name, config), width_px=side_px, height_px=side_px)
        found = replace(prepared_of(tmp_path, a_config()), plan=plan)
        found = replace(found, configs={config.name: config}, resources={config.name: resources})
        return memory_need.memory_need(found, [config.name])

    return need


def test_memory_that_will_not_do_is_told(memory: Callable[[int, int], MemoryNeed]) -> None:
    whole = memory(1500, 10**12)
    assert whole.suffices and whole.warning == "" and whole.needed > 10**9
    tiled = memory(1500, round(0.8 * whole.needed))
    assert tiled.suffices and tiled.needed < whole.needed
    assert "are needed for whole frames" in tiled.warning and "computed in tiles of 1024 px" in tiled.warning
    scarce = memory(1500, 10**8)
    assert not scarce.suffices and "100.0 MB are free: frames of 1500x1500 px do not fit even in" in scarce.warning
    assert "--width" in scarce.warning


def test_render_that_will_not_fit_into_memory_is_warned_of(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.runtime.memory.free_bytes", lambda _: 10**6)
    assert cli.run(render_of(home, "--dry-run")) == 0
    assert "warning    memory: about 2" in capsys.readouterr().out
    assert cli.run(render_of(home)) == 0
    assert "1.0 MB are free: frames of 48x32 px do not fit even" in capsys.readouterr().err


def test_words_of_a_forecast() -> None:
    need = MemoryNeed(800_000_000, 10**10, "cpu", 400_000_000)
    found = Forecast(FrameCounts(3, 897), 1560.0, need, 4_100_000_000)
    assert found.in_words() == "900 frames (3 cold, 897 warm): about 26 min, 1.2 GB of memory, 4.1 GB of disk"
    assert Forecast(FrameCounts(1), 3, None, 5000).in_words() == "1 frame (1 cold, 0 warm): about 3 s, 5.0 kB of disk"
    held = Forecast(FrameCounts(1, 4, 5), None, replace(need, device="cuda", held=0), 0).in_words()
    assert held.startswith("5 frames (1 cold, 4 warm, and 5 repeated): time unknown, 800.0 MB of memory on cuda")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (19.6, "20 s"), (52.0, "50 s"), (97.4, "95 s"), (98, "2 min"), (1560, "26 min"),
     (3585, "1 h 00 min"), (40800, "11 h 20 min"), (40920, "11 h 20 min"), (400_000, "111 h 05 min")],
)  # fmt: skip
def test_times_have_no_more_digits_than_a_forecast(seconds: float, words: str) -> None:
    assert about(seconds) == f"about {words}"

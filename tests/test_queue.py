"""A queue goes on where it was, does nothing twice, loads what is equal once, and reports what failed."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import cli
from pipeline.config.queue import parse_queue
from pipeline.errors import Interrupted, UsageError
from pipeline.execute import session
from pipeline.media.image.contact_sheet import CAPTION_PX, GAP_PX
from pipeline.media.image.load import load_rgb
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.store.lock import RenderLock
from pipeline.stylers import loaded
from pipeline.stylers.loaded import Loaded
from pipeline.stylers.palette import PaletteStyler
from pipeline.workflows.forecast.cost import OVERHEAD_PX, cost_key, expected_work, seconds_of
from pipeline.workflows.queue import forecast as forecasts
from pipeline.workflows.queue import pictures, run
from pipeline.workflows.queue.forecast import Forecast, forecast
from pipeline.workflows.queue.jobs import Queue, make_queue
from pipeline.workflows.queue.state import InputFacts
from tests.support.clips import moving_square, texture, write_photos
from tests.support.command_line import tree

QUICK = {"encoder": "tiny", "optimize.cold.evaluations": 2, "optimize.cold.min_scale_px": 32, "runtime.prefetch": 0}
QUICK |= {"optimize.warm.evaluations": 1, "output.preset": "ultrafast", "losses.style.layers": {"relu1_1": 1}}
SIZE = (40, 32)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three photos, a clip and four style images; the current one."""
    for index in range(3):
        Image.fromarray(texture(SIZE, index)).save(tmp_path / f"p{index}.png")
    for index in range(4):
        Image.fromarray(texture(SIZE, 50 + index)).save(tmp_path / f"s{index}.jpg")
    write_photos(tmp_path / "lake", moving_square(3, size=SIZE))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def queue_of(home: Path, photos: int = 3, images: int = 4, **data: Any) -> Queue:
    data = {
        "inputs": [f"p{index}.png" for index in range(photos)],
        "styles": [f"s{index}.jpg" for index in range(images)],
        **data,
        "set": {**QUICK, **data.get("set", {})},
    }
    return make_queue(parse_queue(data, where="test"), home, home / "out")


def work(queue: Queue, **options: Any) -> run.QueueResult:
    return run.run_queue(queue, SilentReporter(), Cancellation(), **options)


def states(result: run.QueueResult) -> list[str]:
    return [outcome.state for outcome in result.outcomes]


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Any]:
    """The first arguments of all calls of a function from now on."""
    calls: list[Any] = []
    function: Callable[..., Any] = getattr(module, name)

    def count(first: Any, *others: Any, **options: Any) -> Any:
        calls.append(first)
        return function(first, *others, **options)

    monkeypatch.setattr(module, name, count)
    return calls


def killed_at(monkeypatch: pytest.MonkeyPatch, number: int, stop: Callable[[], None]) -> None:
    """Call `stop` instead of beginning the render with this number."""
    numbers = iter(range(number + 1))
    function: Callable[..., list[Path]] = vars(run)["render"]

    def render(*arguments: Any, **options: Any) -> list[Path]:
        if next(numbers) == number:
            stop()
        return function(*arguments, **options)

    monkeypatch.setattr(run, "render", render)


def test_killed_queue_goes_on_and_does_nothing_twice(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill() -> None:
        raise Killed

    with monkeypatch.context() as patch:
        killed_at(patch, 5, kill)
        with pytest.raises(Killed):
            work(queue_of(home))
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (home / "out").glob("*.png")}
    assert len(before) == 5
    rendered = counted(monkeypatch, run, "render")
    encoders = counted(monkeypatch, loaded, "find_resources")
    stylers = counted(monkeypatch, session, "build_stylers")
    result = work(queue_of(home))
    assert states(result) == ["done"] * 12
    assert [request.output.name for request in rendered] == [f"p{p}-s{s}.png" for p in range(3) for s in range(4)][5:]
    assert (len(encoders), len(stylers)) == (1, 4)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before
    rendered.clear()
    assert states(work(queue_of(home))) == ["done"] * 12 and rendered == [] and len(encoders) == 1


def test_a_render_with_curves_is_done_until_the_curves_change(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def queue(last: float) -> Queue:
        curve = [{"at": 0, "value": 0.5}, {"at": 2, "value": last}]
        return queue_of(home, 0, 1, inputs=["lake"], set={"losses.tv.weight": curve})

    assert states(work(queue(3))) == ["done"]
    rendered = counted(monkeypatch, run, "render")
    assert states(work(queue(3))) == ["done"] and rendered == []
    assert states(work(queue(4))) == ["failed"] and len(rendered) == 1  # which says what differs


def test_results_are_those_of_single_renders(home: Path) -> None:
    Image.fromarray(texture((56, 44), 9)).save(home / "p1.png")
    work(queue_of(home, 2, 1))
    quick = [f"--set={key}={json.dumps(value)}" for key, value in QUICK.items()]
    for index in range(2):
        assert cli.run(["render", f"p{index}.png", "-s", "s0.jpg", "-o", "one.png", *quick, "--fresh"]) == 0
        assert (home / "one.png").read_bytes() == (home / f"out/p{index}-s0.png").read_bytes()


def test_interrupted_queue_says_how_to_go_on_and_reports(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cancellation = Cancellation()
    with monkeypatch.context() as patch:
        killed_at(patch, 1, cancellation.request)
        with pytest.raises(Interrupted) as caught:
            run.run_queue(queue_of(home, 2, 2), SilentReporter(), cancellation)
    assert caught.value.message == "1 of 4 jobs are done" and "same command" in caught.value.hint
    assert json.loads((home / "out/report.json").read_text())["states"] == {"done": 1, "failed": 0, "left": 3}
    assert states(work(queue_of(home, 2, 2))) == ["done"] * 4


def test_job_with_other_settings_fails_with_a_hint_that_a_queue_can_follow(home: Path) -> None:
    queue = queue_of(home, 1, 1, set={"seed": 0})
    work(queue)
    (outcome,) = work(queue_of(home, 1, 1, set={"seed": 5})).outcomes
    assert outcome.error is not None and "seed: there 0, now 5" in outcome.error.message
    assert "another folder" in outcome.error.hint and "--fresh" not in outcome.error.hint
    assert states(work(queue)) == ["done"]


def test_file_in_the_place_of_the_folder_is_refused(home: Path) -> None:
    (home / "out").write_text("mine")
    with pytest.raises(UsageError, match="out: is a file"):
        work(queue_of(home, 1, 1))
    assert (home / "out").read_text() == "mine"


def test_job_that_fails_is_reported_and_the_others_go_on(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "p1.png").write_bytes((home / "p1.png").read_bytes()[:200])
    name = "<b>&'\" été"
    shutil.copy("p0.png", f"{name}.png")
    quick = [f"--set={key}={json.dumps(value)}" for key, value in QUICK.items()]
    command = ["queue", "gone.png", "p1.png", f"{name}.png", "-s", "s0.jpg", "-o", "out", "--progress", "plain", *quick]
    assert cli.run(command) == 9
    captured = capsys.readouterr()
    assert "2 of 3 jobs failed" in captured.err and "gone.png: no such file" in captured.err
    assert captured.out.splitlines() == ["out/contact-sheet.png", "out/report.html"]
    assert (home / f"out/{name}-s0.png").is_file()
    report = json.loads((home / "out/report.json").read_text())
    assert [row["state"] for row in report["jobs"]] == ["failed", "failed", "done"]
    assert all(row["error"] and row["hint"] for row in report["jobs"][:2])
    done = report["jobs"][2]
    assert done["bytes"] == (home / f"out/{name}-s0.png").stat().st_size
    assert (done["frames"], done["evaluations"]) == (1, 2) and done["seconds"] > 0 and done["loss"] > 0
    page = (home / "out/report.html").read_text()
    assert "<b>" not in page and "&lt;b&gt;&amp;" in page and "gone.png: no such file" in page
    assert 'src="thumbnails/results/%3Cb%3E%26' in page
    shutil.copy("p0.png", "p1.png")
    shutil.copy("p0.png", "gone.png")
    assert cli.run(command) == 0


def test_second_process_is_refused(home: Path) -> None:
    (home / "out/renders").mkdir(parents=True)
    command = ["queue", "p0.png", "-s", "s0.jpg", "-o", "out", "--encoder", "tiny"]
    with RenderLock(home / "out/renders"):
        assert cli.run(command) == 5
    assert not list((home / "out").glob("*.png"))


def test_foreign_files_stay_as_they_are(home: Path) -> None:
    (home / "out").mkdir()
    (home / "out/p0-s0.png").write_bytes(b"mine")
    result = work(queue_of(home, 1, 2))
    assert states(result) == ["failed", "done"] and (home / "out/p0-s0.png").read_bytes() == b"mine"
    for name in ("report.json", "report.html", "contact-sheet.png"):
        shutil.rmtree("out")
        (home / "out").mkdir()
        (home / "out" / name).write_bytes(b"mine")
        assert cli.run(["queue", "p0.png", "-s", "s0.jpg", "-o", "out", "--encoder", "tiny"]) == 2
        assert tree(home / "out") == {name: b"mine"}


def test_job_with_other_settings_fails_and_names_them(home: Path) -> None:
    work(queue_of(home, 1, 1))
    before = (home / "out/p0-s0.png").read_bytes()
    result = work(queue_of(home, 1, 1, set={"seed": 4}))
    error = result.outcomes[0].error
    assert error is not None and "styles.s0.seed: there 0, now 4" in error.message
    assert (home / "out/p0-s0.png").read_bytes() == before
    assert states(work(queue_of(home, 1, 1, width=32))) == ["failed"]
    assert states(work(queue_of(home, 1, 1))) == ["done"]


@pytest.mark.parametrize("change", ["result", "input", "style", "finish"])
def test_job_is_done_only_with_what_it_was_written_from(
    home: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(queue_of(home, 1, 2))
    rendered = counted(monkeypatch, run, "render")
    settings = {}
    if change == "result":
        (home / "out/p0-s0.png").unlink()
    elif change == "finish":
        settings = {"output.finish.sharpen": 0.5}
    else:
        Image.fromarray(texture(SIZE, 77)).save(home / {"input": "p0.png", "style": "s0.jpg"}[change])
    result = work(queue_of(home, 1, 2, set=settings))
    again = {"result": ["p0-s0"], "style": ["p0-s0"], "input": ["p0-s0", "p0-s1"], "finish": ["p0-s0", "p0-s1"]}
    assert [request.output.stem for request in rendered] == again[change]
    failing = {"style": ["failed", "done"], "input": ["failed", "failed"]}
    assert states(result) == failing.get(change, ["done", "done"])


def test_cleaned_queue_keeps_its_results_and_is_done(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work(queue_of(home, 2, 1))
    work(queue_of(home, 2, 1), clean_up=True)  # also what was done before
    assert not list((home / "out/renders").rglob("*.png"))
    rendered = counted(monkeypatch, run, "render")
    assert states(work(queue_of(home, 2, 1), clean_up=True)) == ["done"] * 2 and rendered == []
    report = json.loads((home / "out/report.json").read_text())
    assert all(row["evaluations"] == 2 for row in report["jobs"])


def test_clips_become_videos_and_photos_pictures(home: Path) -> None:
    queue = queue_of(home, inputs=["lake", {"path": "lake/shot_001.png", "name": "first"}], styles=["s0.jpg"])
    assert states(work(queue)) == ["done", "done"]
    assert sorted(path.name for path in (home / "out").glob("*-s0.*")) == ["first-s0.png", "lake-s0.mp4"]
    assert states(work(queue)) == ["done", "done"]
    assert load_rgb(home / "out/thumbnails/results/lake-s0.jpg").shape == (SIZE[1], SIZE[0], 3)


def test_weights_that_are_missing_stop_the_queue_before_any_work(home: Path) -> None:
    command = ["queue", "p0.png", "-s", "s0.jpg", "-o", "out", "--encoder", "vgg19", "--weights", "gone.pth"]
    assert cli.run(command) == 6
    assert not (home / "out/report.json").exists()


def test_time_left_is_that_of_jobs_of_this_session(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 100, 5))
    monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    notes: list[str] = []
    reporter = SilentReporter()
    monkeypatch.setattr(reporter, "note", notes.append)
    Image.fromarray(texture((80, 64), 1)).save(home / "p1.png")
    queue = queue_of(home, 2, 1, set={"output.preset": "medium"})
    run.run_queue(queue, reporter, Cancellation())
    first, second = (expected_work(job.style, InputFacts(queue).of(job).size, 1, 0) for job in queue.jobs)
    assert notes == [
        "2 jobs",
        f"1 of 2: p0-s0.png, 5.0 s; left {round(5 * second / first)} s",
        "2 of 2: p1-s0.png, 5.0 s",
    ]


@pytest.fixture
def large(home: Path) -> Iterator[Queue]:
    """63 photos in 40 styles."""
    for index in range(63):
        os.link(home / f"p{index % 3}.png", home / f"photo{index}.png")
    styles = [{"style": f"s{index % 4}.jpg", "name": f"style{index}"} for index in range(40)]
    yield queue_of(home, inputs=["photo*.png"], styles=styles)


def test_large_queue_is_planned_without_writing(large: Queue, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecasts, "_measured_rate", lambda *_: 2e-4)
    before = tree(home)
    found = forecast(large, Loaded())
    assert (found.inputs, found.styles, found.jobs, found.new, found.stills) == (63, 40, 2520, 2520, 2520)
    assert (found.cold_frames, found.warm_frames, found.basis) == (2520, 0, "measured")
    pixels = SIZE[0] * SIZE[1]
    assert found.seconds == pytest.approx(2520 * 2 * (pixels + OVERHEAD_PX) * 2e-4)
    assert found.bytes_left == pytest.approx(2520 * pixels * (2.2 + 2.3))
    assert found.in_words() == "63 inputs x 40 styles = 2,520 pictures, about 10 h 26 min, 14.5 MB"
    assert forecast(large, Loaded(), clean=True).bytes_left == pytest.approx(2520 * pixels * 2.3)
    assert tree(home) == before


def test_forecast_is_measured_and_then_known_from_jobs_that_are_done(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = forecast(queue_of(home), Loaded())
    assert first.basis == "measured" and first.seconds is not None and first.seconds > 0
    work(queue_of(home, 3, 1))
    for path in (home / "out/renders").glob("*/stats.jsonl"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": 7}))
    monkeypatch.setattr(forecasts, "_measured_rate", lambda *_: pytest.fail("nothing is to be measured"))
    found = forecast(queue_of(home), Loaded())
    assert (found.done, found.begun, found.new, found.basis) == (3, 0, 9, "done")
    assert found.seconds == pytest.approx(9 * 7)
    assert "12 pictures, 9 left, about 1 min 03 s" in found.in_words()
    quick = [f"--set={key}={json.dumps(value)}" for key, value in QUICK.items()]
    styles = [word for index in range(4) for word in ("-s", f"s{index}.jpg")]
    command = ["queue", "p0.png", "p1.png", "p2.png", *styles, "-o", "out", *quick, "--dry-run"]
    assert cli.run([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["seconds"] == pytest.approx(63) and printed["words"] == found.in_words()
    assert cli.run(command) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [found.in_words(), "jobs    3 done, 0 begun, 9 new"]


def test_forecast_fetches_no_weights(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.encoders.fetch.weights_path", lambda name: home / "none" / name)
    found = forecast(queue_of(home, 1, 1, set={"encoder": "vgg16"}), Loaded())
    assert (found.seconds, found.basis) == (None, "unknown")
    assert "time unknown" in found.in_words() and "tempera weights fetch" in "\n".join(found.lines())


def test_forecast_counts_inputs_that_cannot_be_rendered_and_frames_of_clips(home: Path) -> None:
    queue = queue_of(home, inputs=["lake", "gone.png"], styles=["s0.jpg", "s1.jpg"])
    found = forecast(queue, Loaded())
    assert (found.new, found.failing, found.clips, found.stills) == (2, 2, 2, 0)
    assert (found.cold_frames, found.warm_frames) == (2, 4)


def test_seconds_are_unknown_where_a_rate_is(home: Path) -> None:
    style = queue_of(home).styles[0]
    assert seconds_of({cost_key(style): 2.0}, {cost_key(style): 3.0}) == 6
    assert seconds_of({cost_key(style): 2.0}, {}) is None
    assert seconds_of({}, {}) == 0


def test_sheets_are_split_and_shrunk_to_stay_below_their_limits(
    large: Queue, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "_SHEET_SIDE_PX", 1200)
    (home / "out").mkdir()
    thumbnail = pictures.input_thumbnail(large, large.inputs[5])
    thumbnail.parent.mkdir(parents=True)
    Image.fromarray(texture((256, 128), 1)).save(thumbnail)
    sheets = pictures.write_sheets(large, set())
    images = [load_rgb(sheet) for sheet in sheets]
    assert [sheet.name for sheet in sheets[:2]] == ["contact-sheet.png", "contact-sheet-2.png"] and len(sheets) > 2
    # Cells do not get smaller than 48 px, so that 41 columns are wider than the limit.
    assert all(image.shape[1] == 41 * (48 + GAP_PX) + GAP_PX and image.shape[0] <= 1200 for image in images)
    one_row = 48 + 3 * CAPTION_PX + 2 * GAP_PX
    assert max(image.shape[0] for image in images) - min(image.shape[0] for image in images) <= one_row


def test_sheet_has_a_row_for_each_input_and_a_column_for_each_style(home: Path) -> None:
    for index in range(2):
        size = (256, 192) if index else (192, 256)
        Image.new("RGB", size, (200, 0, 0)).save(home / f"p{index}.png")
    queue = queue_of(home, 2, 1)
    for each in queue.inputs:
        path = pictures.input_thumbnail(queue, each)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(home / each.path, path)
    for job in queue.jobs[:1]:
        path = pictures.result_thumbnail(queue, job)
        path.parent.mkdir(parents=True)
        Image.new("RGB", (192, 256), (0, 0, 200)).save(path, "PNG")
    (sheet,) = pictures.write_sheets(queue, {queue.jobs[0].name})
    rgb = load_rgb(sheet).astype(int)
    red, blue = (np.argwhere(np.abs(rgb - color).sum(-1) < 40) for color in ((200, 0, 0), (0, 0, 200)))
    assert len(red) == 2 * 192 * 256 and len(blue) == 192 * 256  # the second result is left empty
    assert blue[:, 1].min() - red[:, 1].min() == 256 + GAP_PX + 32  # columns have one width


def test_words_of_a_forecast_fit_what_is_in_it() -> None:
    def words(**changes: Any) -> str:
        figures = dict.fromkeys(Forecast.__dataclass_fields__, 0) | {"inputs": 2, "styles": 3, "jobs": 6, **changes}
        return Forecast(**figures).in_words()

    assert words(stills=6, seconds=40800, bytes_left=4_100_000_000) == (
        "2 inputs x 3 styles = 6 pictures, about 11 h 20 min, 4.1 GB"
    )
    assert words(clips=6, seconds=None) == "2 inputs x 3 styles = 6 videos, time unknown, 0 bytes"
    assert words(clips=1, stills=4, jobs=5).startswith("2 inputs x 3 styles without what is skipped: 5 results")


def test_digest_of_a_style_image_is_taken_again_when_the_file_has_changed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Loaded()
    taken = counted(monkeypatch, loaded, "image_digest")
    first = kept.image_digest(home / "s0.jpg")
    assert kept.image_digest(home / "s0.jpg") == first and len(taken) == 1
    Image.fromarray(texture((30, 30), 8)).save(home / "s0.jpg")
    assert kept.image_digest(home / "s0.jpg") != first


def test_shared_stylers_are_given_up_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded, "MOST_STYLERS", 2)
    built = Counter[str]()
    kept = Loaded()

    def build(name: str) -> PaletteStyler:
        built[name] += 1
        return PaletteStyler([texture(SIZE, 1)], 2, 0)

    for name in "abacab":
        kept.styler(name, partial(build, name))
    assert built == {"a": 1, "b": 2, "c": 1}


def test_forecast_leaves_out_frames_that_are_stored(home: Path) -> None:
    queue = queue_of(home, inputs=["lake"], styles=["s0.jpg"])
    work(queue)
    (home / "out/lake-s0.mp4").unlink()
    whole = forecast(queue, Loaded())
    assert (whole.begun, whole.cold_frames, whole.warm_frames, whole.seconds) == (1, 0, 0, 0)
    next((home / "out/renders").rglob("00000002.png")).unlink()
    found = forecast(queue, Loaded())
    assert (found.begun, found.cold_frames, found.warm_frames) == (1, 0, 1)
    assert found.bytes_left > whole.bytes_left


def test_moved_queue_is_done(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is reached through a link."""
    (home / "here").mkdir()
    for name in ("p0.png", "s0.jpg"):
        (home / name).rename(home / "here" / name)
    work(queue_of(home / "here", 1, 1))
    (home / "here").rename(home / "there")
    (home / "link").symlink_to(home / "there")
    rendered = counted(monkeypatch, run, "render")
    for folder in ("there", "link"):
        assert states(work(queue_of(home / folder, 1, 1))) == ["done"]
    assert rendered == []

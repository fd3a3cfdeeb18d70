"""Evaluating a render: measures against closed forms, and the command on little renders."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline import cli
from pipeline.errors import Interrupted, MissingPartError, RenderDirectoryError, UsageError
from pipeline.evaluate.figures import StyleEvaluation
from pipeline.evaluate.measures import (
    LEAST_TRUSTED,
    drift_per_100_frames,
    mean_luma,
    measure_motion,
    sharpness,
    temporal_error,
)
from pipeline.evaluate.plot import check_plot
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.types import Motion
from pipeline.workflows.evaluate import evaluate
from tests.support.clips import moving_square, texture, write_photos, write_video

RGB = NDArray[np.uint8]
FRAMES, CUT = 14, 12
SETTINGS = ["optimize.cold.evaluations=2", "optimize.cold.min_scale_px=32", "output.preset=ultrafast"]
SETTINGS += ["optimize.warm.evaluations=2", "optimize.warm.min_evaluations=1", "input.deflicker=0"]


def motion(
    size: tuple[int, int], flow: tuple[float, float] = (0, 0), confidence: NDArray[np.float32] | None = None
) -> Motion:
    """The same motion everywhere; `size` is (height, width)."""
    trusted = np.ones(size, np.float32) if confidence is None else confidence
    return Motion(0, 1, np.broadcast_to(np.asarray(flow, np.float32), (*size, 2)).copy(), trusted)


def flat(value: int, size: tuple[int, int] = (20, 30)) -> RGB:
    return np.full((*size, 3), value, np.uint8)


# --- the measures


def test_the_temporal_error_of_a_constant_offset_is_its_square() -> None:
    assert temporal_error(flat(100), flat(151), motion((20, 30))) == pytest.approx(0.04, abs=1e-6)
    assert temporal_error(flat(100), flat(100), motion((20, 30))) == 0


def test_the_temporal_error_is_the_definition_of_the_docstring() -> None:
    random = np.random.default_rng(0)
    earlier, current = random.integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)
    weights = random.random((20, 30), dtype=np.float32)
    squared = ((current / 255.0 - earlier / 255.0) ** 2).mean(axis=2)
    expected = (weights * squared).sum() / weights.sum()
    found = temporal_error(earlier, current, motion((20, 30), confidence=weights))
    assert found == pytest.approx(expected, rel=1e-5)


def test_what_moves_with_the_content_is_no_error() -> None:
    wide = np.random.default_rng(1).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    earlier, current = wide[:, 3:33], wide[:, :30]  # moved by 3 px to the right
    trusted = np.ones((20, 30), np.float32)
    trusted[:, :3] = 0
    followed = temporal_error(earlier, current, motion((20, 30), (-3, 0), trusted))
    assert followed == pytest.approx(0, abs=1e-9)
    stuck = temporal_error(earlier, current, motion((20, 30), (0, 0), trusted))
    assert stuck is not None and stuck > 0.1


def test_only_trusted_pixels_count_and_too_few_say_nothing() -> None:
    current = flat(0)
    current[:, 10:] = 255
    trusted = np.zeros((20, 30), np.float32)
    trusted[:, :20] = 1
    assert temporal_error(flat(0), current, motion((20, 30), confidence=trusted)) == pytest.approx(0.5)
    assert temporal_error(flat(0), current, motion((20, 30), confidence=trusted * 0)) is None
    assert temporal_error(flat(0), current, motion((20, 30), confidence=trusted * 0.9 * LEAST_TRUSTED)) is None


def test_motion_is_measured_from_the_current_frame_to_the_earlier_one() -> None:
    wide = texture((150, 96), 3)
    found = measure_motion(wide[:, 5:133], wide[:, 2:130], from_index=4, to_index=5)
    assert (found.from_index, found.to_index) == (4, 5)
    middle = found.backward_flow[16:-16, 16:-16]
    assert np.median(middle[..., 0]) == pytest.approx(-3, abs=0.15)
    assert np.median(middle[..., 1]) == pytest.approx(0, abs=0.1)
    assert found.confidence[16:-16, 16:-16].mean() > 0.8


def test_a_still_picture_has_no_motion_and_is_trusted() -> None:
    still = texture((96, 64), 3)
    found = measure_motion(still, still, from_index=0, to_index=1)
    assert np.abs(found.backward_flow[16:-16, 16:-16]).max() < 1e-3  # OpenCV is not exact at the border
    assert found.confidence[16:-16, 16:-16].min() == 1


def test_sharpness_of_a_checkerboard_and_of_nothing() -> None:
    board = np.indices((20, 30)).sum(axis=0) % 2
    checkerboard = np.repeat((board * 255).astype(np.uint8)[..., None], 3, axis=2)
    assert sharpness(checkerboard) == pytest.approx(16)
    assert sharpness(flat(77)) == pytest.approx(0, abs=1e-9)
    assert sharpness(checkerboard // 2) == pytest.approx(16 * (127 / 255) ** 2, rel=1e-4)


def test_luma_is_bt709() -> None:
    green = flat(0)
    green[..., 1] = 200
    assert mean_luma(green) == pytest.approx(0.7152 * 200, rel=1e-4)
    assert mean_luma(flat(90)) == pytest.approx(90, rel=1e-4)


def test_the_drift_is_a_slope_that_a_flash_does_not_sway() -> None:
    frames = list(range(10, 60))
    values = [0.02 * frame for frame in frames]
    assert drift_per_100_frames(frames, values) == pytest.approx(2)
    values[20:26] = [80.0] * 6
    assert drift_per_100_frames(frames, values) == pytest.approx(2, abs=0.2)
    assert drift_per_100_frames([3], [1.0]) is None
    assert drift_per_100_frames([3, 5], [1.0, 2.0]) == pytest.approx(50)
    many = list(range(3000))
    assert drift_per_100_frames(many, [-0.01 * frame for frame in many]) == pytest.approx(-1)


# --- whole renders


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    write_video(folder / "clip.mp4", moving_square(FRAMES, size=(64, 48), cut_at=CUT))
    write_photos(folder / "still", [texture((64, 48), 5)] * 4)
    Image.fromarray(texture((64, 48), 50)).save(folder / "paint.png")
    return folder


def render(media: Path, folder: Path, name: str, *sets: str, encoder: str = "tiny") -> Path:
    settings = [f"--set={setting}" for setting in (*SETTINGS, *sets)]
    paint = ["--style", str(media / "paint.png"), "--encoder", encoder, "--progress", "none"]
    assert cli.run(["render", str(media / name), *paint, *settings, "-o", str(folder / "v.mp4")]) == 0
    return folder / "v.render"


@pytest.fixture(scope="module")
def rendered(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished render with a cut; copy it before changing it."""
    return render(media, tmp_path_factory.mktemp("rendered"), "clip.mp4")


@pytest.fixture(scope="module")
def whole(rendered: Path) -> StyleEvaluation:
    """All that can be said about it."""
    return evaluate(rendered, frames=(0, FRAMES), reporter=SilentReporter()).styles[0]


def test_every_row_covers_the_asked_frames(whole: StyleEvaluation) -> None:
    assert [row.name for row in whole.rows] == ["render", "input", "independent", "warm without flow"]
    for row in whole.rows:
        assert [figures.frame for figures in row.frames] == list(range(FRAMES))
        assert row.temporal_error is not None and row.long_error is not None and row.loss is not None
        for figures in row.frames:
            assert (figures.temporal_error is None) == (figures.frame in (0, CUT))
            assert (figures.long_error is None) == (figures.frame < 10 or figures.frame >= CUT)
    assert whole.trusted is not None and 0.05 < whole.trusted <= 1


def test_an_independent_frame_is_the_frame_that_a_render_begins_with(whole: StyleEvaluation) -> None:
    """Same seed, same settings: where the render itself started cold, both are the same picture."""
    ours, cold = whole.row("render"), whole.row("independent")
    assert ours is not None and cold is not None
    for index in (0, CUT):
        assert cold.frames[index].loss == ours.frames[index].loss
        assert cold.frames[index].sharpness == ours.frames[index].sharpness
    assert cold.frames[3].loss != ours.frames[3].loss


def test_rows_tell_steady_from_unsteady(whole: StyleEvaluation) -> None:
    rows = {row.name: row for row in whole.rows}
    cold, still = rows["independent"].temporal_error, rows["input"].temporal_error
    assert cold is not None and still is not None
    assert cold > 2 * still
    assert rows["input"].luma_drift == 0
    assert rows["input"].content_loss == pytest.approx(0, abs=1e-6)
    assert whole.first_cold_frame == 0


def test_what_was_measured_does_not_depend_on_the_baselines(rendered: Path, whole: StyleEvaluation) -> None:
    bare = evaluate(rendered, frames=(0, FRAMES), baselines=False, reporter=SilentReporter()).styles[0]
    assert bare.rows == whole.rows[:2]


def test_the_default_is_a_window_in_the_longest_shot_and_drift_over_all_of_it(
    rendered: Path, whole: StyleEvaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.workflows.evaluate.WINDOW_FRAMES", 4)
    found = evaluate(rendered, baselines=False, reporter=SilentReporter()).styles[0]
    assert (found.start, found.stop) == (4, 8)
    ours, full = found.row("render"), whole.row("render")
    assert ours is not None and full is not None
    assert [figures.luma for figures in ours.frames] == [figures.luma for figures in full.frames[:CUT]]
    compared = [figures.frame for figures in ours.frames if figures.temporal_error is not None]
    assert compared == [5, 6, 7]
    assert ours.luma_drift is not None


def test_cold_frames_may_be_sampled(rendered: Path, whole: StyleEvaluation) -> None:
    some = evaluate(rendered, frames=(2, 8), cold_frames=[3, 4, 99], reporter=SilentReporter()).styles[0]
    cold, every = some.row("independent"), whole.row("independent")
    assert cold is not None and every is not None
    assert [figures.frame for figures in cold.frames] == [3, 4]
    assert cold.frames[1].temporal_error == every.frames[4].temporal_error
    assert cold.frames[0].temporal_error is None


def test_a_still_clip_painted_warm_stays_still(media: Path, tmp_path: Path) -> None:
    found = evaluate(render(media, tmp_path, "still"), reporter=SilentReporter()).styles[0]
    errors = {row.name: row.temporal_error for row in found.rows}
    assert errors["input"] == pytest.approx(0, abs=1e-6)
    assert errors["render"] is not None and errors["independent"] is not None
    assert errors["render"] < errors["independent"] / 5
    assert found.trusted is not None and found.trusted > 0.9


def test_frames_that_are_missing_are_left_out(rendered: Path, tmp_path: Path) -> None:
    copy = copied(rendered, tmp_path)
    for index in (0, 4, *range(9, FRAMES)):
        stored_frame(copy, index).unlink()
    found = evaluate(copy, baselines=False, reporter=SilentReporter()).styles[0]
    assert (found.start, found.stop, found.first_cold_frame) == (5, 9, 1)
    gap = evaluate(copy, frames=(2, 7), reporter=SilentReporter()).styles[0]
    for row in gap.rows:
        assert [figures.frame for figures in row.frames] == [2, 3, 5, 6]
        assert [figures.temporal_error is None for figures in row.frames] == [True, False, True, False]


def test_stylers_without_an_objective_have_no_losses(media: Path, tmp_path: Path) -> None:
    found = evaluate(render(media, tmp_path, "still", "styler=palette"), reporter=SilentReporter()).styles[0]
    assert len(found.rows) == 4
    for row in found.rows:
        assert row.loss is row.content_loss is row.style_loss is None
        assert row.sharpness is not None and row.temporal_error is not None


def test_nothing_is_written_into_the_render(rendered: Path, tmp_path: Path) -> None:
    copy = copied(rendered, tmp_path)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    evaluate(copy, frames=(0, 3), reporter=SilentReporter())
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_a_changed_input_or_painting_is_refused(media: Path, tmp_path: Path) -> None:
    mine = tmp_path / "media"
    shutil.copytree(media, mine)
    path = render(mine, tmp_path, "still")
    Image.fromarray(texture((64, 48), 99)).save(mine / "paint.png")
    with pytest.raises(RenderDirectoryError, match=r"images\.0\.digest"):
        evaluate(path, reporter=SilentReporter())
    shutil.copy(media / "paint.png", mine / "paint.png")
    write_photos(mine / "still", [texture((64, 48), 6)] * 4)
    with pytest.raises(RenderDirectoryError, match=r"source\.digest"):
        evaluate(path, reporter=SilentReporter())


def test_evaluate_ends_when_an_end_is_requested(rendered: Path) -> None:
    cancellation = Cancellation()
    cancellation.request()
    with pytest.raises(Interrupted):
        evaluate(rendered, reporter=SilentReporter(), cancellation=cancellation)


@pytest.mark.parametrize("frames", [(3, 3), (5, 2), (0, FRAMES + 1), (FRAMES, None)])
def test_a_range_outside_the_render_is_refused(rendered: Path, frames: tuple[int | None, int | None]) -> None:
    with pytest.raises(UsageError, match=f"0:{FRAMES}"):
        evaluate(rendered, frames=frames, reporter=SilentReporter())


# --- the command


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = cli.run(["evaluate", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_table_has_a_line_for_every_way_of_painting(rendered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, rendered, "--frames", "0:4", "--progress", "none")
    assert code == 0
    assert out.endswith("\n")
    lines = out.splitlines()
    for name in ("render", "input", "independent", "warm without flow"):
        assert sum(line.startswith(f"{name}  ") for line in lines) == 1


def test_json_alone_is_printed(rendered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, rendered, "--json", "--no-baselines", "--frames", ":3", "--progress", "plain")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    (style,) = found["styles"]
    assert [row["name"] for row in style["rows"]] == ["render", "input"]
    assert style["rows"][0]["frames"][1]["temporal_error"] == style["rows"][0]["frames"][1]["temporal_error"] > 0


def test_an_empty_render_is_refused_with_a_hint(
    rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = copied(rendered, tmp_path)
    shutil.rmtree(copy / "frames")
    code, out, err = command(capsys, copy)
    assert (code, out) == (5, "")
    assert "Traceback" not in err and "tempera resume" in err
    assert command(capsys, tmp_path)[0] == 5
    assert command(capsys, rendered, "--frames", "7")[0] == 2
    assert command(capsys, rendered, "--plot", "figures.txt")[0] == 2


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="the extra `plot` is not installed")
@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_plot_is_drawn(
    rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str, magic: bytes
) -> None:
    plot = tmp_path / "new" / f"figures.{suffix}"
    code, _, _ = command(capsys, rendered, "--frames", "0:3", "--no-baselines", "--plot", plot, "--progress", "none")
    assert code == 0
    assert plot.read_bytes().startswith(magic)
    (tmp_path / "file").write_text("in the way")
    blocked = tmp_path / "file" / f"figures.{suffix}"
    assert command(capsys, rendered, "--frames", "0:2", "--no-baselines", "--plot", blocked)[0] == 8


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPartError) as caught:
        check_plot(Path("figures.png"))
    assert "pip install" in caught.value.hint
    assert caught.value.exit_code == 6


def test_farneback_follows_a_real_scene(data: Callable[[str], Path]) -> None:
    """On marple8 the moved photo is within 0.0003 of the next one, over most of the picture."""
    first, second = (np.asarray(Image.open(data(f"flow/marple8/marple8_0{i}.ppm")).convert("RGB")) for i in (1, 2))
    found = measure_motion(first, second, from_index=0, to_index=1)
    error = temporal_error(first, second, found)
    assert error is not None and error < 0.0003
    assert found.confidence.mean() > 0.75


def copied(rendered: Path, folder: Path) -> Path:
    """A copy beside which the relative paths of the plan still lead to the input."""
    target = rendered.parent / f"{folder.name}.render"
    shutil.copytree(rendered, target)
    return target


def stored_frame(path: Path, index: int) -> Path:
    (found,) = (path / "frames").glob(f"*/{index:08d}.png")
    return found

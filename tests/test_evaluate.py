"""Evaluating a render: the rows, the range, what is refused, and the command, on small renders."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import cli
from pipeline.errors import Interrupted, MissingPartError, RenderDirectoryError, UsageError
from pipeline.evaluate.figures import StyleEvaluation
from pipeline.evaluate.plot import check_plot
from pipeline.media.image.png import encode_png
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.store.directory import RenderDirectory
from pipeline.workflows.evaluate import evaluate
from tests.support.clips import moving_square, texture, write_photos, write_video
from tests.support.following import fade_to_black

FRAMES, CUT = 14, 12
SETTINGS = ["optimize.cold.evaluations=2", "optimize.cold.min_scale_px=32", "output.preset=ultrafast"]
SETTINGS += ["optimize.warm.evaluations=2", "optimize.warm.min_evaluations=1", "input.deflicker=0"]
SETTINGS += ["losses.style.layers={relu1_1: 64, relu2_1: 16}"]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    write_video(folder / "clip.mp4", moving_square(FRAMES, size=(64, 48), cut_at=CUT))
    write_photos(folder / "still", [texture((64, 48), 5)] * 4)
    Image.fromarray(texture((64, 48), 50)).save(folder / "style.png")
    return folder


def render(media: Path, folder: Path, name: str, *sets: str, encoder: str = "tiny") -> Path:
    settings = [f"--set={setting}" for setting in (*SETTINGS, *sets)]
    style = ["--style", str(media / "style.png"), "--encoder", encoder, "--progress", "none"]
    assert cli.run(["render", str(media / name), *style, *settings, "-o", str(folder / "v.mp4")]) == 0
    return folder / "v.render"


@pytest.fixture(scope="module")
def rendered(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished render with a cut; copy it before changing it."""
    return render(media, tmp_path_factory.mktemp("rendered"), "clip.mp4")


@pytest.fixture(scope="module")
def whole(rendered: Path) -> StyleEvaluation:
    """The evaluation of all its frames."""
    return evaluate(rendered, frames=(0, FRAMES), reporter=SilentReporter()).styles[0]


def test_every_row_covers_the_requested_frames(whole: StyleEvaluation) -> None:
    assert [row.name for row in whole.rows] == ["render", "input", "independent", "warm without flow"]
    for row in whole.rows:
        assert [figures.frame for figures in row.frames] == list(range(FRAMES))
        assert row.temporal_error is not None and row.long_error is not None and row.loss is not None
        for figures in row.frames:
            assert (figures.temporal_error is None) == (figures.frame in (0, CUT))
            assert (figures.long_error is None) == (figures.frame < 10 or figures.frame >= CUT)
    assert whole.mean_confidence is not None and 0.05 < whole.mean_confidence <= 1


def test_independent_frame_is_the_cold_frame_of_the_render(whole: StyleEvaluation) -> None:
    """Same seed, same settings: where the render itself started cold, both are the same image."""
    render, cold = whole.row("render"), whole.row("independent")
    assert render is not None and cold is not None
    for index in (0, CUT):
        assert cold.frames[index].loss == render.frames[index].loss
        assert cold.frames[index].sharpness == render.frames[index].sharpness
    assert cold.frames[3].loss != render.frames[3].loss


def test_temporal_error_of_independent_frames_is_higher_than_the_input(whole: StyleEvaluation) -> None:
    rows = {row.name: row for row in whole.rows}
    cold, still = rows["independent"].temporal_error, rows["input"].temporal_error
    assert cold is not None and still is not None
    assert cold > 2 * still
    assert rows["input"].luma_drift == 0
    assert rows["input"].content_loss == pytest.approx(0, abs=1e-6)
    assert whole.first_cold_frame == 0


def test_rows_of_render_and_input_do_not_depend_on_the_baselines(rendered: Path, whole: StyleEvaluation) -> None:
    bare = evaluate(rendered, frames=(0, FRAMES), baselines=False, reporter=SilentReporter()).styles[0]
    assert bare.rows == whole.rows[:2]


def test_default_is_a_window_in_the_longest_shot_and_drift_over_all_of_it(
    rendered: Path, whole: StyleEvaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.workflows.evaluate.WINDOW_FRAMES", 4)
    found = evaluate(rendered, baselines=False, reporter=SilentReporter()).styles[0]
    assert (found.start, found.stop) == (4, 8)
    part, full = found.row("render"), whole.row("render")
    assert part is not None and full is not None
    assert [figures.luma for figures in part.frames] == [figures.luma for figures in full.frames[:CUT]]
    compared = [figures.frame for figures in part.frames if figures.temporal_error is not None]
    assert compared == [5, 6, 7]
    assert part.luma_drift is not None


def test_independent_frames_may_be_restricted(rendered: Path, whole: StyleEvaluation) -> None:
    some = evaluate(rendered, frames=(2, 8), cold_frames=[3, 4, 99], reporter=SilentReporter()).styles[0]
    cold, every = some.row("independent"), whole.row("independent")
    assert cold is not None and every is not None
    assert [figures.frame for figures in cold.frames] == [3, 4]
    assert cold.frames[1].temporal_error == every.frames[4].temporal_error
    assert cold.frames[0].temporal_error is None


def test_render_of_a_still_clip_has_a_low_temporal_error(media: Path, tmp_path: Path) -> None:
    found = evaluate(render(media, tmp_path, "still"), reporter=SilentReporter()).styles[0]
    errors = {row.name: row.temporal_error for row in found.rows}
    assert errors["input"] == pytest.approx(0, abs=1e-6)
    assert errors["render"] is not None and errors["independent"] is not None
    assert errors["render"] < errors["independent"] / 5
    assert found.mean_confidence is not None and found.mean_confidence > 0.9


def test_content_of_more_than_8_bits_is_the_one_that_was_stylized(media: Path, tmp_path: Path) -> None:
    """Its flicker is evened out before it is rounded: so an independent frame equals the cold one of the render."""
    folder = media / "deep"
    folder.mkdir()
    for index in range(6):
        bright = (8000 + 190.0 * texture((64, 48), 5)) * (1.0, 1.12)[index % 2]
        (folder / f"{index}.png").write_bytes(encode_png(bright.astype(np.uint16)))
    path = render(media, tmp_path, "deep", "input.deflicker=1")
    assert RenderDirectory.open(path).plan.exposure[0]
    found = evaluate(path, frames=(0, 1), reporter=SilentReporter()).styles[0]
    stored, independent = found.row("render"), found.row("independent")
    assert stored is not None and independent is not None
    assert independent.frames[0].loss == stored.frames[0].loss


def test_missing_frames_are_left_out(rendered: Path, tmp_path: Path) -> None:
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


def test_evaluation_writes_nothing_into_the_render(rendered: Path, tmp_path: Path) -> None:
    copy = copied(rendered, tmp_path)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    evaluate(copy, frames=(0, 3), reporter=SilentReporter())
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_changed_input_or_style_image_is_refused(media: Path, tmp_path: Path) -> None:
    own = tmp_path / "media"
    shutil.copytree(media, own)
    path = render(own, tmp_path, "still")
    Image.fromarray(texture((64, 48), 99)).save(own / "style.png")
    with pytest.raises(RenderDirectoryError, match=r"images\.0\.digest"):
        evaluate(path, reporter=SilentReporter())
    shutil.copy(media / "style.png", own / "style.png")
    write_photos(own / "still", [texture((64, 48), 6)] * 4)
    with pytest.raises(RenderDirectoryError, match=r"source\.digest"):
        evaluate(path, reporter=SilentReporter())


def test_evaluate_ends_when_an_end_is_requested(rendered: Path) -> None:
    cancellation = Cancellation()
    cancellation.request()
    with pytest.raises(Interrupted):
        evaluate(rendered, reporter=SilentReporter(), cancellation=cancellation)


@pytest.mark.parametrize("frames", [(3, 3), (5, 2), (0, FRAMES + 1), (FRAMES, None)])
def test_range_outside_the_render_is_refused(rendered: Path, frames: tuple[int | None, int | None]) -> None:
    with pytest.raises(UsageError, match=f"0:{FRAMES}"):
        evaluate(rendered, frames=frames, reporter=SilentReporter())


def test_light_is_that_of_the_whole_run_and_baselines_that_of_the_compared_frames(
    rendered: Path, whole: StyleEvaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.workflows.evaluate.WINDOW_FRAMES", 4)
    found = evaluate(rendered, reporter=SilentReporter()).styles[0]
    assert (found.followed_start, found.followed_stop) == (0, CUT)
    render, cold, full = found.row("render"), found.row("independent"), whole.row("render")
    assert render is not None and cold is not None and full is not None
    assert [each.light for each in render.frames] == [each.light for each in full.frames[:CUT]]
    assert [each.axis_ratio is None for each in render.frames] == [not 4 <= index < 8 for index in range(CUT)]
    assert len(cold.frames) == 4 and cold.light is not None
    assert render.light is not None and render.light_worst is not None and -1 <= render.light_worst <= render.light <= 1


def test_luma_is_that_of_the_finished_frames_at_the_extremes_of_the_input(
    media: Path, whole: StyleEvaluation, tmp_path: Path
) -> None:
    rows = {row.name: {each.frame: each.luma for each in row.frames} for row in whole.rows}
    still = rows["input"]
    assert whole.darkest_frame == min(still, key=lambda frame: still[frame])
    assert whole.brightest_frame == max(still, key=lambda frame: still[frame])
    for row in whole.rows:
        assert row.darkest_luma == rows[row.name][whole.darkest_frame]
        assert row.brightest_luma == rows[row.name][whole.brightest_frame]
    own = tmp_path / "media"
    shutil.copytree(media, own)
    write_photos(own / "fade", fade_to_black(texture((64, 48), 5), 8))
    path = render(own, tmp_path, "fade", "output.finish.match_light=1")
    found = evaluate(path, baselines=False, reporter=SilentReporter()).styles[0]
    finished, source = found.rows
    assert (found.darkest_frame, found.brightest_frame) == (7, 0)
    assert finished.darkest_luma is not None and source.darkest_luma == 0
    assert finished.darkest_luma < finished.frames[-1].luma - 20


def test_changed_areas_are_measured_with_the_content_12_frames_before_the_compared_ones(
    media: Path, tmp_path: Path
) -> None:
    own = tmp_path / "media"
    shutil.copytree(media, own)
    photo = texture((64, 48), 5)
    lit = photo.copy()
    lit[10:40, 8:40] = 255 - lit[10:40, 8:40]
    write_photos(own / "lit", [photo] * 4 + [lit] * 12)
    path = render(own, tmp_path, "lit", "input.cuts=none")
    found = evaluate(path, frames=(13, 16), cold_frames=[14, 15], reporter=SilentReporter()).styles[0]
    rows = {row.name: {each.frame: each for each in row.frames} for row in found.rows}
    for name in ("render", "warm without flow"):
        assert [rows[name][frame].changed_content is None for frame in (13, 14, 15)] == [True, False, False]
        assert (rows[name][15].changed_color or 0) > 0
    assert all(each.changed_content is each.changed_color is None for each in rows["independent"].values())
    assert all(each.changed_content is each.changed_color is None for each in rows["input"].values())
    late = evaluate(path, frames=(0, 12), baselines=False, reporter=SilentReporter()).styles[0].row("render")
    assert late is not None and late.changed_content is None


def test_independent_frames_that_are_kept_are_not_stylized_again(rendered: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    first = evaluate(
        rendered,
        frames=(0, 3),
        without_flow=False,
        cold_frames=[1, 2],
        independent_folder=kept,
        reporter=SilentReporter(),
    ).styles[0]
    assert [row.name for row in first.rows] == ["render", "input", "independent"]
    (folder,) = kept.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["00000001.png", "00000002.png"]
    Image.fromarray(texture((64, 48), 8)).save(folder / "00000002.png")
    again = evaluate(
        rendered,
        frames=(0, 3),
        without_flow=False,
        cold_frames=[1, 2],
        independent_folder=kept,
        reporter=SilentReporter(),
    ).styles[0]
    before, after = first.row("independent"), again.row("independent")
    assert before is not None and after is not None
    assert before.frames[0] == after.frames[0]
    assert before.frames[1] != after.frames[1]


# --- the command


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = cli.run(["evaluate", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_both_tables_have_a_line_for_every_row(rendered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, rendered, "--frames", "0:4", "--progress", "none")
    assert code == 0
    assert out.endswith("\n")
    quality, _, rest = out.partition("\nerror 1, 10")
    following = rest.partition("\nlight   ")[0]
    for part, heading in ((quality, "sharpness"), (following, "changed")):
        assert heading in part
        for name in ("render", "input", "independent", "warm without flow"):
            assert sum(line.startswith(f"{name}  ") for line in part.splitlines()) == 1


def test_json_is_all_that_is_printed(
    rendered: Path, whole: StyleEvaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = command(capsys, rendered, "--json", "--no-baselines", "--frames", ":3", "--progress", "plain")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    (style,) = found["styles"]
    assert [row["name"] for row in style["rows"]] == ["render", "input"]
    assert style["rows"][0]["frames"][1]["temporal_error"] == whole.rows[0].frames[1].temporal_error != 0


def test_render_without_frames_is_refused_with_a_hint(
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
def test_plot_is_written_and_a_blocked_path_is_a_write_error(
    rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str, magic: bytes
) -> None:
    plot = tmp_path / "new" / f"figures.{suffix}"
    code, _, _ = command(capsys, rendered, "--frames", "0:3", "--no-baselines", "--plot", plot, "--progress", "none")
    assert code == 0
    assert plot.read_bytes().startswith(magic)
    (tmp_path / "file").write_text("in the way")
    blocked = tmp_path / "file" / f"figures.{suffix}"
    assert command(capsys, rendered, "--frames", "0:2", "--no-baselines", "--plot", blocked)[0] == 8


def test_plot_without_matplotlib_is_a_missing_part_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPartError) as caught:
        check_plot(Path("figures.png"))
    assert "pip install" in caught.value.hint
    assert caught.value.exit_code == 6


def copied(rendered: Path, folder: Path) -> Path:
    """A copy beside which the relative paths of the plan still lead to the input."""
    target = rendered.parent / f"{folder.name}.render"
    shutil.copytree(rendered, target)
    return target


def stored_frame(path: Path, index: int) -> Path:
    (found,) = (path / "frames").glob(f"*/{index:08d}.png")
    return found

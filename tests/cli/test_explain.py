"""`tempera explain` and `tempera render --save-every`: what is written, what is refused, what a render is not told."""

from __future__ import annotations

import csv
import errno
import re
import shutil
import signal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from pipeline.cli.explain import Part
from pipeline.config.catalog import load_style
from pipeline.errors import Interrupted, StylizeError
from pipeline.media.reader.source import probe
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.types import Source
from pipeline.workflows.explain import PARTS, explain
from tests.support.command_line import QUICK, Tempera, assert_refused, everything, tree, video_times
from tests.support.frames import read_rgb
from tests.support.sheets import places

STYLE = ["-s", "{media}/waves.png"]
PHOTO = "{media}/photos/shot_001.png"
EXPLAIN = ["explain", PHOTO, *STYLE, *QUICK, "--width", "48"]
SETTINGS = [argument.removeprefix("--set=") for argument in QUICK if argument.startswith("--set=")] + ["encoder=tiny"]
REGION = "{mask: {luminance: [0.3, 0.6]}, style: {images: [{path: {media}/other.png}]}}"
KEPT = "{mask: {luminance: [0.6, 1]}}"
EVALUATIONS = 4
"""Of a cold frame: two scales with two each."""


def test_explanation_is_a_page_with_its_files(tempera: Tempera, tmp_path: Path) -> None:
    result = tempera(*EXPLAIN)
    folder = tmp_path / "shot_001-waves.explain"
    assert result.code == 0 and result.out == f"{folder.name}/index.html\n", result.err
    page = (folder / "index.html").read_text(encoding="utf-8")
    named = {unquote(address) for address in re.findall(r'(?:src|href)="([^"]+)"', page)}
    assert everything(folder) == named | {"index.html"}
    layers = ("relu1_1", "relu2_1", "relu4_2")
    assert named >= {f"features-{layer}.png" for layer in layers} | {"style-layers.png", "content-layers.png"}
    assert named >= {"features.mp4", "growth.mp4", "growth.png", "losses.csv"}
    rows = list(csv.DictReader((folder / "losses.csv").read_text(encoding="utf-8").splitlines()))
    assert [int(row["evaluation"]) for row in rows] == list(range(1, EVALUATIONS + 1))
    assert [(row["scale"], row["width_px"]) for row in rows] == [("1", "34")] * 2 + [("2", "48")] * 2
    assert len(video_times(folder / "growth.mp4")) == EVALUATIONS
    with Image.open(folder / "growth.png") as sheet:  # two columns, two rows with captions
        assert sheet.width == 2 * 56 + 8 and sheet.height > 2 * (32 + 20)


def test_parts_and_layers_can_be_chosen(tempera: Tempera, tmp_path: Path) -> None:
    assert tuple(Part) == PARTS
    assert tempera(*EXPLAIN, "--only", "features", "--layers", "relu3_1, relu1_2", "-o", "f").code == 0
    assert everything(tmp_path / "f") == {"index.html", "features.mp4", "features-relu1_2.png", "features-relu3_1.png"}
    assert tempera(*EXPLAIN, "--only", "growth", "--only", "losses", "-o", "f").code == 0
    assert everything(tmp_path / "f") >= {"growth.png", "growth.mp4", "losses.csv"}


def test_what_cannot_be_explained_is_refused_and_leaves_nothing(tempera: Tempera, media: Path, tmp_path: Path) -> None:
    assert_refused(tempera(*EXPLAIN, "--set", "styler=palette"), 3, "palette")
    assert_refused(tempera(*EXPLAIN, "--layers", "relu9_9"), 3, "relu9_9")
    assert_refused(tempera(*EXPLAIN, "--at", "1"), 2, "--at 1", "0 to 0")
    assert_refused(tempera("explain", PHOTO, *QUICK), 2, "--style")
    assert_refused(tempera(*EXPLAIN[:4], *QUICK, "--width", "16"), 4, "too small")
    assert everything(tmp_path) == set()
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "index.html").write_text("my own page")
    assert_refused(tempera(*EXPLAIN, "-o", "mine"), 2, "mine", "index.html")
    assert (foreign / "index.html").read_text() == "my own page"


def test_failed_explanation_leaves_nothing(tempera: Tempera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise StylizeError("the loss is nan", hint="smaller weights")

    monkeypatch.setattr("pipeline.workflows.explain.write_layers", fail)
    assert_refused(tempera(*EXPLAIN), 7, "the loss is nan")
    assert everything(tmp_path) == set()


def test_interrupt_while_the_input_is_read_is_followed(
    tempera: Tempera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Source:
        signal.raise_signal(signal.SIGINT)
        return probe(*arguments, **options)

    monkeypatch.setattr("pipeline.media.reader.source.probe", interrupted)
    assert tempera(*EXPLAIN).code == 130
    assert everything(tmp_path) == set()


def test_interrupted_explanation_leaves_nothing(media: Path, tmp_path: Path) -> None:
    """The request comes while the first picture is stylized, and is followed before the next evaluation."""
    cancellation, told = Cancellation(), []

    class Stopping(SilentReporter):
        def stylizing(self, left: Any, done: int) -> Any:
            cancellation.request()
            return super().stylizing(left, done)

        def frame_stored(self, *arguments: Any) -> None:
            told.append(arguments)

    config = load_style(str(media / "waves.png"), [*SETTINGS])
    source = probe([media / "photos"], config.input, digest=False)
    with pytest.raises(Interrupted, match="nothing was written"):
        explain(
            source, config, 1, tmp_path / "x", width_px=48, height_px=32, reporter=Stopping(), cancellation=cancellation
        )
    assert not told and everything(tmp_path) == set()


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["--set=color.match=style_to_content"],
        ["--set=pre=palette", "--set=palette.source=content"],
        [f"--set=regions=[{REGION}]"],
        [f"--set=regions=[{REGION}, {KEPT}]"],
    ],
)
def test_last_picture_is_that_of_a_render(tempera: Tempera, tmp_path: Path, settings: list[str]) -> None:
    assert tempera("render", PHOTO, *STYLE, *QUICK, *settings, "--width", "48", "-o", "out.png").code == 0
    assert tempera(*EXPLAIN, *settings, "--only", "growth", "-o", "f").code == 0
    sheet, rendered = read_rgb(tmp_path / "f" / "growth.png"), read_rgb(tmp_path / "out.png")
    assert [left for _, left in places(sheet, rendered)] == [8 + 56]


def test_frame_of_a_clip_has_its_regions_and_the_colors_of_its_shot(tempera: Tempera, tmp_path: Path) -> None:
    Image.fromarray(np.eye(32, 48, dtype=np.uint8) * 255).save(tmp_path / "line.png")
    masks = "[{mask: {painted: {0: line.png, 4: line.png}}}]"
    common = ["{media}/cut.mp4", *STYLE, *QUICK, f"--set=regions={masks}", "--set=color.match=style_to_content"]
    assert tempera("render", *common, "--set=motion.boil=1", "-o", "v.mp4").code == 0
    assert tempera("explain", *common, "--width", "48", "--at", "5", "--only", "growth", "-o", "f").code == 0
    stored_frame = read_rgb(tmp_path / "v.render/frames/waves-s001/00000005.png")
    assert len(places(read_rgb(tmp_path / "f/growth.png"), stored_frame)) == 1


def test_single_layers_of_a_style_with_regions_are_explained(tempera: Tempera, tmp_path: Path) -> None:
    assert tempera(*EXPLAIN, f"--set=regions=[{REGION}, {KEPT}]", "--only", "layers", "-o", "f").code == 0
    assert everything(tmp_path / "f") >= {"style-layers.png", "content-layers.png"}


def stored(folder: Path) -> dict[str, bytes]:
    return tree(folder / "frames")


@pytest.mark.parametrize("batch", [1, 2])
def test_growth_is_kept_for_each_cold_frame_and_changes_nothing(tempera: Tempera, tmp_path: Path, batch: int) -> None:
    """The clip has a cut: two chains, whose first frames are one batch of two."""
    render = ["render", "{media}/cut.mp4", *STYLE, *QUICK, f"--set=runtime.batch_size={batch}"]
    assert tempera(*render, "-o", "plain.mp4").code == 0
    assert tempera(*render, "-o", "kept.mp4", "--save-every", "2").code == 0
    assert stored(tmp_path / "plain.render") == stored(tmp_path / "kept.render")
    assert not (tmp_path / "plain.render" / "cache" / "growth").exists()
    growth = tmp_path / "kept.render" / "cache" / "growth"
    files = {str(path.relative_to(growth)) for path in growth.rglob("*.png")}
    assert files == {
        f"waves-s00{shot}/{frame:08d}/{number:06d}.png" for shot, frame in ((0, 0), (1, 3)) for number in (1, 2, 4)
    }
    for shot, frame in ((0, 0), (1, 3)):
        last = growth / f"waves-s00{shot}" / f"{frame:08d}" / "000004.png"
        final = tmp_path / "kept.render" / "frames" / f"waves-s00{shot}" / f"{frame:08d}.png"
        np.testing.assert_array_equal(read_rgb(last), read_rgb(final))


def test_render_that_cannot_keep_its_growth_goes_on(
    tempera: Tempera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def refuse(*arguments: Any) -> None:
        calls.append(arguments)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pipeline.execute.growth.write_growth", refuse)
    command = ["render", "{media}/cut.mp4", *STYLE, *QUICK, "-o", "v.mp4", "--save-every", "1", "--progress", "plain"]
    result = tempera(*command)
    assert result.code == 0 and (tmp_path / "v.mp4").exists()
    assert len(calls) == 1 and result.err.count("No space left on device") == 1


def test_render_is_explained_by_what_it_has_kept(tempera: Tempera, tmp_path: Path) -> None:
    command = ["render", "{media}/cut.mp4", *STYLE, *QUICK, "-o", "v.mp4", "--save-every", "3"]
    assert tempera(*command).code == 0
    assert tempera("explain", "v.render", "--progress", "none").out == "v.explain/index.html\n"
    assert everything(tmp_path / "v.explain") == {"index.html", "growth.png", "growth.mp4"}
    assert len(video_times(tmp_path / "v.explain" / "growth.mp4")) == 3  # evaluations 1 and 3, and the stored frame
    assert tempera("explain", "v.render", "--at", "3", "-o", "third").code == 0
    assert "frame 3" in (tmp_path / "third" / "index.html").read_text()
    assert_refused(tempera("explain", "v.render", "--at", "1", "-o", "x"), 5, "frame 1", "0, 3")
    assert_refused(tempera("explain", "v.render", "--style", "swirl"), 2, "--style")
    shutil.rmtree(tmp_path / "v.render" / "cache" / "growth")
    assert_refused(tempera("explain", "v.render", "-o", "x"), 5, "--save-every")
    assert not (tmp_path / "x").exists()
    assert tempera(*command).code == 0  # the cache may be deleted at any time


def test_pictures_of_all_styles_are_shown(tempera: Tempera, tmp_path: Path) -> None:
    styles = [*STYLE, "-s", "{media}/other.png"]
    assert tempera("render", PHOTO, *styles, *QUICK, "-o", "v.png", "--save-every", "2").code == 0
    assert tempera("explain", "v.render", "-o", "x").code == 0
    assert everything(tmp_path / "x") >= {"growth-1.png", "growth-2.png", "growth-1.mp4", "growth-2.mp4"}

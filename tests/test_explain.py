"""Explanations: which channels, evaluations and layers are shown, and that watching a frame does not change it."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.config.settings import Config
from pipeline.encoders.load import load_encoder
from pipeline.errors import Interrupted, MissingPartError
from pipeline.explain.clips import write_clip
from pipeline.explain.feature_maps import CHANNELS, feature_clip, feature_sheet, layer_maps
from pipeline.explain.folder import filled
from pipeline.explain.growth import COLUMNS, GrowthPicture, growth_clip, growth_scales, growth_sheet, spaced
from pipeline.explain.layers_alone import (
    content_reconstruction,
    layers_up_to,
    style_layer_alone,
    style_reconstruction,
)
from pipeline.explain.losses import LossStep, draw_losses, write_losses
from pipeline.explain.page import MARK, Section, explanation_page
from pipeline.explain.watched import Watched
from pipeline.media.image.arrays import to_tensor, to_uint8
from pipeline.optimize.objective import TERMS
from pipeline.stylers.neural import NeuralStyler
from pipeline.types import FrameBatch, StylizedBatch
from tests.support.clips import texture
from tests.support.command_line import video_times
from tests.support.frames import RGB
from tests.support.plans import a_config
from tests.support.sheets import places

SIZE = (48, 40)
CONTENT, OTHER, STYLE = (texture(SIZE, seed) for seed in (1, 2, 3))


def a_quick_config(**optimize: Any) -> Config:
    optimize = {"cold": {"evaluations": 5, "min_scale_px": 33}, **optimize}
    return a_config(style={"images": [{"path": "a"}]}, optimize=optimize)


def stylized(config: Config, content: RGB = CONTENT, observer: Any = None) -> StylizedBatch:
    encoder = load_encoder("tiny")
    styler = NeuralStyler(config, [STYLE], encoder, device=torch.device("cpu"), observer=observer)
    return styler.stylize(FrameBatch("cold", to_tensor(content)[None], None, (7,)))


@pytest.mark.parametrize("minimizer", ["lbfgs", "adam"])
def test_watching_a_frame_does_not_change_it(minimizer: str) -> None:
    config = a_quick_config(minimizer=minimizer)
    watched = Watched(5, lambda: None)
    found, alone = stylized(config, observer=watched), stylized(config)
    assert torch.equal(found.images, alone.images) and found.stats == alone.stats
    assert [(step.evaluation, step.scale) for step in watched.steps] == [(n, 1 + (n > 5)) for n in range(1, 11)]
    assert {(step.width_px, step.height_px) for step in watched.steps} == {(34, 28), SIZE}
    assert watched.steps[-1].loss == found.stats[0].loss
    np.testing.assert_array_equal(watched.pictures[-1].rgb, to_uint8(found.images[0]))
    assert watched.pictures[-1].evaluation == 10


def test_evaluations_are_spaced_by_even_ratios_and_hold_both_ends() -> None:
    assert spaced(32, 6) == [1, 2, 4, 8, 16, 32]
    assert spaced(1, 6) == [1]
    assert spaced(4, 6) == [1, 2, 3, 4]
    assert spaced(1000, 4) == [1, 10, 100, 1000]


def growth(sizes: list[tuple[int, int]], evaluations: int) -> list[GrowthPicture]:
    numbers = range(1, len(sizes) * evaluations + 1)
    return [GrowthPicture(n, texture(sizes[(n - 1) // evaluations], n)) for n in numbers]


def test_growth_sheet_has_a_row_for_each_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    captions: list[list[str]] = []
    titles: list[str] = []

    def keep(sheet: Any) -> RGB:
        title, *rows = sheet
        titles.append(title)
        captions.extend([caption for caption, _ in row] for row in rows)
        assert {rgb.shape for row in rows for _, rgb in row} == {(20, 30, 3)}
        return CONTENT

    monkeypatch.setattr("pipeline.explain.growth.contact_sheet", keep)
    growth_sheet(growth([(15, 10), (30, 20)], 32), "title")
    assert len(captions) == 2 and {len(row) for row in captions} == {COLUMNS}
    assert titles == ["title\nscales from top to bottom: 15x10, 30x20 px"]
    assert captions[0] == [f"evaluation {number}" for number in (1, 2, 4, 8, 16, 32)]
    assert captions[1] == [f"evaluation {number}" for number in (33, 34, 36, 40, 48, 64)]


def test_growth_clip_ends_with_the_stylized_frame(tmp_path: Path) -> None:
    pictures = growth([(24, 16), SIZE], 4)
    assert [len(scale) for scale in growth_scales(pictures)] == [4, 4]
    clip = growth_clip(pictures)
    assert len(clip) == 8
    assert clip[-1][1] > clip[0][1]
    assert places(clip[-1][0], pictures[-1].rgb) == [(8, 8)]
    for name in ("growth.mp4", "growth.gif"):
        write_clip(tmp_path / name, clip)
        assert (tmp_path / name).stat().st_size
    assert video_times(tmp_path / "growth.mp4")[1:3] == [Fraction(1, 10), Fraction(1, 5)]


def channels(*levels: float) -> Tensor:
    """Features (1, C, 4, 6) that are constant in every channel."""
    return torch.tensor(levels)[None, :, None, None].expand(1, -1, 4, 6)


def test_channels_are_ordered_by_their_energy_in_the_content() -> None:
    maps = layer_maps("relu1_1", channels(0.0, 3.0, 1.0, 2.0), channels(9.0, 8.0, 7.0, 6.0))
    assert maps.channels == (1, 3, 2, 0) and maps.count == 4
    assert [float(values.mean()) for values in maps.content] == [3.0, 2.0, 1.0, 0.0]
    assert [float(values.mean()) for values in maps.stylized] == [8.0, 6.0, 7.0, 9.0]
    assert maps.brightest == pytest.approx(8.25)  # three quarters of the way from 6 to 9, the channels' peaks
    many = layer_maps("relu1_1", channels(*range(100)), channels(*range(100)))
    assert many.channels == tuple(range(99, 99 - CHANNELS, -1)) and many.count == 100


def test_feature_sheet_shows_the_same_channels_on_one_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: dict[str, Any] = {}
    monkeypatch.setattr(
        "pipeline.explain.feature_maps.contact_sheet", lambda rows: shown.update(rows=rows[1:], title=rows[0])
    )
    feature_sheet(layer_maps("relu3_1", channels(0.0, 2.0, 1.0), channels(4.0, 0.0, 2.0)), CONTENT, OTHER)
    assert "relu3_1: 3 of 3 channels, maps of 6x4 px" in shown["title"]
    assert "white is 3 or more" in shown["title"]
    captions = [caption for caption, _ in shown["rows"][1] if caption]
    assert captions == ["channel 1", "channel 2", "channel 0"] * 2
    pictures = [rgb for caption, rgb in shown["rows"][1] if caption]
    assert not pictures[2].max() > 4  # 0 is black
    np.testing.assert_array_equal(pictures[0], pictures[4])  # both 2, of which one is the photo's brightest
    assert pictures[5].mean() > pictures[0].mean() > pictures[1].mean() > pictures[2].mean()
    assert len({rgb.shape for rgb in pictures}) == 1


def test_feature_clip_goes_layer_by_layer() -> None:
    layers = [layer_maps(name, channels(1.0, 2.0), channels(1.0, 0.0)) for name in ("relu1_1", "relu2_1")]
    clip = feature_clip(layers, CONTENT, OTHER)
    assert len(clip) == 1 + 2 + 2 and len({rgb.shape for rgb, _ in clip}) == 1


def test_style_reconstruction_knows_nothing_of_the_content() -> None:
    config = style_reconstruction(a_quick_config(), {"relu1_1": 2.0, "relu2_1": 1.0})
    assert torch.equal(stylized(config, CONTENT).images, stylized(config, OTHER).images)


def test_content_reconstruction_comes_near_the_features_of_the_content() -> None:
    config = content_reconstruction(a_quick_config(cold={"evaluations": 24, "min_scale_px": 64}), "relu2_1", "relu1_1")
    loss = stylized(config).stats[0].content_loss
    seen = [load_encoder("tiny")(to_tensor(rgb)[None], ("relu2_1",))["relu2_1"] for rgb in (CONTENT, OTHER)]
    apart = float((seen[0] - seen[1]).square().mean() / seen[0].square().mean())
    assert loss < 0.1 * apart


def test_one_style_layer_does_all_the_work() -> None:
    config = style_layer_alone(a_quick_config(), "relu2_1")
    assert config.losses.style.layers == {"relu2_1": 1.0}
    assert config.losses.content == a_quick_config().losses.content
    assert config.optimize.cold.evaluations == 5
    assert not torch.equal(stylized(config).images, stylized(style_layer_alone(config, "relu1_1")).images)


def test_layers_are_added_from_shallow_to_deep() -> None:
    order = ("relu1_1", "relu2_1", "relu3_1")
    assert layers_up_to({"relu3_1": 1.0, "relu1_1": 4.0}, order) == [{"relu1_1": 4.0}, {"relu1_1": 4.0, "relu3_1": 1.0}]


STEPS = [
    LossStep(n, 1 + (n > 3), 10 * n, 5, 1 / n, tuple(float(at % 2) for at in range(len(TERMS)))) for n in (1, 2, 4)
]


def test_losses_are_a_table_also_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path) -> None:
        raise MissingPartError("drawing needs matplotlib", hint="pip install 'tempera[plot]'")

    monkeypatch.setattr("pipeline.explain.losses.check_plot", missing)
    notes: list[str] = []
    section = write_losses(tmp_path, STEPS, notes.append)
    assert section.files == ("losses.csv",) and len(notes) == 1 and "pip install" in notes[0]
    rows = list(csv.DictReader((tmp_path / "losses.csv").read_text().splitlines()))
    assert list(rows[0]) == ["evaluation", "scale", "width_px", "height_px", "loss", *TERMS]
    assert [(row["evaluation"], row["scale"], float(row["loss"])) for row in rows] == [
        ("1", "1", 1.0),
        ("2", "1", 0.5),
        ("4", "2", 0.25),
    ]


def test_losses_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw_losses(STEPS, tmp_path / "losses.png")
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")


def test_page_escapes_names_and_refers_to_its_folder_only() -> None:
    page = explanation_page('<b> & "c"', "1 < 2", [Section("<h>", "a & b", ("growth #1.png", "a.mp4", "b.csv"))])
    assert "<b>" not in page and "&lt;b&gt; &amp; &quot;c&quot;" in page and "1 &lt; 2" in page
    assert 'src="growth%20%231.png"' in page and '<video src="a.mp4"' in page and 'href="b.csv"' in page
    assert "://" not in page and "<script" not in page and MARK in page


def test_folder_is_filled_completely_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "x.explain"
    for error in (Interrupted("stop", hint="again", signal_number=2), KeyboardInterrupt()):
        with pytest.raises(type(error)), filled(folder) as partial:
            (partial / "growth.png").write_bytes(b"half")
            raise error
        assert not folder.exists()
    for text in ("first", "second"):
        with filled(folder) as partial:
            (partial / "index.html").write_text(MARK + text)
    assert (folder / "index.html").read_text() == MARK + "second"
    assert [path.name for path in folder.iterdir()] == ["index.html"]

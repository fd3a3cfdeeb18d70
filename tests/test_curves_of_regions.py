"""Curves and the rest: areas of masks, weights of regions, prepared stylers, previews, promoted styles and finishes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import pipeline
from pipeline.analysis.driving import smoothed
from pipeline.config.catalog import load_style
from pipeline.config.composition import CompositionSettings
from pipeline.config.reading import parse_config
from pipeline.config.section import curves_of, with_values
from pipeline.config.settings import Config
from pipeline.config.writing import config_yaml
from pipeline.encoders.load import load_encoder
from pipeline.errors import ConfigError
from pipeline.execute.batches import join
from pipeline.plan.curves import Clock, Drivers, planned_values, recent_changes, stylizing_values
from pipeline.plan.identity import RegionDigests, identity_digest
from pipeline.runtime.progress import SilentReporter
from pipeline.stylers.neural import NeuralStyler
from pipeline.stylers.prepared import PreparedStyler
from pipeline.stylers.style_targets import with_weights
from pipeline.types import FrameBatch, Shot
from pipeline.workflows.evaluate import evaluate
from pipeline.workflows.masks import measured as measured_regions
from pipeline.workflows.masks import preparation as mask_pass
from pipeline.workflows.opened import open_render
from pipeline.workflows.preview.cells import cell_keys
from tests.support.clips import texture, write_photos
from tests.support.neural import SETTINGS, contents
from tests.support.plans import a_plan, a_source, a_style

COUNT = 6
FOLLOWED = {"follow": "mask", "region": "door", "points": [{"at": 0, "value": 0}, {"at": 1, "value": 50}]}
CROSSING = [{"at": 0, "value": 100}, {"at": COUNT - 1, "value": 5}]
REGION = "regions.0.style.images.0.weight"


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos of a still view, a style with the region `door`, whose masks grow, and its images."""
    monkeypatch.chdir(tmp_path)
    view = texture((48, 40), 3)
    write_photos(tmp_path / "in", [view] * COUNT)
    (tmp_path / "masks").mkdir()
    for index in range(COUNT):
        mask = np.zeros((40, 48), np.uint8)
        mask[:, : 8 * (index + 1)] = 255
        Image.fromarray(mask).save(tmp_path / "masks" / f"{index}.png")
    for name, seed in (("a", 5), ("b", 6)):
        Image.fromarray(texture((48, 40), seed)).save(tmp_path / f"{name}.png")
    (tmp_path / "mine.yaml").write_text(
        "style: {images: [{path: a.png}]}\n"
        "regions:\n"
        "  - {name: door, mask: {frames: masks, feather: 0}, style: {images: [{path: b.png}, {path: a.png}]}}\n"
        "  - {name: wall, mask: {luminance: [0, 0.6]}}\n"
    )
    return tmp_path


AREAS = smoothed([(index + 1) / COUNT for index in range(COUNT)], (Shot(0, 0, COUNT),))


def frames(clip: Path, settings: dict[str, Any], workdir: str | None = None) -> list[NDArray[np.uint8]]:
    options = SETTINGS | {"input.cuts": "none"} | settings
    work = None if workdir is None else clip / workdir
    return list(pipeline.stylize_clip(clip / "in", clip / "mine.yaml", settings=options, workdir=work))


def same(one: Sequence[NDArray[np.uint8]], other: Sequence[NDArray[np.uint8]]) -> list[bool]:
    return [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]


def test_a_curve_follows_the_area_of_a_mask_and_resume_reads_its_values(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = frames(clip, {"losses.tv.weight": FOLLOWED}, "work")
    opened = open_render(clip / "work")
    values = planned_values(opened.plan, "mine", opened.configs["mine"])["losses.tv.weight"]
    assert values == pytest.approx([50 * area for area in AREAS], rel=1e-4)
    for path in opened.directory.frames_path.glob("*/00000005.png"):
        path.unlink()
    monkeypatch.setattr(measured_regions, "prepare_masks", None)
    pipeline.resume(clip / "work")
    chain = opened.plan.chains[0].id
    assert np.array_equal(opened.directory.read_frame(chain, 5), whole[5])


def test_masks_are_measured_only_of_regions_that_are_followed(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    real = mask_pass.prepare_masks

    def counting(settings: Any, *rest: Any) -> Any:
        measured.append(len(settings))
        return real(settings, *rest)

    monkeypatch.setattr(measured_regions, "prepare_masks", counting)
    frames(clip, {"losses.tv.weight": CROSSING})
    assert measured == []
    frames(clip, {"losses.tv.weight": FOLLOWED})
    assert measured == [1]


def test_an_image_is_the_first_frame_also_where_a_mask_is_followed(clip: Path) -> None:
    photo = sorted((clip / "in").iterdir())[0]
    shutil.copy(clip / "masks/0.png", clip / "one.png")
    (clip / "mine.yaml").write_text(
        "{style: {images: [{path: a.png}]}, regions: [{name: door, mask: {image: one.png}}]}"
    )
    settings = SETTINGS | {"losses.tv.weight": FOLLOWED}
    image = np.asarray(pipeline.stylize(photo, clip / "mine.yaml", settings=settings))
    (frame,) = pipeline.stylize_clip(photo, clip / "mine.yaml", settings=settings)
    assert np.array_equal(image, frame)


def test_weights_of_regions_are_those_of_each_frame(clip: Path) -> None:
    plain = frames(clip, {})
    for key in ("regions.0.content_weight", REGION):
        value = {"regions.0.content_weight": 1, REGION: 100}[key]
        assert all(same(plain, frames(clip, {key: [{"at": 0, "value": value}, {"at": "50%", "value": value}]})))
        assert same(plain, frames(clip, {key: [{"at": 3, "value": value}, {"at": 4, "value": 3 * value}]})) == [
            *[True] * 4,
            *[False] * 2,
        ]


def test_the_finish_follows_the_area_of_a_mask(clip: Path) -> None:
    settings = SETTINGS | {"output.finish.follow_level": 0, "input.cuts": "none"}
    pipeline.render(clip / "in", clip / "mine.yaml", output=clip / "v.mkv", settings=settings)
    follow = {"follow": "mask", "region": "door", "points": [{"at": 0.5, "value": 1}, {"at": 0.51, "value": 0}]}
    shown = {}
    for name, value in (("curve", follow), ("gray", 0), ("plain", 1)):
        pipeline.export(clip / "v.render", clip / name / "%02d.png", settings={"output.finish.grade.saturation": value})
        shown[name] = [np.asarray(Image.open(path)) for path in sorted((clip / name).iterdir())]
    gray = [area > 0.51 for area in AREAS]
    assert True in gray and False in gray
    wanted = [shown["gray" if own else "plain"][index] for index, own in enumerate(gray)]
    assert all(same(shown["curve"], wanted)) and not any(same(shown["gray"], shown["plain"]))


def a_region_config(**settings: Any) -> Config:
    data: dict[str, Any] = {
        "style": {"images": [{"path": "a"}]},
        "regions": [{"name": "door", "mask": {"image": "m"}, "style": {"images": [{"path": "b"}, {"path": "c"}]}}],
        "optimize": {"cold": {"evaluations": 4, "min_scale_px": 33}, "warm": {"evaluations": 4}},
    }
    return parse_config(data | settings, where="test")


def painter() -> NeuralStyler:
    images = [texture((60, 50), 1), texture((60, 50), 2) // 4, 255 - texture((60, 50), 3) // 4]
    return NeuralStyler(
        a_region_config(), images[:1], load_encoder("tiny"), device=torch.device("cpu"), region_images=[images[1:]]
    )


def halves(count: int) -> torch.Tensor:
    right = (torch.arange(48) >= 24).float().expand(count, 1, 40, 48)
    return torch.cat([1 - right, right], dim=1)


VALUES = ({REGION: 100.0}, {REGION: 0.0}, {REGION: 100.0})


def batch(index: int, **changes: Any) -> FrameBatch:
    return FrameBatch(
        "cold", contents(3)[index : index + 1], None, (index,), regions=halves(1), indices=(index,), **changes
    )


@pytest.mark.parametrize("prepared", [False, True])
def test_a_batch_of_regions_with_unequal_weights_is_its_frames_one_by_one(prepared: bool) -> None:
    styler = PreparedStyler(painter(), [lambda rgb, _: 255 - rgb], luma_only=True) if prepared else painter()
    found = styler.stylize(join([batch(index, values=(own,)) for index, own in enumerate(VALUES)]))
    for index, own in enumerate(VALUES):
        alone = styler.with_values(own).stylize(batch(index)).images
        assert torch.allclose(found.images[index : index + 1], alone, atol=2 / 255)
    other = styler.stylize(batch(1)).images
    difference = (found.images[1:2] - other).abs()
    right, left = float(difference[..., 30:].mean()), float(difference[..., :16].mean())
    assert right > 0.01 and right > 2 * left


def test_colors_of_regions_have_the_weights_of_a_frame() -> None:
    colors = with_weights(painter().style_colors, {REGION: 7.0, "style.images.0.weight": 3.0})
    (door,) = colors.regions
    assert door is not None and [list(one.weights) for one in (colors, door)] == [[3], [7, 100]]


def test_changes_of_regions_count_as_recent() -> None:
    clock = Clock([0.1 * index for index in range(30)], 0.1)
    jump = [{"at": 0, "value": 100}, {"at": 9, "value": 0, "ease": "hold"}]
    data = a_region_config().model_dump()
    data["regions"][0]["style"]["images"][0]["weight"] = jump
    exchanged = parse_config(data, where="test")
    found = recent_changes(exchanged, stylizing_values(exchanged, clock, Drivers()))
    assert found[:9] == [0] * 9 and found[9] == 0.5
    data = a_region_config().model_dump()
    data["regions"][0]["content_weight"] = jump
    freed = parse_config(data, where="test")
    assert recent_changes(freed, stylizing_values(freed, clock, Drivers()))[8:10] == [0, 1]


def test_a_region_without_a_style_image_at_a_frame_is_refused() -> None:
    data = a_region_config().model_dump()
    for image in data["regions"][0]["style"]["images"]:
        image["weight"] = [{"at": 0, "value": 1}, {"at": 1, "value": 0}]
    with pytest.raises(ConfigError, match=r"frame 1 every image of regions\.0\.style\.images"):
        stylizing_values(parse_config(data, where="test"), Clock([0.0, 1.0], 1.0), Drivers())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"losses": {"tv": {"weight": FOLLOWED | {"region": "dor"}}}}, "'dor', and the regions of the style are: door"),
        ({"regions": [], "losses": {"tv": {"weight": FOLLOWED}}}, "regions of the style are: none"),
        ({"output": {"finish": {"grain": FOLLOWED | {"points": [{"at": 0, "value": 0}]}}}, "regions": []}, "grain"),
        (
            {"color": {"match": "content_to_style"}, "style": {"images": [{"path": "a", "weight": CROSSING}]}},
            "weights are no curves",
        ),
    ],
)
def test_curves_that_do_not_fit_a_style_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        a_region_config(**settings)


def test_the_identity_has_the_values_of_region_curves_and_no_key_without_them() -> None:
    def identity(value: Any) -> dict[str, Any]:
        data = a_region_config().model_dump()
        data["regions"][0]["style"]["images"][0]["weight"] = value
        config = parse_config(data | {"name": "swirl"}, where="test")
        values = {"swirl": stylizing_values(config, Clock.of(a_source()), Drivers())}
        style = a_style(config=config, regions=(RegionDigests(("b", "c"), {"image": "m"}),))
        return dict(a_plan(style, values=values).identity)

    plain, crossing = identity(100.0), identity(CROSSING)
    assert not [key for key in plain if "curves" in key or "blend" in key]
    assert set(crossing) ^ set(plain) == {f"styles.swirl.{REGION}", f"styles.swirl.curves.{REGION}"}
    assert identity_digest(plain) != identity_digest(crossing)


def test_the_key_of_a_cell_depends_on_the_values_up_to_its_frame(tmp_path: Path) -> None:
    write_photos(tmp_path, [texture((48, 40), 3)] * COUNT)
    files = tuple(str(path) for path in sorted(tmp_path.iterdir()))
    source = a_source(COUNT, kind="photos", files=files)

    def keys(curve: list[dict[str, Any]]) -> dict[int, str]:
        style = {"images": [{"path": "/art/a.png", "weight": curve}]}
        config = parse_config({"name": "swirl", "style": style}, where="test")
        resolved = a_style(config=config)
        values = {"swirl": stylizing_values(config, Clock.of(source), Drivers())}
        return cell_keys(replace(a_plan(resolved, source=source, values=values), source=source), resolved, (1, 4))

    whole, same_start = keys(CROSSING), keys([{"at": 0, "value": 100}, {"at": 1, "value": 81}, {"at": 2, "value": 0.5}])
    assert whole[1] == same_start[1] and whole[4] != same_start[4]
    assert set(whole.values()).isdisjoint(keys([{"at": 0, "value": 100}]).values())


def test_a_promoted_config_keeps_its_curves(tmp_path: Path) -> None:
    follow = "{follow: light, points: [{at: 0.1, value: 100}, {at: 0.6, value: 20, ease: smooth}]}"
    config = load_style(
        "swirl",
        [
            f"style.images.0.weight={follow}",
            "losses.tv.weight=[{at: 0, value: 0.5}, {at: 2s, value: 0.1}]",
            "output.finish.grade.vignette=[{at: 0%, value: 0}, {at: 100%, value: 0.3}]",
        ],
    )
    (tmp_path / "mine.yaml").write_text(config_yaml(config, tmp_path, "promoted"), encoding="utf-8")
    again = load_style(str(tmp_path / "mine.yaml"))
    assert again == config and len(curves_of(again)) == 3


def test_the_sum_of_a_composition_has_the_curves_of_its_finish() -> None:
    curve = [{"at": 0, "value": 0}, {"at": 5, "value": 0.1}]
    data = {
        "layers": [{"render": "a.render"}],
        "grain": curve,
        "detail": {"fine": curve},
        "grade": {"curves": {"luma": [[0, 0], [1, 0.5]]}, "tint": curve},
    }
    finish = CompositionSettings.model_validate(data).finish
    assert set(curves_of(finish)) == {"grain", "detail.fine", "grade.tint"}
    assert list(finish.grade.curves.luma) == [(0, 0), (1, 0.5)]
    assert finish.follow_level == 0


def test_values_at_a_frame_leave_no_curves() -> None:
    config = a_region_config(motion={"boil": [{"at": 0, "value": 0}, {"at": 5, "value": 1}]})
    assert with_values(config, {"motion.boil": 0.25}) == a_region_config(motion={"boil": 0.25})


def test_evaluation_measures_regions_with_the_settings_of_each_frame(clip: Path) -> None:
    settings = SETTINGS | {"input.cuts": "none", REGION: CROSSING}
    pipeline.render(clip / "in", clip / "mine.yaml", output=clip / "v.mkv", settings=settings)
    (found,) = evaluate(clip / "v.render", frames=(0, 2), reporter=SilentReporter()).styles
    losses = {row.name: [figures.loss for figures in row.frames] for row in found.rows}
    # The first frame of the render is cold as the independent one is, and later ones are not.
    assert losses["render"][0] == losses["independent"][0] != losses["input"][0]
    assert losses["render"][1] != losses["independent"][1] and None not in losses["render"]

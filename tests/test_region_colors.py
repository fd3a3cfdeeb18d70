"""Colors matched region by region: what is sampled, which image gets which colors, and renders that are continued."""

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
from pipeline.analysis.shot_colors import SHOT_SAMPLES, decoded_colors, region_colors
from pipeline.config.reading import parse_config
from pipeline.config.settings import Config
from pipeline.errors import ConfigError, RenderDirectoryError
from pipeline.media.image.arrays import to_tensor, to_uint8
from pipeline.media.image.color_transfer import color_transfer, transfer_colors, transfer_regions
from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab
from pipeline.media.reader.source import probe
from pipeline.media.reader.thumbnails import Thumbnails
from pipeline.motion.region_change import region_maps
from pipeline.plan.comparison import extends
from pipeline.plan.extension import kept_until
from pipeline.plan.region_colors import planned_region_colors
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.store.directory import RenderDirectory
from pipeline.stylers import table
from pipeline.stylers.prepared import PreparedStyler
from pipeline.stylers.resources import Resources
from pipeline.stylers.shot_colors import ShotColors, decoded_shots, planned_colors
from pipeline.types import Frame, FrameBatch, FrameStats, RenderPlan, Shot, StylizedBatch
from pipeline.workflows.evaluate import evaluate
from pipeline.workflows.input.cold_frame import cold_frame
from pipeline.workflows.input.first_pass import first_pass
from pipeline.workflows.masks import measured as measured_regions
from pipeline.workflows.masks.region_colors import measured_region_colors
from pipeline.workflows.opened import open_render
from pipeline.workflows.preview.cells import cell_keys
from pipeline.workflows.preview.preview import preview
from tests.support.clips import moving_square, texture, write_photos
from tests.support.masks import landscape, square_clip
from tests.support.neural import SETTINGS
from tests.support.plans import a_config, a_plan, a_source, a_style

RGB = NDArray[np.uint8]
HEIGHT, WIDTH = 40, 50
CPU = Resources(torch.device("cpu"), "float32", None)


def cloud(mean: tuple[float, float, float], spread: float, seed: int) -> RGB:
    """An image of colors around an Oklab color, within sRGB."""
    lab = np.random.default_rng(seed).normal(mean, (2 * spread, spread, spread), (HEIGHT, WIDTH, 3))
    return srgb_from_oklab(lab.astype(np.float32))


BLUE, BROWN = cloud((0.6, -0.02, -0.06), 0.015, 1), cloud((0.5, 0.03, 0.04), 0.02, 2)
ORANGE, GREEN = cloud((0.65, 0.05, 0.06), 0.03, 3), cloud((0.55, -0.08, 0.05), 0.02, 4)
BOTH = np.concatenate([BLUE[:20], BROWN[20:]])
"""A frame, blue above and brown below."""


def halves(mask: float = 1.0) -> NDArray[np.float32]:
    """The maps of a region that covers the upper half, as far as `mask` says."""
    upper = np.zeros((1, HEIGHT, WIDTH), np.float32)
    upper[:, : HEIGHT // 2] = mask
    return region_maps(upper)


def mean(colors: RGB) -> NDArray[np.float32]:
    return np.asarray(oklab_from_srgb(colors.reshape(-1, 3)).mean(axis=0))


def covariance(colors: RGB) -> NDArray[np.float64]:
    return np.cov(oklab_from_srgb(colors.reshape(-1, 3)).T)


# What is sampled


def sampled(frames: Sequence[RGB], maps: Sequence[NDArray[np.float32]], shots: Sequence[Shot]) -> list[list[RGB]]:
    contents = [Frame(index, index, rgb) for index, rgb in enumerate(frames)]
    found = region_colors(lambda index, _: maps[index], contents, shots)
    return [[decoded_colors(part) for part in shot] for shot in found]


def test_colors_of_a_region_are_those_inside_it_in_every_shot() -> None:
    frames = [np.repeat(np.array([[[level] * 3]], np.uint8), 8, axis=0) for level in (10, 20, 30)]
    for frame in frames:
        frame[:4] += 100
    shots = [Shot(0, 0, 2), Shot(1, 2, 3)]
    upper = np.repeat([1, 0], 4).astype(np.float32).reshape(1, 8, 1)
    (rest, inside), (later_rest, later_inside) = sampled(frames, [region_maps(upper)] * 3, shots)
    assert set(rest[:, 0]) == {10, 20} and set(inside[:, 0]) == {110, 120}
    assert set(later_rest[:, 0]) == {30} and set(later_inside[:, 0]) == {130}
    assert len(rest) == len(inside) == len(later_inside) == SHOT_SAMPLES
    assert (np.diff(inside[:, 0].astype(int)) >= 0).all()  # in order of time


def test_pixels_count_as_far_as_they_are_inside_and_frames_as_far_as_they_are_covered() -> None:
    ramp = np.repeat(np.arange(4, dtype=np.uint8)[None, :, None], 3, axis=2)
    soft = np.array([0, 0.25, 0.75, 1], np.float32).reshape(1, 1, 4)
    ((_, inside),) = sampled([ramp], [region_maps(soft)], [Shot(0, 0, 1)])
    np.testing.assert_allclose(
        np.bincount(inside[:, 0], minlength=4) / len(inside), [0, 1 / 8, 3 / 8, 1 / 2], atol=0.03
    )
    flat = [np.full((1, 4, 3), level, np.uint8) for level in (1, 2, 3)]
    grows = [region_maps((np.arange(4) < count).astype(np.float32).reshape(1, 1, 4)) for count in (0, 1, 3)]
    ((_, inside),) = sampled(flat, grows, [Shot(0, 0, 3)])
    np.testing.assert_allclose(np.bincount(inside[:, 0], minlength=4) / len(inside), [0, 0, 1 / 4, 3 / 4], atol=0.001)


def test_part_that_covers_nearly_nothing_of_a_shot_has_the_colors_of_the_shot() -> None:
    maps = halves()
    maps[1] = 0
    maps[1, 0, :4] = 1  # 4 of 2000 px: less than a quarter of a percent
    found = region_colors(lambda *_: maps, [Frame(0, 0, BOTH)], [Shot(0, 0, 1)])
    assert [bool(colors) for colors in found[0]] == [True, False]
    maps[1, 0, 4:6] = 1
    assert region_colors(lambda *_: maps, [Frame(0, 0, BOTH)], [Shot(0, 0, 1)])[0][1]
    whole = BOTH.reshape(-1, 3)[:9]
    (shot,) = decoded_shots([Shot(0, 0, 1)], [whole.tobytes().hex()], found)
    assert np.array_equal(shot.parts[1], whole) and len(shot.parts[0]) == SHOT_SAMPLES


@pytest.mark.parametrize(
    ("mask", "inside"),
    [
        ({"painted": {0: "mask.png"}}, (170, 110, 80)),
        ({"image": "mask.png", "invert": True}, (120, 130, 140)),
        ({"hue": [330, 60]}, (170, 110, 80)),
    ],
    ids=["painted", "image", "hue"],
)
def test_region_has_the_colors_of_what_its_mask_covers(
    tmp_path: Path, mask: dict[str, Any], inside: tuple[int, int, int]
) -> None:
    frames, masks = square_clip(4)
    Image.fromarray((masks[0] * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    files = {key: tmp_path / "mask.png" if key == "image" else value for key, value in mask.items()}
    if "painted" in mask:
        files["painted"] = {0: tmp_path / "mask.png"}
    ((_, found),) = measured(tmp_path, frames, files)
    np.testing.assert_allclose(np.median(found, axis=0), inside, atol=12)


def test_the_sky_has_the_colors_of_the_sky_alone(tmp_path: Path) -> None:
    frame, _ = landscape((90, 140, 220), (110, 90, 50))
    ((ground, sky),) = measured(tmp_path, [frame], {"sky": True})
    np.testing.assert_allclose(np.median(sky, axis=0), (90, 140, 220), atol=15)
    assert (sky[:, 2] > sky[:, 0]).mean() > 0.97 < (ground[:, 0] > ground[:, 2]).mean()


def measured(folder: Path, frames: Sequence[RGB], mask: dict[str, Any]) -> list[list[RGB]]:
    """The colors of the parts of every shot of a clip with one region."""
    write_photos(folder / "in", list(frames))
    config = a_by_region(regions=[{"mask": mask}])
    with Thumbnails(160) as thumbnails:
        source = probe([folder / "in"], config.input, digest=False, thumbnails=thumbnails)
        looked = first_pass(source, config, SilentReporter(), Cancellation(), thumbnails)
        found = measured_region_colors(config, source, looked, thumbnails, SilentReporter(), Cancellation())
    return [[decoded_colors(part) for part in shot] for shot in found]


# Which image gets which colors


def a_by_region(match: str = "style_to_content", method: str = "gaussian", **changes: Any) -> Config:
    data: dict[str, Any] = {
        "name": "swirl",
        "style": {"images": [{"path": "a.png"}]},
        "regions": [{"name": "sky", "mask": {"sky": True}, "style": {"images": [{"path": "b.png"}]}}],
        "color": {"match": match, "method": method, "by_region": True},
    }
    return parse_config(data | changes, where="test")


class Seeing:
    """Gives the content back that it sees."""

    style_colors = None

    def __init__(self, images: table.StyleImages) -> None:
        self.images, self.batches = images, list[FrameBatch]()

    def stylize(self, batch: FrameBatch) -> StylizedBatch:
        self.batches.append(batch)
        return StylizedBatch(batch.content, (FrameStats(1, 0.0),) * len(batch.content))


SHOT = ShotColors(BOTH.reshape(-1, 3), parts=(BROWN.reshape(-1, 3), BLUE.reshape(-1, 3)))


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Build the styler of a config, with orange for the style and green for its region, in a shot."""
    monkeypatch.chdir(tmp_path)
    for name, image in (("a", ORANGE), ("b", GREEN)):
        Image.fromarray(image).save(f"{name}.png")
    monkeypatch.setitem(table.STYLERS, "neural", lambda _config, _resources, _note, images, _shot: Seeing(images))

    def built(config: Config) -> Any:
        return table.build_styler(config, CPU, shot=SHOT)

    return built


@pytest.mark.parametrize("method", ["gaussian", "histogram"])
def test_style_images_of_each_part_have_mean_and_covariance_of_its_content(build: Any, method: str) -> None:
    images = build(a_by_region(method=method)).images
    for found, wanted in ((images.own, BROWN), (images.regions[0], BLUE)):
        np.testing.assert_allclose(mean(found[0]), mean(wanted), atol=0.003)
        np.testing.assert_allclose(covariance(found[0]), covariance(wanted), atol=1e-4)
    whole = build(a_by_region(color={"match": "style_to_content", "method": method})).images
    for found in (whole.own, whole.regions[0]):
        np.testing.assert_allclose(mean(found[0]), mean(BOTH), atol=0.01)


@pytest.mark.parametrize("method", ["gaussian", "histogram"])
def test_content_of_each_part_has_mean_and_covariance_of_its_style_images(build: Any, method: str) -> None:
    styler = build(a_by_region("content_to_style", method))
    assert isinstance(styler, PreparedStyler)
    seen = styler.prepared(BOTH, halves())
    for found, wanted in ((seen[20:], ORANGE), (seen[:20], GREEN)):
        np.testing.assert_allclose(mean(found), mean(wanted), atol=0.005)
        np.testing.assert_allclose(covariance(found), covariance(wanted), atol=2e-4)
    with pytest.raises(ValueError, match="no maps"):
        styler.prepared(BOTH)


def test_region_without_style_keeps_its_pixels_and_the_others_change(build: Any) -> None:
    seen = build(a_by_region("content_to_style", regions=[{"mask": {"sky": True}}])).prepared(BOTH, halves())
    assert np.array_equal(seen[:20], BOTH[:20])
    np.testing.assert_allclose(mean(seen[20:]), mean(ORANGE), atol=0.005)


def test_where_a_mask_is_soft_colors_are_blended() -> None:
    first, second = color_transfer(BLUE, GREEN), color_transfer(BROWN, ORANGE)
    hard = transfer_regions(BOTH, (second, first), halves())
    assert np.array_equal(hard[:20], transfer_colors(BOTH[:20], first))
    assert np.array_equal(hard[20:], transfer_colors(BOTH[20:], second))
    soft = transfer_regions(BOTH, (None, first), halves(0.25))
    lab = oklab_from_srgb(BOTH[:20])
    assert np.array_equal(soft[:20], srgb_from_oklab(lab + np.float32(0.25) * (first(BOTH[:20]) - lab)))


def test_batch_of_frames_with_other_regions_is_its_frames_one_by_one(build: Any) -> None:
    styler = build(a_by_region("content_to_style"))
    contents = torch.stack([to_tensor(BOTH), to_tensor(BLUE)])
    maps = torch.stack([torch.from_numpy(halves()), torch.from_numpy(halves(0.5))])
    together = styler.stylize(FrameBatch("cold", contents, None, (0, 1), regions=maps)).images
    for index in range(2):
        one = slice(index, index + 1)
        alone = styler.stylize(FrameBatch("cold", contents[one], None, (index,), regions=maps[one])).images
        assert torch.equal(together[one], alone)
    assert not torch.equal(together[0], contents[0])


def test_region_can_keep_its_hue_and_chroma_while_the_rest_is_as_without_it(build: Any) -> None:
    sky = {"mask": {"sky": True}, "style": {"images": [{"path": "b.png"}]}}
    plain, keeping = (
        build(a_by_region("content_to_style", regions=[{**sky, "luma_only": value}])) for value in (False, True)
    )
    content, maps = to_tensor(BOTH)[None], torch.from_numpy(halves())[None]
    batch = FrameBatch("warm", content, 1 - content, (0,), 1 - content, torch.ones(1, 1, HEIGHT, WIDTH), regions=maps)
    found, others = (to_uint8(it.stylize(batch).images[0]) for it in (keeping, plain))
    assert np.array_equal(found[20:], others[20:])
    before, after = oklab_from_srgb(BOTH[:20]), oklab_from_srgb(found[:20])
    assert np.abs(after[..., 1:] - before[..., 1:]).max() < 0.006  # a level of sRGB
    np.testing.assert_allclose(after[..., 0].mean(), mean(GREEN)[0], atol=0.005)
    assert np.ptp(keeping.inner.images.regions[0][0].astype(int), axis=-1).max() == 0 < np.ptp(keeping.inner.images.own)
    seen = keeping.inner.batches[-1]
    for images, ungrayed in ((seen.init, batch.init), (seen.warped_previous, batch.warped_previous)):
        assert images is not None and ungrayed is not None
        assert float((images[:, :, :20] - images[:, :1, :20]).abs().max()) < 1e-6
        assert torch.equal(images[:, :, 20:], ungrayed[:, :, 20:])


# The plan

DOOR = {"mask": {"image": "mask.png"}, "style": {"images": [{"path": "/art/b.png"}]}}
PARTS = (("00aa00", "aa0000"),)


def by_region_plan(frames: int = 6, colors: Any = PARTS, shots: Any = None, **color: Any) -> RenderPlan:
    settings = {"match": "style_to_content", "by_region": True} | color
    style = a_style(config=a_config(regions=[DOOR], color=settings))
    shots = shots or (Shot(0, 0, frames),)
    known: dict[str, Any] = {"shot_colors": ["0000ff"] * len(shots), "region_colors": {"swirl": colors}}
    return a_plan(style, source=a_source(frames), shots=shots, **known)


def test_identity_has_the_colors_of_regions_and_no_key_without_them() -> None:
    plan = by_region_plan()
    assert plan.identity["styles.swirl.region_colors"] == [["00aa00", "aa0000"]]
    assert plan.identity["styles.swirl.color.by_region"] is True
    assert plan.digest != by_region_plan(colors=(("00aa00", "aa0001"),)).digest
    plain = by_region_plan(colors=(), by_region=False)
    assert not [key for key in plain.identity if "region_colors" in key or "by_region" in key]
    assert "styles.swirl.color.match" in plain.identity


def test_plan_without_the_colors_of_a_part_is_refused() -> None:
    config = a_config(regions=[DOOR], color={"match": "style_to_content", "by_region": True})
    (shot,) = planned_colors(by_region_plan(colors=(("00aa00", ""),)), config)
    assert [part.tolist() for part in shot.parts] == [[[0, 0xAA, 0]], [[0, 0, 0xFF]]]
    for colors in ((), (("00aa00",),), (("00aa00", "x"),), (*PARTS, *PARTS), (("00aa00", "12345"),)):
        with pytest.raises(RenderDirectoryError, match="no colors of the regions"):
            planned_region_colors(by_region_plan(colors=colors), config)


def test_longer_plan_keeps_the_frames_of_shots_whose_regions_have_the_same_colors() -> None:
    shots = [(Shot(0, 0, 3), Shot(1, 3, 6)), (Shot(0, 0, 3), Shot(1, 3, 9))]
    config = a_config(regions=[DOOR], color={"match": "style_to_content", "by_region": True})

    def kept(*longer: tuple[str, str]) -> dict[str, int]:
        short = by_region_plan(6, PARTS * 2, shots[0])
        long = by_region_plan(9, longer, shots[1])
        assert extends(short, long)
        return kept_until(short, long, {"swirl": config})

    assert kept(*PARTS, *PARTS) == {"swirl-s000": 3, "swirl-s001": 3}
    assert kept(("00aa00", "aa0001"), *PARTS) == {"swirl-s000": 0, "swirl-s001": 3}


def test_key_of_a_cell_depends_on_the_colors_of_regions(tmp_path: Path) -> None:
    write_photos(tmp_path, moving_square(6, size=(64, 48)))
    source = a_source(kind="photos", files=tuple(str(path) for path in sorted(tmp_path.iterdir())))
    config = a_config(regions=[DOOR], color={"match": "style_to_content", "by_region": True})
    keys = [
        cell_keys(replace(by_region_plan(colors=colors), source=source), a_style(config=config), [2])[2]
        for colors in (PARTS, PARTS, (("00aa00", "aa0001"),))
    ]
    assert keys[0] == keys[1] != keys[2]


# Renders

COUNT = 5
CONFIG = """
style: {images: [{path: a.png}]}
regions: [{name: left, mask: {frames: masks, feather: 0.02}, style: {images: [{path: b.png}]}}]
color: {match: MATCH, by_region: true}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos with a cut, a mask that moves, and two styles that match colors by region."""
    folder = tmp_path_factory.mktemp("by-region")
    write_photos(folder / "in", moving_square(COUNT, size=(64, 48), cut_at=3))
    (folder / "masks").mkdir()
    for index in range(COUNT):
        mask = np.zeros((48, 64), np.uint8)
        mask[:, : 24 + 4 * index] = 255
        Image.fromarray(mask).save(folder / "masks" / f"{index}.png")
    for name, seed in (("a", 5), ("b", 6)):
        Image.fromarray(texture((48, 40), seed)).save(folder / f"{name}.png")
    for match in ("style_to_content", "content_to_style"):
        (folder / f"{match}.yaml").write_text(CONFIG.replace("MATCH", match), encoding="utf-8")
    return folder


def stored(path: Path) -> dict[str, bytes]:
    root = path / "frames"
    return {str(found.relative_to(root)): found.read_bytes() for found in sorted(root.glob("*/*.png"))}


@pytest.mark.parametrize("match", ["style_to_content", "content_to_style"])
def test_render_that_is_continued_has_the_same_bytes_and_measures_nothing_again(
    folder: Path, tmp_path: Path, match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**SETTINGS, "motion.segment_frames": 2, "input.deflicker": 0}
    pipeline.render(folder / "in", folder / f"{match}.yaml", output=tmp_path / "one.mkv", settings=options)
    frames = stored(tmp_path / "one.render")
    plain = {**options, "color.by_region": False}
    pipeline.render(folder / "in", folder / f"{match}.yaml", output=tmp_path / "whole.mkv", settings=plain)
    assert not set(frames.items()) & set(stored(tmp_path / "whole.render").items())
    directory = RenderDirectory.open(tmp_path / "one.render")
    assert len(directory.plan.shots) == 2 and any(chain.keyframe_chain for chain in directory.plan.chains)
    opened = open_render(tmp_path / "one.render")
    shots = planned_colors(directory.plan, opened.configs[match])
    assert len(shots) == 2 and all(len(shot.parts) == 2 for shot in shots)
    for chain in directory.plan.chains:
        for path in sorted((tmp_path / "one.render/frames" / chain.id).glob("*.png"))[1:]:
            path.unlink()
    monkeypatch.setattr(measured_regions, "prepare_masks", None)
    pipeline.resume(tmp_path / "one.render")
    assert stored(tmp_path / "one.render") == frames


def test_preview_evaluation_and_explanation_see_the_frames_of_the_render(folder: Path, tmp_path: Path) -> None:
    options = {**SETTINGS, "input.deflicker": 0, "output.finish.follow_level": 0}
    style = folder / "content_to_style.yaml"
    pipeline.render(folder / "in", style, output=tmp_path / "one.mkv", settings=options)
    opened = open_render(tmp_path / "one.render")
    (config,) = opened.configs.values()
    planned = planned_colors(opened.plan, config)
    quiet = SilentReporter()
    with Thumbnails(160) as thumbnails:
        source = probe([folder / "in"], config.input, digest=False, thumbnails=thumbnails)
        sheet = {"width_px": 64, "height_px": 48, "weights": None, "reporter": quiet, "run_up": 0}
        shown = preview(source, [config], [3], thumbnails=thumbnails, **sheet)  # type: ignore[arg-type]
    chain = next(chain for chain in opened.plan.chains if 3 in chain.frames)
    assert np.array_equal(shown.finished[0][3], opened.directory.read_frame(chain.id, 3))
    cold = cold_frame(source, config, 3, size_px=(64, 48), reporter=quiet, cancellation=Cancellation())
    for mine, other in zip(cold.shots, planned, strict=True):
        assert all(np.array_equal(*pair) for pair in zip(mine.parts, other.parts, strict=True))
    (found,) = evaluate(tmp_path / "one.render", frames=(3, 4), baselines=False, reporter=quiet).styles
    losses = {row.name: [figures.loss for figures in row.frames] for row in found.rows}
    assert None not in losses["render"] and losses["render"] != losses["input"]


def test_trial_grows_to_the_bytes_of_the_whole(folder: Path, tmp_path: Path) -> None:
    style = folder / "content_to_style.yaml"
    options = {**SETTINGS, "input.deflicker": 0}
    for frames in ((0, 2), (0, 4), None):
        pipeline.render(folder / "in", style, output=tmp_path / "trial.mkv", settings=options, frames=frames)
    pipeline.render(folder / "in", style, output=tmp_path / "whole.mkv", settings=options)
    assert stored(tmp_path / "trial.render") == stored(tmp_path / "whole.render")


def test_image_by_itself_is_matched_by_its_own_regions(folder: Path) -> None:
    content = np.concatenate([np.tile(BLUE, (2, 1, 1))[:48, :32], np.tile(BROWN, (2, 1, 1))[:48, :32]], axis=1)
    shutil.copy(folder / "masks/2.png", folder / "half.png")
    text = CONFIG.replace("MATCH", "style_to_content").replace("frames: masks", "image: half.png")
    (folder / "still.yaml").write_text(text, encoding="utf-8")
    by_region, whole = (
        pipeline.stylize(content, folder / "still.yaml", settings={**SETTINGS, "color.by_region": value})
        for value in (True, False)
    )
    blue = [mean(found[:, :28])[2] for found in (by_region, whole)]
    assert blue[0] < blue[1] - 0.005  # less of the brown of the other side


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"regions": []}, "the style has no regions"),
        ({"regions": [], "styler": "palette"}, "the style has no regions"),
        ({"styler": "superpixel"}, "only the styler neural has them"),
        ({"regions.0.luma_only": True, "regions.0.style": None}, "luma_only acts on a style"),
        (
            {"regions.0.style.images.0.weight": [{"at": 0, "value": 1}, {"at": 4, "value": 9}]},
            "weights are no curves",
        ),
    ],
)
def test_what_cannot_be_matched_by_region_is_refused(folder: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        pipeline.load_style(folder / "content_to_style.yaml", settings)
    assert raised.value.exit_code == 3 and raised.value.hint

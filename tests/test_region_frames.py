"""Regions on video: what a chain reads of moving masks, warm starts by region, and renders that are continued."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import pipeline
from pipeline import cli
from pipeline.config.masks import MaskSettings
from pipeline.config.settings import MotionSettings
from pipeline.errors import ConfigError, InputError, RenderDirectoryError, TemperaError
from pipeline.execute.chain_frames import ChainFrame, ChainSettings, chain_frames
from pipeline.media.image.recolor import color_gaussian
from pipeline.media.reader.source import read_frames
from pipeline.motion.device_warm_start import device_warm_start
from pipeline.motion.light_change import light_change
from pipeline.motion.new_areas import start_of_new_pixels
from pipeline.motion.region_change import region_change, region_maps
from pipeline.motion.warm_start import warm_start
from pipeline.plan.paths import relative_config
from pipeline.store.directory import RenderDirectory
from pipeline.types import Chain, Frame, StyleColors
from pipeline.workflows.opened import open_render
from tests.support.clips import moving_square, texture, write_video
from tests.support.frames import blotches, constant_flow

HEIGHT, WIDTH = 96, 128
RED, BLUE = np.array([200, 60, 40]), np.array([40, 70, 190])


def colors(*rgb: NDArray[np.int64]) -> StyleColors:
    """The colors of a style and of its regions, each around one color."""
    each = []
    for one in rgb:
        noise = np.random.default_rng(0).normal(0, 10, (32, 32, 3))
        each.append(StyleColors((color_gaussian((one + noise).clip(0, 255).astype(np.uint8)),), (1.0,)))
    return StyleColors(each[0].gaussians, (1.0,), tuple(each[1:]))


def strip(left: int) -> NDArray[np.float32]:
    """A mask (1, H, W) of 40 columns, with an edge of 4 px."""
    mask = np.zeros((1, HEIGHT, WIDTH), np.float32)
    mask[:, :, left : left + 40] = 1
    return np.asarray(cv2.GaussianBlur(mask[0], (0, 0), 1.5))[None]


CONTENT = blotches(HEIGHT, WIDTH, 3, 4)


def still(start: int, stop: int) -> Generator[Frame]:
    for index in range(start, stop):
        yield Frame(index, index, CONTENT)


def moving(index: int, content: NDArray[np.uint8]) -> NDArray[np.float32]:
    assert content.shape == (HEIGHT, WIDTH, 3)
    return strip(10 + 12 * index)


def frames(start: int = 0, *, boil: float = 0.0) -> list[ChainFrame]:
    settings = ChainSettings(MotionSettings(boil=boil), (5,), masks=moving)
    return list(chain_frames(Chain("a", "a", 0, 0, 4, 0), start, still, settings))


def test_where_a_mask_moves_over_the_content_nothing_is_taken_over() -> None:
    frame = frames()[1]
    found = frame.correspondences[0]
    assert frame.regions is not None and np.array_equal(frame.regions, region_maps(strip(22)))
    for changed in (slice(13, 19), slice(53, 59)):  # left behind, and covered anew
        assert (found.confidence[:, changed] == 0).all() and (found.change[:, changed] == 1).all()
    for same in (slice(0, 3), slice(30, 42), slice(70, WIDTH)):
        assert (found.confidence[:, same] == 1).all() and not found.change[:, same].any()
    assert frame.recent_change is not None and frame.recent_change[:, 55].min() > 0.9


def test_chain_that_is_continued_has_the_same_regions_and_correspondences() -> None:
    for whole, continued in zip(frames()[2:], frames(2), strict=True):
        for mine, other in ((whole.regions, continued.regions), (whole.recent_change, continued.recent_change)):
            assert mine is not None and other is not None and np.array_equal(mine, other)
        for index, found in whole.correspondences.items():
            assert np.array_equal(found.confidence, continued.correspondences[index].confidence)


def test_cold_frames_have_their_regions_too() -> None:
    for cold, warm in zip(frames(boil=1.0), frames(), strict=True):
        assert not cold.correspondences and cold.regions is not None and warm.regions is not None
        assert np.array_equal(cold.regions, warm.regions)


def test_region_that_moves_with_its_content_has_not_changed() -> None:
    before, now = region_maps(strip(20)), region_maps(strip(27))
    assert not region_change(before, now, constant_flow(-7, 0)).any()
    assert region_change(before, now, constant_flow(0, 0)).max() == 1


def test_new_pixels_start_in_the_colors_of_their_region() -> None:
    maps = region_maps(strip(44))
    start = start_of_new_pixels(CONTENT, np.full((HEIGHT, WIDTH, 3), 0.5, np.float32), colors(RED, BLUE), maps)
    assert np.allclose(start[:, :40].mean(axis=(0, 1)) * 255, RED, atol=8)
    assert np.allclose(start[:, 48:80].mean(axis=(0, 1)) * 255, BLUE, atol=8)


def test_new_pixels_take_no_strokes_from_another_region() -> None:
    maps = np.zeros((2, HEIGHT, WIDTH), np.float32)
    maps[0, :, :21], maps[1, :, 21:] = 1, 1  # the left edge takes its strokes from 21 px farther right
    stylized = np.divide(blotches(HEIGHT, WIDTH, 5), 255, dtype=np.float32)
    flat = np.full_like(stylized, 0.5)
    with_strokes, without = (start_of_new_pixels(CONTENT, it, colors(RED, BLUE), maps) for it in (stylized, flat))
    assert np.allclose(with_strokes[:, :21], without[:, :21], atol=1e-5)
    assert np.abs(with_strokes[:, 40:] - without[:, 40:]).max() > 0.1


def test_light_that_did_not_change_changes_no_region() -> None:
    found = frames()[1].correspondences[0]
    assert found.light is not None
    assert not light_change(found.light, colors(RED, BLUE), region_maps(strip(22))).any()


def test_device_makes_the_same_warm_start() -> None:
    frame = frames()[1]
    stylized = {0: blotches(HEIGHT, WIDTH, 9)}
    options = {"recent_change": frame.recent_change, "style_colors": colors(RED, BLUE), "regions": frame.regions}
    here = warm_start(CONTENT, stylized, frame.correspondences, **options)  # type: ignore[arg-type]
    there = device_warm_start(torch.device("cpu"), CONTENT, stylized, frame.correspondences, **options)  # type: ignore[arg-type]
    assert here is not None and there is not None
    for name in ("init", "target", "confidence"):
        assert torch.allclose(getattr(there, name), getattr(here, name), atol=1e-4), name


# Renders

SETTINGS = {
    "encoder": "tiny",
    "optimize.cold.evaluations": 2,
    "optimize.warm.evaluations": 2,
    "optimize.cold.min_scale_px": 32,
    "runtime.threads": 1,
    "input.cuts": "none",
}
CONFIG = """
style: {images: [{path: a.png}]}
regions:
  - {name: left, mask: {image: left.png}, style: {images: [{path: b.png}], scale: 0.5}, content_weight: 2}
  - {name: kept, mask: {image: kept.png, feather: 0}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("regions")
    write_video(folder / "clip.mp4", moving_square(5, size=(64, 48)))
    for name, seed in (("a", 3), ("b", 4)):
        Image.fromarray(texture((48, 40), seed)).save(folder / f"{name}.png")
    for name, columns in (("left", slice(0, 32)), ("kept", slice(48, 64))):
        mask = np.zeros((48, 64), np.uint8)
        mask[:, columns] = 255
        Image.fromarray(mask).save(folder / f"{name}.png")
    (folder / "mine.yaml").write_text(CONFIG, encoding="utf-8")
    return folder


def stored(folder: Path, name: str) -> dict[str, bytes]:
    root = folder / f"{name}.render/frames"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.glob("*/*.png"))}


def test_render_that_is_continued_has_the_same_bytes_and_the_kept_region_those_of_the_content(folder: Path) -> None:
    options = {**SETTINGS, "motion.segment_frames": 2}
    pipeline.render(folder / "clip.mp4", folder / "mine.yaml", output=folder / "one.mkv", settings=options)
    frames = stored(folder, "one")
    directory = RenderDirectory.open(folder / "one.render")
    assert any(chain.keyframe_chain for chain in directory.plan.chains)
    shutil.copytree(folder / "one.render", folder / "two.render")
    for chain in directory.plan.chains:
        for path in sorted((folder / "two.render/frames" / chain.id).glob("*.png"))[1:]:
            path.unlink()
    pipeline.resume(folder / "two.render")
    assert stored(folder, "two") == frames
    opened = open_render(folder / "one.render")
    contents = read_frames(
        opened.source, width_px=64, height_px=48, settings=opened.configs["mine"].input, start=0, stop=5
    )
    for content in contents:
        chain = next(it for it in directory.plan.chains if it.in_output and content.index in it.frames)
        found = directory.read_frame(chain.id, content.index)
        assert np.array_equal(found[:, 49:], content.rgb[:, 49:])
        assert not np.array_equal(found[:, :47], content.rgb[:, :47])


def test_render_with_another_mask_is_another_render(folder: Path) -> None:
    mask = folder / "left.png"
    before = mask.read_bytes()
    first = pipeline.render(folder / "clip.mp4", folder / "mine.yaml", output=folder / "m.mkv", settings=SETTINGS)
    assert first[0].is_file()
    Image.fromarray(np.full((48, 64), 255, np.uint8)).save(mask)
    try:
        with pytest.raises(RenderDirectoryError, match=r"regions\.0\.mask\.image"):
            pipeline.render(folder / "clip.mp4", folder / "mine.yaml", output=folder / "m.mkv", settings=SETTINGS)
    finally:
        mask.write_bytes(before)


def test_still_image_has_regions_too(folder: Path) -> None:
    content = texture((64, 48), 8)
    options = {key: value for key, value in SETTINGS.items() if key != "input.cuts"}
    found = pipeline.stylize(content, folder / "mine.yaml", settings=options)
    assert np.array_equal(found[:, 49:], content[:, 49:])
    assert np.abs(found[:, :32].astype(int) - content[:, :32]).mean() > 5


@pytest.mark.parametrize(
    ("mask", "error", "code", "words"),
    [
        ({"image": "black.png"}, ConfigError, 3, "region left.*black.png is black"),
        ({"painted": {2: "black.png"}}, ConfigError, 3, "region left.*all painted masks are black"),
        ({"luminance": [0.98, 1], "softness": 0}, InputError, 4, "region left.*luminance"),
    ],
)
def test_region_that_covers_nothing_is_an_error_before_the_first_frame(
    folder: Path, tmp_path: Path, mask: dict[str, object], error: type[TemperaError], code: int, words: str
) -> None:
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(folder / "black.png")
    text = CONFIG.replace("mask: {image: left.png}", f"mask: {json.dumps(mask)}")
    (folder / "black.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(error, match=words) as raised:
        pipeline.render(folder / "clip.mp4", folder / "black.yaml", output=tmp_path / "b.mkv", settings=SETTINGS)
    assert raised.value.exit_code == code and "remove region left" in raised.value.hint
    assert not list((tmp_path / "b.render").glob("frames/*/*.png"))
    found = pipeline.render(folder / "clip.mp4", folder / "mine.yaml", output=tmp_path / "b.mkv", settings=SETTINGS)
    assert found[0].is_file()  # nothing was begun with the settings that were refused


def test_longer_clip_than_its_masks_leaves_the_shorter_render_as_it_is(folder: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for index in range(3):
        shutil.copy(folder / "left.png", masks / f"{index}.png")
    text = CONFIG.replace("mask: {image: left.png}", f"mask: {{frames: {json.dumps(str(masks))}}}")
    (folder / "short.yaml").write_text(text, encoding="utf-8")
    request = [str(folder / "clip.mp4"), "-s", str(folder / "short.yaml"), "-o", str(tmp_path / "s.mkv")]
    request += [f"--set={key}={value}" for key, value in SETTINGS.items()]
    assert cli.run(["render", *request, "--frames=0:3"]) == 0
    plan = (tmp_path / "s.render/plan.json").read_bytes()
    for words in (["--dry-run"], []):
        assert cli.run(["render", *request, *words]) == 3
        assert (tmp_path / "s.render/plan.json").read_bytes() == plan
    assert cli.run(["render", *request, "--frames=0:3"]) == 0


def test_region_may_cover_nothing_in_some_frames(folder: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for index in range(5):
        Image.fromarray(np.full((48, 64), 255 * (index == 3), np.uint8)).save(masks / f"{index}.png")
    text = CONFIG.replace("mask: {image: left.png}", f"mask: {{frames: {json.dumps(str(masks))}}}")
    (folder / "some.yaml").write_text(text, encoding="utf-8")
    found = pipeline.render(folder / "clip.mp4", folder / "some.yaml", output=tmp_path / "s.mkv", settings=SETTINGS)
    assert found[0].is_file()


# The config


def test_paths_of_regions_are_relative_to_the_config_and_settings_reach_them(folder: Path) -> None:
    config = pipeline.load_style(folder / "mine.yaml", {"regions.0.content_weight": 3, "regions.0.style.scale": 0.7})
    left, kept = config.regions
    assert left.mask.image == folder / "left.png" and left.style is not None
    assert left.style.images[0].path == folder / "b.png"
    assert (left.content_weight, left.style.scale, kept.style) == (3, 0.7, None)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("regions.0.content_wieght", 2, "content_wieght"),
        ("regions.7.content_weight", 2, "no such entry"),
        ("styler", "palette", "only the styler neural"),
        ("regions.0.style.images.0.weight", 0, "above 0"),
    ],
)
def test_wrong_regions_are_config_errors(folder: Path, key: str, value: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        pipeline.load_style(folder / "mine.yaml", {key: value})


def test_config_in_a_plan_finds_its_files_from_the_render(folder: Path) -> None:
    config = pipeline.load_style(folder / "mine.yaml")
    mask = MaskSettings(painted={3: folder / "left.png"})
    config = config.model_copy(update={"regions": (config.regions[0].model_copy(update={"mask": mask}),)})
    data = json.loads(json.dumps(relative_config(config, folder / "x.render")))
    assert data["regions"][0]["mask"]["painted"] == {"3": "../left.png"}
    assert data["regions"][0]["style"]["images"][0]["path"] == "../b.png"

"""Sizes and crops by the command line: of the input before the work, and of outputs without stylizing again."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.media.image.load import load_rgb
from pipeline.media.reader.source import read_frames, uncropped
from pipeline.store.directory import RenderDirectory
from pipeline.workflows.opened import open_render
from tests.support.command_line import FRAMES, Tempera, assert_refused, export, pictures, tree

QUIET = ["--set=styler=palette", "-s", "{media}/waves.png", "--progress=none"]
FLAT = [*QUIET, "--progress=plain"]


def test_a_crop_shows_the_pixels_of_its_place(tempera: Tempera, copy: Path) -> None:
    before = tree(copy / "frames")
    plain, _ = export(tempera, copy, "plain.mkv")
    path, said = export(tempera, copy, "square.mkv", "crop=1:1", "crop_x=1")
    whole, square = pictures(plain), pictures(path)
    height, width = whole[0].shape[:2]
    assert len(square) == FRAMES and square[0].shape == (height, height, 3)
    assert all(np.array_equal(one, all_of[:, width - height :]) for one, all_of in zip(square, whole, strict=True))
    assert f"{height}x{height} px of frames of {width}x{height}" in said and "is cropped" in said
    assert tree(copy / "frames") == before


def test_an_enlarged_video_has_the_size_and_the_same_bytes_twice(tempera: Tempera, copy: Path) -> None:
    plan = RenderDirectory.open(copy).plan
    settings = ("size=x240", "crop=9:16", "crop_x=[{at: 0, value: 0}, {at: 100%, value: 1}]", "depth=16")
    path, _ = export(tempera, copy, "a.mkv", *settings)
    again, _ = export(tempera, copy, "b.mkv", *settings)
    shown = pictures(path)
    assert shown[0].shape == (240, 2 * round(240 * 9 / 32), 3) and plan.height_px < 240
    assert all(np.array_equal(*pair) for pair in zip(shown, pictures(again), strict=True))
    assert not np.array_equal(shown[0], shown[-1])


def test_bars_stay_black_in_a_retimed_video(tempera: Tempera, copy: Path) -> None:
    path, said = export(tempera, copy, "slow.mkv", "time.fps=20", "view.zoom=1.2", "size=96x96", "fit=contain")
    shown = pictures(path)
    assert len(shown) == 2 * FRAMES and shown[0].shape == (96, 96, 3)
    inner = 96 * RenderDirectory.open(copy).plan.height_px // RenderDirectory.open(copy).plan.width_px
    bar = (96 - inner) // 2
    assert all(not one[:bar].any() and not one[-bar:].any() and one[bar:-bar].any() for one in shown)
    assert "are bars" in said


def test_a_retimed_and_cropped_video_is_the_cropped_retimed_one(tempera: Tempera, copy: Path) -> None:
    whole = pictures(export(tempera, copy, "whole.mkv", "time.fps=20")[0])
    square = pictures(export(tempera, copy, "square.mkv", "time.fps=20", "crop=1:1", "crop_x=0")[0])
    side = whole[0].shape[0]
    assert len(square) == len(whole) and all(
        np.array_equal(part, one[:, :side]) for part, one in zip(square, whole, strict=True)
    )


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        (["size=100x100"], 3, ["another aspect", "output.fit=cover", "output.fit=contain"]),
        (["size=20001"], 3, ["2 to 20000 px"]),
        (["crop_x=1.5", "crop=1:1"], 3, ["output.crop_x"]),
        (["crop=wide"], 3, ["output.crop"]),
        (["size=64", "codec=dnxhr"], 8, ["are the least"]),
        (["size=8192", "profile=phone"], 8, ["output.size=4096"]),
        (["crop=1:1", "crop_x={follow: light, points: [{at: 0, value: 0}, {at: 1, value: 1}]}"], 3, ["output.crop_x"]),
    ],
)
def test_what_cannot_be_is_refused_by_export_and_by_render(
    tempera: Tempera, copy: Path, settings: list[str], code: int, words: list[str]
) -> None:
    sets = [f"--set=output.{setting}" for setting in settings]
    before = tree(copy)
    assert_refused(tempera("export", copy, "-o", "x.mov", "--progress=none", *sets), code, *words)
    assert tree(copy) == before and not Path("x.mov").exists()
    refused = tempera("render", "{media}/clip.mp4", *QUIET, "-o", "y.mov", *sets)
    assert_refused(refused, code, *words)
    assert not Path("y.mov").exists() and not Path("y.render").exists()


def test_two_sides_of_another_aspect_are_refused(tempera: Tempera) -> None:
    refused = tempera("render", "{media}/clip.mp4", *QUIET, "--width=64", "--height=64", "-o", "x.mp4")
    assert_refused(refused, 2, "another aspect", "input.fit=cover", "input.fit=contain", "--width 64")
    assert not Path("x.render").exists()


@pytest.mark.parametrize("name", ["clip.mp4", "photos"])
def test_cover_stylizes_the_middle(tempera: Tempera, name: str) -> None:
    arguments = [
        "render",
        f"{{media}}/{name}",
        *FLAT,
        "--set=input.fit=cover",
        "--width=48",
        "--height=64",
        "-o",
        "x.mp4",
    ]
    result = tempera(*arguments)
    assert result.code == 0, result.err
    assert "of each frame is left out" in result.err
    opened = open_render(Path("x.render"))
    whole_px = opened.source.uncropped_px
    assert (opened.plan.width_px, opened.plan.height_px) == (48, 64) and whole_px is not None
    assert opened.source.height_px == whole_px[1] and opened.source.width_px == round(whole_px[1] * 3 / 4)
    settings = next(iter(opened.configs.values())).input
    sources = uncropped(opened.source), opened.source
    given, seen = (next(read_frames(source, stop=1, settings=settings)) for source in sources)
    left = (whole_px[0] - opened.source.width_px) // 2
    assert np.array_equal(seen.rgb, given.rgb[:, left : left + opened.source.width_px])
    again = tempera(*arguments)
    assert again.code == 0 and tempera("verify", "x.render").code == 0
    assert tempera("resume", "x.render", "--progress=none").code == 0
    changed = tempera(*[word for word in arguments if word != "--height=64"])
    assert changed.code == 5 and "geometry.height_px" in changed.err


def test_contain_stylizes_the_inside_and_adds_bars_to_the_video(tempera: Tempera) -> None:
    sizes = ["--set=input.fit=contain", "--width=64", "--height=64"]
    result = tempera("render", "{media}/clip.mp4", *FLAT, *sizes, "--set=output.codec=ffv1", "-o", "x.mkv")
    assert result.code == 0, result.err
    plan = RenderDirectory.open(Path("x.render")).plan
    shown = pictures(Path("x.mkv"))
    bar = (64 - plan.height_px) // 2
    assert plan.width_px == 64 and plan.height_px < 64 and shown[0].shape == (64, 64, 3)
    assert all(not one[:bar].any() and not one[-bar:].any() for one in shown)
    assert "are bars" in result.err
    assert tempera("export", "x.render", "-o", "y.mkv").code == 0
    assert all(np.array_equal(*pair) for pair in zip(shown, pictures(Path("y.mkv")), strict=True))


def test_one_image_folders_and_gifs_are_framed(tempera: Tempera, copy: Path) -> None:
    settings = ["--set=output.crop=1:1", "--set=output.size=32", "--progress=none"]
    for name in ("%02d.png", "a.gif"):
        assert tempera("export", copy, "-o", name, *settings).code == 0
    with Image.open("a.gif") as image:
        assert image.size == (32, 32)
    assert load_rgb(Path("04.png")).shape == (32, 32, 3)
    Image.fromarray(load_rgb(Path("00.png"))).resize((60, 40)).save("photo.png")
    assert tempera("render", "photo.png", *QUIET, *settings, "-o", "x.png").code == 0
    with Image.open("x.png") as image:
        assert image.size == (32, 32)


def test_compositions_are_framed(tempera: Tempera, copy: Path) -> None:
    text = f"layers: [{{render: {copy}}}]\noutput: {{crop: 1:1, size: 32, codec: ffv1, crop_x: [{{at: 0, value: 0}}]}}"
    Path("c.yaml").write_text(text, encoding="utf-8")
    result = tempera("compose", "c.yaml", "-o", "c.mkv", "--progress=plain")
    assert result.code == 0, result.err
    assert [one.shape for one in pictures(Path("c.mkv"))] == [(32, 32, 3)] * FRAMES
    assert "is cropped" in result.err


def test_sixteen_bits_stay_in_enlarged_images(tempera: Tempera, copy: Path) -> None:
    settings = ["--set=output.depth=16", "--set=output.size=200", "--progress=none"]
    assert tempera("export", copy, "-o", "%02d.png", *settings).code == 0
    deep = cv2.imread("00.png", cv2.IMREAD_UNCHANGED)
    assert deep is not None and deep.dtype == np.uint16 and deep.shape[1] == 200 and (deep % 257).any()

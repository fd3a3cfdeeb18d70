"""Looks without a network: palettes of the content, dithering, steadiness on a tripod, swatches, and whole renders."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline import cli
from pipeline.config.finish import FinishSettings
from pipeline.errors import UsageError
from pipeline.media.image.color_names import color_names
from pipeline.media.image.dither import BLUE_NOISE_PX, dithered, thresholds
from pipeline.media.image.load import load_rgb
from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab
from pipeline.media.image.palette import drifted, main_colors
from pipeline.media.image.png import save_png
from pipeline.media.image.swatch import Swatch, check_suffix, write_swatches
from pipeline.media.image.transfer import linear_from_pixels
from pipeline.postprocess.finish import finish
from pipeline.postprocess.shot_look import shot_look
from pipeline.stylers.palette import PaletteStyler
from pipeline.stylers.shot_colors import ShotColors
from pipeline.stylers.superpixel import SuperpixelStyler
from tests.support.clips import texture, write_photos

if TYPE_CHECKING:
    from numpy.typing import NDArray

    RGB = NDArray[np.uint8]

GRAYS = oklab_from_srgb(np.array([(40, 40, 40), (220, 220, 220)], np.uint8))


@pytest.mark.parametrize("pattern", ["ordered", "blue_noise"])
@pytest.mark.parametrize("level", [60, 120, 200])
def test_dithering_preserves_the_mean_of_light(pattern: str, level: int) -> None:
    flat = np.full((64, 64, 3), level, np.uint8)
    result = dithered(flat, GRAYS, pattern)  # type: ignore[arg-type]
    assert set(np.unique(result)) == {40, 220}
    assert abs(float(linear_from_pixels(result).mean()) - float(linear_from_pixels(flat).mean())) < 0.006


def test_blue_noise_has_no_low_frequencies_and_every_threshold() -> None:
    tile = thresholds("blue_noise")
    np.testing.assert_allclose(np.sort(tile.ravel()), (np.arange(BLUE_NOISE_PX**2) + 0.5) / BLUE_NOISE_PX**2)
    power = np.abs(np.fft.fft2(tile - tile.mean())) ** 2
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(BLUE_NOISE_PX)] * 2))
    assert power[(frequency > 0) & (frequency < 0.1)].mean() < 0.02 * power[frequency > 0.3].mean()


def test_dithering_holds_what_was_there_against_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 3, (2, 64, 64, 3))
    first, second = (np.clip(130 + part, 0, 255).astype(np.uint8) for part in noise)
    before = dithered(first, GRAYS, "ordered")
    free, held = dithered(second, GRAYS, "ordered"), dithered(second, GRAYS, "ordered", before)
    assert (held != before).mean() < 0.3 * (free != before).mean()
    np.testing.assert_array_equal(dithered(second, GRAYS, "ordered", before, np.zeros((64, 64), np.float32)), free)


def tripod(noise: float = 3.0, frames: int = 14) -> list[RGB]:
    """A still scene with smooth and sharp parts under sensor noise, 48x64."""
    y, x = np.mgrid[:48, :64].astype(np.float64)
    scene = np.dstack([90 + 1.5 * y, 120 + y + 8 * np.sin(x / 6), 200 - x])
    scene[y > 30 + 5 * np.sin(x / 8)] = (70, 110, 50)
    random = np.random.default_rng(1)
    return [
        np.clip(np.rint(scene + random.normal(0, noise, scene.shape)), 0, 255).astype(np.uint8) for _ in range(frames)
    ]


def mean_change(frames: list[RGB]) -> float:
    return float(np.mean([np.abs(b.astype(int) - a).mean() for a, b in itertools.pairwise(frames)]))


STYLE = texture((64, 48), 3)


def shot_of(frames: list[RGB]) -> ShotColors:
    return ShotColors(np.concatenate([frame.reshape(-1, 3)[::40] for frame in frames]), 0, len(frames))


LOOKS: dict[str, Callable[[ShotColors], PaletteStyler | SuperpixelStyler]] = {
    "palette": lambda _: PaletteStyler([STYLE], 8, 0),
    "palette of the content": lambda shot: PaletteStyler([STYLE], 8, 0, shot=shot),
    "drifting palette": lambda shot: PaletteStyler([STYLE], 8, 0, shot=shot, drift=True),
    "ordered": lambda _: PaletteStyler([STYLE], 8, 0, dither="ordered"),
    "blue noise": lambda shot: PaletteStyler([STYLE], 8, 0, shot=shot, dither="blue_noise"),
    "superpixel": lambda _: SuperpixelStyler([STYLE], 40, 0),
    "superpixel without lines": lambda _: SuperpixelStyler([STYLE], 40, 0, border_width=0),
    "superpixel of mean color": lambda _: SuperpixelStyler([], 40, 0),
}


@pytest.mark.parametrize("name", LOOKS)
def test_tripod_shot_is_not_less_steady_than_its_content(name: str) -> None:
    contents = tripod()
    styler = LOOKS[name](shot_of(contents))
    frames: list[RGB] = []
    for index, content in enumerate(contents):
        previous = frames[-1] if frames else None
        if isinstance(styler, PaletteStyler):
            frames.append(styler.stylize_frame(content, previous, index=index))
        else:
            frames.append(styler.stylize_frame(content, previous))
    assert mean_change(frames[2:]) <= 1.1 * mean_change(contents[2:])


@pytest.mark.parametrize("dither", ["none", "blue_noise"])
def test_finished_palette_of_a_tripod_shot_is_about_as_steady(dither: str) -> None:
    frames = tripod()
    settings = FinishSettings.model_validate({"palette": 8, "dither": dither})
    look = shot_look(frames, None, settings, 0, lambda *_: frames)
    shown = [finish(frame, frame, settings, index=index, seed=0, look=look) for index, frame in enumerate(frames)]
    assert mean_change(shown) <= 1.1 * mean_change(frames) or dither != "none"
    assert look.palette is not None and len(look.palette) == 8
    if dither != "none":
        assert len(np.unique(np.concatenate(shown).reshape(-1, 3), axis=0)) <= 8


def test_drifting_palette_follows_the_shot_slowly_and_depends_on_the_frame_alone() -> None:
    colors = np.repeat(np.linspace(40, 200, 1000).astype(np.uint8)[:, None], 3, axis=1)
    styler = PaletteStyler([colors[None]], 4, 0, shot=ShotColors(colors, 0, 600), drift=True)
    palettes = [styler.palette_at(index) for index in range(600)]
    errors = []
    for palette in (palettes, [styler.palette] * 600):
        now = oklab_from_srgb(colors[np.arange(600) * 1000 // 600])
        errors.append(np.mean([np.abs(now[index, 0] - palette[index][:, 0]).min() for index in range(600)]))
    assert errors[0] < 0.6 * errors[1]
    assert max(np.abs(b - a).max() for a, b in itertools.pairwise(palettes)) < 0.01
    np.testing.assert_array_equal(styler.palette_at(99), styler.palette_at(99))


def test_entry_without_colors_stays_where_it_is() -> None:
    palette = oklab_from_srgb(np.array([(0, 0, 0), (255, 0, 0)], np.uint8))
    moved = drifted(palette, oklab_from_srgb(np.full((50, 3), 30, np.uint8)), np.ones(50))
    np.testing.assert_allclose(moved[1], palette[1], atol=2e-3)
    assert moved[0, 0] > palette[0, 0]


def test_main_colors_of_few_colors_are_these() -> None:
    wanted = np.array([(20, 30, 90), (200, 60, 30), (240, 230, 150)], np.uint8)
    found = srgb_from_oklab(main_colors(oklab_from_srgb(np.repeat(wanted, 40, axis=0)), 3, np.random.default_rng(0)))
    np.testing.assert_allclose(found.astype(int), wanted.astype(int), atol=2)


def test_colors_are_named() -> None:
    rgb = np.array([(255, 0, 0), (0, 0, 128), (1, 0, 127), (128, 128, 128)], np.uint8)
    assert color_names(rgb) == ["red", "navy", "navy 2", "gray"]


SWATCHES = [Swatch("red", "#ff0000", 0.25), Swatch("navy", "#000080", 0.75)]


def test_swatches_are_written_in_every_format(tmp_path: Path) -> None:
    for suffix in ("png", "gpl", "ase", "json"):
        write_swatches(tmp_path / f"x.{suffix}", SWATCHES)
    assert (load_rgb(tmp_path / "x.png")[20, 20] == (255, 0, 0)).all()
    assert (tmp_path / "x.gpl").read_text().splitlines()[4:] == ["255   0   0\tred", "  0   0 128\tnavy"]
    assert json.loads((tmp_path / "x.json").read_text())[1] == {"name": "navy", "hex": "#000080", "fraction": 0.75}
    data = (tmp_path / "x.ase").read_bytes()
    assert struct.unpack(">4sHHIHI", data[:18]) == (b"ASEF", 1, 0, 2, 1, 2 + 8 + 18)
    assert data[20:28].decode("utf-16-be") == "red\0" and struct.unpack(">4s3fH", data[28:46]) == (b"RGB ", 1, 0, 0, 0)
    with pytest.raises(UsageError, match=r"cannot be written as \.bmp"):
        check_suffix(tmp_path / "x.bmp")


def test_palette_command_lists_names_and_writes_a_swatch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 30:] = (255, 0, 0)
    save_png(tmp_path / "in.png", image)
    arguments = ["palette", str(tmp_path / "in.png"), "--colors", "5", "-o", str(tmp_path / "s.gpl")]
    assert cli.run([*arguments, "--progress", "none"]) == 0
    black, red = capsys.readouterr().out.splitlines()
    assert black.split()[0] == "#000000" and black.endswith("black") and red.endswith("red")
    assert (tmp_path / "s.gpl").exists()
    assert cli.run(["palette", str(tmp_path / "in.png"), "--progress", "none"]) == 0  # 8 colors of an image of 2
    assert capsys.readouterr().out.splitlines() == [black, red]
    assert cli.run([*arguments[:-1], str(tmp_path / "s.bmp")]) == 2


def test_render_with_colors_of_its_shots_is_continued_byte_by_byte(tmp_path: Path) -> None:
    frames = [texture((48, 32), 1)] * 3 + [255 - texture((48, 32), 9)] * 3
    write_photos(tmp_path / "in", frames)
    save_png(tmp_path / "style.png", texture((48, 32), 4))
    command = ["render", str(tmp_path / "in"), "-s", str(tmp_path / "style.png"), "-o", str(tmp_path / "a.mp4")]
    for setting in ("styler=palette", "palette.source=content", "palette.drift=true", "palette.dither=ordered"):
        command += ["--set", setting]
    assert cli.run([*command, "--progress", "none"]) == 0
    root = tmp_path / "a.render"
    plan = json.loads((root / "plan.json").read_text())
    assert len(plan["shot_colors"]) == len(plan["shots"]) == 2 and "shot_colors" in plan["identity"]
    stored = {path: path.read_bytes() for path in sorted((root / "frames").glob("*/*.png"))}
    for path in list(stored)[1:3] + list(stored)[4:]:
        path.unlink()
    assert cli.run([*command, "--progress", "none"]) == 0
    assert {path: path.read_bytes() for path in sorted((root / "frames").glob("*/*.png"))} == stored
    finish_settings = ["output.finish.match_color=1", "output.finish.palette=4", "output.finish.preserve_color=0.5"]
    export = ["export", str(root), "-o", str(tmp_path / "b.mp4"), "--progress", "none"]
    assert cli.run([*export, *(part for setting in finish_settings for part in ("--set", setting))]) == 0

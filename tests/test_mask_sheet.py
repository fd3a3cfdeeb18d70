"""`tempera masks`: a sheet of masks before the render."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import cli
from pipeline.config.mask_text import load_mask
from pipeline.config.masks import MaskSettings
from pipeline.errors import ConfigError
from pipeline.masks.sky import LASTING, REACH
from pipeline.types import Shot
from pipeline.workflows.masks.sheet import needed_shots, overlaid, uncertain
from tests.support.clips import write_photos
from tests.support.command_line import Result, Tempera, assert_refused
from tests.support.masks import source_of, square_clip

COUNT = 5


@pytest.fixture
def tempera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Tempera:
    """Runs a command in a folder with a clip, `photos`, and the mask of its first frame, `mask.png`."""
    frames, masks = square_clip(COUNT)
    write_photos(tmp_path / "photos", frames)
    Image.fromarray((masks[0] * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        code = cli.run([*arguments, "--progress", "none"])
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return run


def test_sheet_shows_content_mask_and_confidence(tempera: Tempera, tmp_path: Path) -> None:
    result = tempera(
        *("masks", "photos", "--mask", "painted: {0: mask.png}", "--mask", "luminance: [0, 1]"),
        *("-o", "out/sheet.png", "--at", "0", "--at", "4", "--width", "160"),
    )
    assert result.code == 0, result.err
    assert result.out.strip() == str(Path("out/sheet.png"))
    sheet = np.asarray(Image.open(tmp_path / "out" / "sheet.png"))
    assert sheet.shape[1] == 4 * 160 + 5 * 8 and sheet.shape[0] > 2 * 96
    rows = sheet[8 : 8 + 96]
    content, mask, confidence, whole = (rows[:, 8 + 168 * k : 168 + 168 * k].astype(int) for k in range(4))
    assert np.array_equal(mask[25:50, 15:40], content[25:50, 15:40])
    assert mask[70:, 100:].mean() < 0.5 * content[70:, 100:].mean()
    assert np.ptp(confidence, axis=-1).max() == 0  # the painted frame is certain everywhere
    assert np.array_equal(whole, content)


def test_every_region_of_a_style_is_shown_whatever_its_name(tempera: Tempera, tmp_path: Path) -> None:
    region = "{mask: {image: mask.png}}"
    named = "{name: a, mask: {image: mask.png}}"
    regions = f"regions=[{region}, {region}, {named}, {named}]"
    assert tempera("masks", "photos", "-s", "swirl", f"--set={regions}", "-o", "s.png", "--width", "40").code == 0
    assert Image.open(tmp_path / "s.png").width == 5 * (40 + 8) + 8


@pytest.mark.parametrize("mask", ["image: mask.png", "painted: {0: mask.png}"])
def test_picture_of_a_mask_is_not_replaced_by_its_sheet(tempera: Tempera, tmp_path: Path, mask: str) -> None:
    before = (tmp_path / "mask.png").read_bytes()
    assert_refused(tempera("masks", "photos", "--mask", mask, "-o", "mask.png"), 2, "mask.png: is a picture of a mask")
    assert (tmp_path / "mask.png").read_bytes() == before


def test_mask_in_a_file_is_relative_to_it(tempera: Tempera, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    (tmp_path / "mask.png").rename(folder / "mask.png")
    (folder / "square.yaml").write_text("image: mask.png\n", encoding="utf-8")
    assert tempera("masks", "photos", "--mask", "masks/square.yaml", "-o", "sheet.png").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--mask", "sky: true", "-o", "s.jpg"], 2, [".png"]),
        (["-o", "s.png"], 2, ["--style or --mask"]),
        (["--mask", "sky: true", "--style", "swirl", "-o", "s.png"], 2, ["--style or --mask"]),
        (["--mask", "sky: true", "-o", "s.png", "--at", "99"], 2, ["frames 0 to 4"]),
        (["--mask", "sky", "-o", "s.png"], 3, ["mapping of settings"]),
        (["--mask", "sky: [", "-o", "s.png"], 3, ["not valid YAML"]),
        (["--mask", "sky: true, hue: 3", "-o", "s.png"], 3, ["not valid YAML"]),
        (["--mask", "{sky: true, hue: [0, 10]}", "-o", "s.png"], 3, ["exactly one"]),
        (["--mask", "sun: true", "-o", "s.png"], 3, ["sun"]),
        (["--mask", "missing.yaml", "-o", "s.png"], 3, ["missing.yaml"]),
        (["--style", "swirl", "-o", "s.png"], 3, ["no regions"]),
        (["--mask", "image: missing.png", "-o", "s.png"], 4, ["missing.png"]),
    ],
    ids=lambda value: "_".join(value)[:30] if isinstance(value, list) else str(value),
)
def test_mistakes_are_answered(tempera: Tempera, arguments: list[str], code: int, words: list[str]) -> None:
    assert_refused(tempera("masks", "photos", *arguments), code, *words)


def test_paths_of_a_mask_are_relative_to_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mask.yaml"
    file.write_text(f"painted: {{0: a.png, 3: {tmp_path / 'b.png'}}}\n")
    assert load_mask(str(file)).painted == {0: tmp_path / "a.png", 3: tmp_path / "b.png"}
    assert load_mask("sky: true") == MaskSettings(sky=True)
    with pytest.raises(ConfigError):
        load_mask("- sky")


@pytest.mark.parametrize(
    ("settings", "frames", "expected"),
    [
        (MaskSettings(painted={2: Path("a.png")}), [6], [(2, 7)]),
        (MaskSettings(painted={0: Path("a.png"), 9: Path("b.png")}), [4, 5], [(0, 10)]),
        (MaskSettings(painted={0: Path("a.png"), 4: Path("b.png"), 9: Path("c.png")}), [4], [(4, 5)]),
        (MaskSettings(painted={0: Path("a.png")}), [15], [(10, 20)]),
        (MaskSettings(sky=True), [9, 15], [(0, 10), (10, 20)]),
    ],
    ids=["forward", "between", "painted", "unpainted shot", "sky"],
)
def test_only_what_is_shown_is_computed(
    settings: MaskSettings, frames: list[int], expected: list[tuple[int, int]]
) -> None:
    parts = needed_shots([Shot(0, 0, 10), Shot(1, 10, 20)], frames, settings, source_of(range(20)))
    assert [(part.start, part.stop) for part in parts] == expected


def test_sky_needs_its_neighbors_and_theirs() -> None:
    reach, source = REACH + LASTING, source_of(range(1000))
    parts = needed_shots([Shot(0, 0, 1000)], [0, 9, 500], MaskSettings(sky=True), source)
    assert [(part.start, part.stop) for part in parts] == [(0, 10 + reach), (500 - reach, 501 + reach)]


def test_overlays_keep_what_is_inside_or_certain() -> None:
    content = np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8)
    assert np.array_equal(overlaid(content, np.ones((8, 12), np.float32)), content)
    assert overlaid(content, np.zeros((8, 12), np.float32)).max() < 255 * 0.31
    assert np.ptp(uncertain(content, np.ones((4, 6), np.float32)), axis=-1).max() == 0
    assert (np.diff(uncertain(content, np.zeros((4, 6), np.float32)).astype(int), axis=-1) < 0).all()

"""Framing of finished frames: exact sizes, parts, positions and colors, and what scaling does to edges."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.config.framing import FramingSettings
from pipeline.config.reading import parse_config
from pipeline.errors import ConfigError
from pipeline.postprocess.framing import Framing, corners, framed, framing, scaled, shown_size
from pipeline.postprocess.timeline import Shown, Timeline
from pipeline.workflows.output.framed import shown_times
from tests.support.clips import texture
from tests.support.plans import a_source

SECONDS = [Fraction(0), Fraction(1), Fraction(2)]


def settings_of(**given: Any) -> FramingSettings:
    return FramingSettings.model_validate(given)


def made_by(width_px: int, height_px: int, **given: Any) -> Framing:
    made = framing(settings_of(**given), width_px, height_px)
    assert made is not None
    return made


def picture(image: NDArray[np.uint8], **given: Any) -> NDArray[np.uint8]:
    made = made_by(image.shape[1], image.shape[0], **given)
    return framed(image, made, corners(settings_of(**given), made, [Fraction(0)])[0])


def test_by_default_frames_are_shown_as_they_are() -> None:
    assert framing(FramingSettings(), 641, 359) is None
    assert framing(settings_of(crop="16:9"), 1920, 1080) is None
    assert shown_size(FramingSettings(), 641, 359) == (641, 359)


@pytest.mark.parametrize(
    ("frame", "given", "size"),
    [
        ((1920, 1080), {"crop": "1:1"}, (1080, 1080)),
        ((1920, 1080), {"crop": "4:5"}, (864, 1080)),
        ((1920, 1080), {"crop": "9:16"}, (608, 1080)),  # 607.5
        ((1920, 1080), {"crop": "2.39:1"}, (1920, 804)),  # 803.3
        ((641, 359), {"crop": "1:1"}, (358, 358)),  # even, and inside
        ((1920, 1080), {"crop": "1:2000"}, (2, 1080)),
        ((1920, 1080), {"size": "3840"}, (3840, 2160)),
        ((1920, 1080), {"size": "x2160"}, (3840, 2160)),
        ((1280, 853), {"size": "3840"}, (3840, 2560)),  # 2559
        ((1280, 853), {"size": "3840x2560"}, (3840, 2560)),
        ((1920, 1080), {"size": "x1920", "crop": "9:16"}, (1080, 1920)),
        ((1920, 1080), {"size": "1080x1920", "crop": "9:16"}, (1080, 1920)),
        ((1920, 1080), {"size": "1000x1000", "fit": "cover"}, (1000, 1000)),
        ((1920, 1080), {"size": "1001x1001", "fit": "contain"}, (1001, 1001)),
    ],
)
def test_sizes(frame: tuple[int, int], given: dict[str, str], size: tuple[int, int]) -> None:
    assert shown_size(settings_of(**given), *frame) == size


def test_the_part_has_the_aspect_of_the_size() -> None:
    made = made_by(1920, 1080, size="1080x1920", crop="9:16")
    assert made.part_px == (Fraction(1215, 2), Fraction(1080)) and made.inner_px == (1080, 1920)
    assert made.shown == pytest.approx(0.31640625)
    assert str(made) == "1080x1920 px of frames of 1920x1080, 68.4% of each frame is cropped"
    made = made_by(1920, 1080, size="1000x1000", fit="contain")
    assert made.part_px == (Fraction(1920), Fraction(1080)) and made.inner_px == (1000, 562)
    assert str(made) == "1000x1000 px of frames of 1920x1080, 43.8% of the picture are bars"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"size": "1000x1000"}, ["another aspect", "1920x1080"]),
        ({"size": "1920x1080", "crop": "1:1"}, ["another aspect", "1080x1080"]),
        ({"size": "1"}, ["1x2 px", "2 to 20000"]),
        ({"size": "0x0"}, ["0x0 px"]),
        ({"size": "x20001"}, ["35558x20001"]),
    ],
)
def test_what_cannot_be_is_refused_with_a_hint(given: dict[str, str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        framing(settings_of(**given), 1920, 1080)
    assert all(word in error.value.message for word in words) and "output." in error.value.hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", "big"),
        ("size", "-4"),
        ("size", True),
        ("crop", "9/16"),
        ("crop", "0:1"),
        ("crop_x", 1.01),
        ("crop_x", [{"at": 0, "value": 2}]),
        ("crop_y", -0.1),
        ("pad", "black"),
        ("fit", "stretch"),
    ],
)
def test_settings_that_make_no_sense_are_errors_of_the_config(key: str, value: Any) -> None:
    style = {"style": {"images": [{"path": "a.png"}]}}
    with pytest.raises(ConfigError, match=f"output.{key}"):
        parse_config(style | {"output": {key: value}}, where="test")


def test_yaml_reads_aspects_as_text(tmp_path: Any) -> None:
    from pipeline.config.catalog import load_style

    (tmp_path / "s.yaml").write_text(
        "style: {images: [{path: a.png}]}\noutput: {crop: 9:16, size: 1080}", encoding="utf-8"
    )
    assert load_style(str(tmp_path / "s.yaml")).output.crop == "9:16"
    output = load_style(str(tmp_path / "s.yaml"), ["output.crop=4:5"]).output
    assert (output.crop, output.size) == ("4:5", "1080")


@pytest.mark.parametrize(("x", "y", "left", "top"), [(0, 0, 0, 0), (0.5, 0.5, 20, 0), (1, 1, 40, 0), (0.26, 0, 10, 0)])
def test_a_crop_has_the_very_pixels_of_its_place(x: float, y: float, left: int, top: int) -> None:
    image = texture((100, 60), 3)
    found = picture(image, crop="1:1", crop_x=x, crop_y=y)
    assert np.array_equal(found, image[top : top + 60, left : left + 60])
    tall = np.ascontiguousarray(image.swapaxes(0, 1))
    found = picture(tall, crop="1:1", crop_x=y, crop_y=x)
    assert np.array_equal(found, tall[left : left + 60, top : top + 60])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bars_have_the_color_and_the_picture_is_between_them(dtype: Any) -> None:
    image = texture((100, 60), 4).astype(dtype)
    found = picture(image, size="100x100", fit="contain", pad="#ff8000")
    unit = 1 if dtype == np.uint8 else 257
    assert found.dtype == dtype and np.array_equal(found[20:80], image)
    assert (np.concatenate([found[:20], found[80:]]) == np.array([255, 128, 0]) * unit).all()


def test_a_pan_moves_by_fractions_of_a_pixel() -> None:
    settings = settings_of(crop="1:1", crop_x=[{"at": 0, "value": 0}, {"at": "100%", "value": 0.5}])
    made = made_by(17, 10, crop="1:1")
    assert corners(settings, made, SECONDS) == [(0, 0), (1.75, 0), (3.5, 0)]
    assert corners(settings_of(crop="1:1"), made, SECONDS) == [(4, 0)] * 3  # 3.5 without a pan: whole pixels
    ramp = np.repeat(np.tile(np.arange(17, dtype=np.uint16) * 1000, (10, 1))[..., None], 3, axis=2)
    moved = framed(ramp, made, (1.75, 0.0))
    assert moved.shape == (10, 10, 3)
    assert np.abs(moved[5, 3:7, 0] - (np.arange(3, 7) + 1.75) * 1000).max() < 25  # a fortieth of a pixel


def test_pictures_appear_at_the_times_of_the_output() -> None:
    source = a_source(3, time_base=Fraction(1, 10), pts=(5, 6, 9))
    assert shown_times(source) == [0, Fraction(1, 10), Fraction(4, 10)]
    assert shown_times(source, fps=Fraction(2)) == [0, Fraction(1, 2), 1]
    retimed = Timeline((Shown(Fraction(0), 0, 0), Shown(Fraction(3), 2, 2)), Fraction(4))
    assert shown_times(source, retimed) == [0, 3]


def test_a_curve_that_follows_the_light_is_refused() -> None:
    settings = settings_of(crop="1:1", crop_x={"follow": "light", "points": [{"at": 0, "value": 0}]})
    with pytest.raises(ConfigError, match=r"output\.crop_x"):
        corners(settings, made_by(20, 10, crop="1:1"), SECONDS)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_enlarging_keeps_flat_areas_and_has_no_halo(dtype: Any) -> None:
    edge = np.full((24, 32, 3), 60, dtype)
    edge[:, 16:] = 200
    found = scaled(edge, (0.0, 0.0, 32.0, 24.0), (96, 72))
    assert found.dtype == dtype and found.min() == 60 and found.max() == 200
    row = found[36, :, 0].astype(int)
    assert (np.diff(row) >= 0).all() and (row[:46] == 60).all() and (row[50:] == 200).all()


@pytest.mark.parametrize("size", [(20, 12), (50, 30), (99, 59)])
def test_a_ramp_stays_a_ramp_where_it_shrinks(size: tuple[int, int]) -> None:
    ramp = np.repeat(np.tile(np.arange(100, dtype=np.uint16) * 500, (60, 1))[..., None], 3, axis=2)
    found = scaled(ramp, (0.0, 0.0, 100.0, 60.0), size)
    wanted = ((np.arange(size[0]) + 0.5) * 100 / size[0] - 0.5) * 500
    inner = slice(2, -2)
    assert np.abs(found[5, inner, 0] - wanted[inner]).max() < 60


def test_shrinking_averages() -> None:
    checks = np.indices((64, 64)).sum(axis=0) % 2 * 200
    image = np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
    found = scaled(image, (0.0, 0.0, 64.0, 64.0), (16, 16))
    assert np.abs(found[2:-2, 2:-2].astype(int) - 100).max() <= 2

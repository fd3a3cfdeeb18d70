"""Raw files: developed alike over a whole sequence, upright, with all their bits, and refused with a reason."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.config.raw import RawSettings
from pipeline.config.settings import InputSettings
from pipeline.errors import DamagedInputError, InputError, MissingPartError
from pipeline.media.image.load import load_rgb
from pipeline.media.image.raw import develop, development, is_raw_file, raw_size
from pipeline.media.image.transfer import linear_from_srgb, srgb_from_linear
from pipeline.media.reader.source import probe, read_deep, read_frames
from pipeline.types import Source
from tests.support.dng import write_dng

pytest.importorskip("rawpy")

Data = Callable[[str], Path]
Light = NDArray[np.float64]
WIDTH, HEIGHT = 48, 32
NEUTRALS = [(0.5, 1.0, 0.7), (0.7, 1.0, 0.5), (0.4, 1.0, 0.9), (0.55, 1.0, 0.66)]


def uniform(*color: float) -> Light:
    return np.full((HEIGHT, WIDTH, 3), color)


def settings(**raw: Any) -> InputSettings:
    return InputSettings(raw=RawSettings(**raw), deflicker=0)


def deep(source: Source, how: InputSettings, start: int = 0, stop: int | None = None) -> NDArray[Any]:
    stop = source.frame_count if stop is None else stop
    size = (source.width_px, source.height_px)
    return np.stack(list(read_deep(source, start, stop, size_px=size, settings=how)))


def middle(path: Path, **raw: Any) -> NDArray[np.float32]:
    """The developed color in the middle of a raw file, in [0, 1]."""
    pixels = develop(path, development([path], RawSettings(**raw)))
    return np.asarray(pixels[HEIGHT // 2, WIDTH // 2] / 65535, np.float32)


# Development


@pytest.mark.parametrize("level", [0.0, 0.001, 0.01, 0.18, 0.5, 0.9, 1.0])
def test_light_between_black_and_white_is_encoded_as_srgb(tmp_path: Path, level: float) -> None:
    color = middle(write_dng(tmp_path / "a.dng", uniform(level, level, level)))
    expected = float(srgb_from_linear(np.array([[level]], np.float32))[0, 0])
    np.testing.assert_allclose(color, expected, atol=0.3 / 255)


def test_colors_keep_their_primaries(tmp_path: Path) -> None:
    color = middle(write_dng(tmp_path / "a.dng", uniform(0.6, 0.3, 0.1)))
    np.testing.assert_allclose(linear_from_srgb(color[None]), [[0.6, 0.3, 0.1]], atol=2e-3)


def test_a_gray_card_is_gray_by_the_white_balance_of_its_camera(tmp_path: Path) -> None:
    neutral = (0.5, 1.0, 0.7)
    path = write_dng(tmp_path / "a.dng", uniform(*(0.3 * part for part in neutral)), neutral=neutral)
    np.testing.assert_allclose(middle(path), middle(path)[1], atol=2e-3)
    np.testing.assert_allclose(middle(path, white_balance=(2, 1, 1 / 0.7, 1)), middle(path), atol=2e-3)
    assert np.ptp(middle(path, white_balance="daylight")) > 0.1


def test_exposure_doubles_the_light_at_each_stop(tmp_path: Path) -> None:
    path = write_dng(tmp_path / "a.dng", uniform(0.1, 0.1, 0.1))
    for stops in (-2, -1, 1, 3):
        light = linear_from_srgb(middle(path, exposure_ev=stops))
        np.testing.assert_allclose(light, 0.1 * 2.0**stops, rtol=0.01)


def test_overexposed_parts_are_white_or_rebuilt(tmp_path: Path) -> None:
    # With this white balance a clipped green beside less red and blue is magenta unless it is taken care of.
    path = write_dng(tmp_path / "a.dng", uniform(0.55, 1.0, 0.75), neutral=(0.5, 1.0, 0.7))
    np.testing.assert_allclose(middle(path), 1.0, atol=1e-3)
    for highlights in ("blend", "reconstruct"):
        found = middle(path, highlights=highlights)
        assert found.max() < 0.97
        assert np.ptp(found) < 0.12


UPRIGHT: dict[int, Callable[[Light], Light]] = {
    1: lambda light: light,
    2: lambda light: light[:, ::-1],
    3: lambda light: light[::-1, ::-1],
    4: lambda light: light[::-1],
    5: lambda light: light.T,
    6: lambda light: np.rot90(light, -1),
    7: lambda light: light[::-1, ::-1].T,
    8: np.rot90,
}
"""How stored rows and columns become upright, by the orientation of EXIF."""


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    light = uniform(0.2, 0.2, 0.2)
    light[:8, :16] = 0.8
    path = write_dng(tmp_path / "a.dng", light, orientation=orientation)
    upright = UPRIGHT[orientation](light[..., 1])
    assert raw_size(path) == upright.shape[::-1]
    rgb = load_rgb(path)
    assert rgb.shape[:2] == upright.shape
    found = linear_from_srgb(np.asarray(rgb[..., 1] / 255, np.float32))
    assert np.mean(np.abs(found - upright) > 0.05) < 0.1  # edges are interpolated


def test_half_the_size_shows_the_same(tmp_path: Path) -> None:
    light = np.random.default_rng(0).uniform(0.1, 0.9, (8, 12, 3)).repeat(4, axis=0).repeat(4, axis=1)
    path = write_dng(tmp_path / "a.dng", light)
    how = development([path], RawSettings())
    whole, half = develop(path, how), develop(path, how, size=(WIDTH // 2, HEIGHT // 2))
    assert (whole.shape, half.shape) == ((HEIGHT, WIDTH, 3), (HEIGHT // 2, WIDTH // 2, 3))
    assert develop(path, how, size=(WIDTH // 2 + 1, 8)).shape == whole.shape
    np.testing.assert_allclose(half.mean((0, 1)), whole.mean((0, 1)), rtol=0.02)


# Sequences


def scene() -> Light:
    rng = np.random.default_rng(1)
    return rng.uniform(0.02, 0.3, (HEIGHT // 4, WIDTH // 4, 3)).repeat(4, axis=0).repeat(4, axis=1)


def write_sequence(folder: Path) -> None:
    """One scene whose metadata jump from photo to photo, and a lamp that is on in some."""
    for number, neutral in enumerate(NEUTRALS):
        light = scene()
        light[:4, :4] = 0.9 if number % 2 else 0.05
        black, white = 512 + 60 * (number % 2), 16383 - 900 * (number % 3)
        write_dng(folder / f"shot_{number}.dng", light, neutral=neutral, black_tag=black, white_tag=white)


def test_what_the_camera_decided_for_each_photo_does_not_flicker(tmp_path: Path) -> None:
    write_sequence(tmp_path)
    source = probe([tmp_path], settings())
    assert source.kind == "photos"
    frames = deep(source, settings())[:, 8:, 8:] / 257
    assert frames.dtype == np.float64
    assert np.abs(frames - frames[0]).max() < 0.5
    camera = deep(source, settings(white_balance="camera"))[:, 8:, 8:].mean((1, 2)) / 257
    assert np.ptp(camera, axis=0).max() > 5  # so the scene would flicker otherwise


def test_frames_are_the_same_wherever_reading_starts(tmp_path: Path) -> None:
    write_sequence(tmp_path)
    whole = probe([tmp_path], settings())
    part = probe([tmp_path], settings(), frames=(2, 4))
    everything = deep(whole, settings())
    np.testing.assert_array_equal(deep(part, settings()), everything[2:])
    np.testing.assert_array_equal(deep(whole, settings(), 3, 4), everything[3:])
    rounded = [frame.rgb for frame in read_frames(part, settings=settings())]
    np.testing.assert_array_equal(rounded, np.rint(everything[2:] / 257).astype(np.uint8))


def test_raw_files_are_ordered_by_capture_time(tmp_path: Path) -> None:
    start = datetime(2026, 5, 4, 10, 0, 0)
    for name, milliseconds in (("c", 0), ("a", 250), ("b", 500)):
        write_dng(tmp_path / f"{name}.dng", uniform(0.2, 0.2, 0.2), taken=start + timedelta(milliseconds=milliseconds))
    source = probe([tmp_path], settings())
    assert [Path(file).stem for file in source.files] == ["c", "a", "b"]
    assert source.order == "capture time"


def test_of_two_files_of_one_name_one_is_read(tmp_path: Path) -> None:
    for number in range(3):
        write_dng(tmp_path / f"dsc_{number}.DNG", uniform(0.2, 0.2, 0.2))
    for number in range(2):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / f"DSC_{number}.JPG")
    by_default = probe([tmp_path], settings())
    assert sorted(Path(file).suffix for file in by_default.files) == [".DNG", ".JPG", ".JPG"]
    assert [note for note in by_default.notes if "input.raw.prefer=raw" in note and "2 photos" in note]
    raw = probe([tmp_path], settings(prefer="raw"))
    assert [Path(file).suffix for file in raw.files] == [".DNG"] * 3


# Refusing


def test_without_rawpy_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dng(tmp_path / "a.dng", uniform(0.2, 0.2, 0.2))
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(MissingPartError) as caught:
        probe([path], settings())
    assert caught.value.exit_code == 6
    assert "pip install 'tempera[raw]'" in caught.value.hint


@pytest.mark.parametrize(
    "head", [b"II*\0\x10\0\0\0CR\2\0", b"FUJIFILMCCD-RAW 0201", b"no raw file", b"\0\0\0\x18ftypcrx "]
)
def test_what_is_no_raw_file_is_refused(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "a.cr2"
    path.write_bytes(head + bytes(2000))
    assert is_raw_file(path)
    with pytest.raises(InputError) as caught:
        probe([path], settings())
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 4


def test_a_raw_file_that_is_cut_off_can_be_held(tmp_path: Path) -> None:
    write_sequence(tmp_path)
    cut = tmp_path / "shot_0.dng"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    with pytest.raises(DamagedInputError, match="shot_0"):
        probe([tmp_path], settings())
    held = settings().model_copy(update={"on_damaged": "hold"})
    source = probe([tmp_path], held)
    assert source.decoded_indices == (1, 1, 2, 3)
    frames = deep(source, held)[:, 8:, 8:].astype(int)  # developed as the first one that can be read
    assert np.abs(frames - frames[0]).max() < 130


def test_impossible_sizes_are_refused_before_decoding(tmp_path: Path) -> None:
    for size in ((30_000, 30_000), (60_000, 8), (0, 0)):
        path = write_dng(tmp_path / "huge.dng", uniform(0.2, 0.2, 0.2), stated_size=size)
        with pytest.raises(DamagedInputError):
            probe([path], settings())


def test_an_image_with_the_suffix_of_a_raw_file_is_read_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "photo.nef"
    Image.new("RGB", (6, 4), (10, 20, 30)).save(path, "PNG")
    assert (load_rgb(path) == (10, 20, 30)).all()


def test_a_real_raw_file_is_developed_whole(data: Data) -> None:
    path = data("burst/raw/Blackmagic.dng")
    source = probe([path], settings())
    assert (source.width_px, source.height_px) == (4096, 2160)
    (frame,) = read_deep(source, 0, 1, size_px=(512, 270), settings=settings())
    assert frame.dtype == np.uint16
    color = frame.reshape(-1, 3).mean(axis=0) / 257
    np.testing.assert_allclose(color, [80, 92, 94], atol=3)  # an overcast lake, as measured once and seen to be right

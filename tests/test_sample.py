"""The sample timelapse and the style images that ship: computed by our own code, the same on every call."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import WriteError
from pipeline.sample.frame import sample_frame
from pipeline.sample.photos import write_sample

ROOT = Path(__file__).resolve().parent.parent
SIZE = (160, 90)


def _make_styles() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_styles", ROOT / "scripts" / "make_styles.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses with postponed annotations find their module by its name.
    sys.modules["make_styles"] = module
    spec.loader.exec_module(module)
    return module


def test_frame_is_a_pure_function_of_its_arguments() -> None:
    first = sample_frame(20, 48, *SIZE)
    sample_frame(3, 48, *SIZE)
    assert first.shape == (90, 160, 3) and first.dtype == np.uint8
    assert np.array_equal(first, sample_frame(20, 48, *SIZE))


def test_frames_of_other_sizes_show_the_same_landscape() -> None:
    small = sample_frame(20, 48, *SIZE).astype(float)
    odd = sample_frame(20, 48, 161, 91).astype(float)[:90, :160]
    assert odd.shape == small.shape
    assert abs(odd.mean() - small.mean()) < 6


def test_day_is_brighter_than_dawn_and_night() -> None:
    means = {index: float(sample_frame(index, 48, *SIZE).mean()) for index in (0, 22, 47)}
    assert means[0] < 0.6 * means[22]
    assert means[47] < 0.6 * means[22]
    assert min(means.values()) > 12  # never black: there must be something to stylize


def test_lamps_come_on_at_dusk() -> None:
    noon, night = (sample_frame(index, 48, *SIZE).astype(int) for index in (24, 47))
    village = (slice(45, 56), slice(80, 145))
    land = (slice(35, 42), slice(80, 145))
    assert night[village].max() > 180  # lamps
    assert night[land].max() < noon[land].max() - 60  # not the daylight


def test_neighboring_frames_differ_a_little_at_every_hour() -> None:
    frames = [sample_frame(index, 48, *SIZE).astype(float) for index in range(48)]
    steps = [float(np.abs(b - a).mean()) for a, b in itertools.pairwise(frames)]
    assert min(steps) > 0.1
    assert max(steps) < 12
    # Light changes by dawn and dusk; what is left after removing that is motion, and it is small.
    moved = [float(np.abs((b - b.mean((0, 1))) - (a - a.mean((0, 1)))).mean()) for a, b in itertools.pairwise(frames)]
    assert max(moved) < 7


def test_photos_have_increasing_capture_times(tmp_path: Path) -> None:
    paths = write_sample(tmp_path / "in", 3, *SIZE)
    assert [path.name for path in paths] == ["photo_0000.jpg", "photo_0001.jpg", "photo_0002.jpg"]
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == [path.name for path in paths]
    times = []
    for path in paths:
        with Image.open(path) as photo:
            photo.load()
            assert photo.size == SIZE
            exif = photo.getexif()
            assert exif[0x0112] == 1 and exif[0x010F] == "Tempera"
            details = exif.get_ifd(0x8769)
            times.append(details[0x9003])
            assert details[0x9291].isdigit()
    assert times == ["2024:06:21 05:09:00", "2024:06:21 05:10:00", "2024:06:21 05:11:00"]


def test_photo_is_close_to_its_frame(tmp_path: Path) -> None:
    (path,) = write_sample(tmp_path, 1, *SIZE)
    with Image.open(path) as photo:
        stored = np.asarray(photo.convert("RGB")).astype(float)
    assert np.abs(stored - sample_frame(0, 1, *SIZE)).mean() < 4


def test_folder_that_cannot_be_created_is_a_write_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(WriteError, match="taken"):
        write_sample(tmp_path / "taken", 1, *SIZE)


@pytest.mark.parametrize("name", ["stainedglass", "ink"])
def test_style_images_are_reproducible(name: str) -> None:
    make_style_image = _make_styles().make_style_image
    first, again = make_style_image(name, 96), make_style_image(name, 96)
    assert first.dtype == np.uint8 and first.shape[1:] == (96, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, make_style_image(name, 96, seed=8))
    assert first.std() > 25


def test_every_style_ships_its_image_and_its_config() -> None:
    for style in _make_styles().STYLES:
        path = ROOT / "configs" / "images" / f"{style.name}.jpg"
        assert 20_000 < path.stat().st_size < 350_000
        with Image.open(path) as image:
            assert image.width == style.width_px
        assert (ROOT / "configs" / f"{style.name}.yaml").is_file()

"""The sky: known horizons, frames without sky, and photographs with a mask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.masks.guided import enlarged
from pipeline.masks.sky import SKY_SIDE_PX, Sky, find_sky, steady_sky
from pipeline.media.image.arrays import resize, size_within
from pipeline.media.image.load import load_rgb
from pipeline.sample.frame import sample_frame
from tests.test_carry import iou, noise_texture


def landscape(sky: tuple[int, int, int], ground: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A smooth sky over rough ground with hills, and a tower; and where the sky is."""
    height, width = 120, 200
    fade = np.linspace(-15, 15, height)[:, None, None]
    frame = np.clip(np.array(sky) + fade + np.zeros((height, width, 1)), 0, 255).astype(np.uint8)
    horizon = 60 + 12 * np.sin(np.arange(width) / 20)
    below = np.arange(height)[:, None] > horizon
    below[25:, 140:152] = True
    frame[below] = noise_texture((width, height), 4, ground)[below]
    return frame, ~below


@pytest.mark.parametrize(
    ("sky", "ground"),
    [((110, 160, 230), (70, 90, 50)), ((200, 200, 205), (80, 75, 70)), ((235, 170, 120), (60, 50, 50))],
    ids=["blue", "overcast", "dusk"],
)
def test_sky_ends_at_the_hills_and_the_tower(sky: tuple[int, int, int], ground: tuple[int, int, int]) -> None:
    frame, truth = landscape(sky, ground)
    found = find_sky(frame)
    assert found.presence > 0.9
    assert iou(found.mask > 0.5, truth) > 0.94


def test_sun_is_sky() -> None:
    frame, truth = landscape((110, 160, 230), (70, 90, 50))
    cv2.circle(frame, (60, 20), 7, (255, 255, 240), -1)
    assert iou(find_sky(frame).mask > 0.5, truth) > 0.95


@pytest.mark.parametrize(
    "frame",
    [
        noise_texture((200, 120), 5, (120, 110, 100), 90),
        np.full((120, 200, 3), 128, np.uint8),
        landscape((60, 110, 50), (90, 80, 70))[0],
        landscape((20, 15, 15), (90, 80, 70))[0],
        np.zeros((2, 2, 3), np.uint8),
    ],
    ids=["gravel", "gray", "meadow", "dark room", "tiny"],
)
def test_no_sky_is_an_empty_mask(frame: np.ndarray) -> None:
    sky = find_sky(frame)
    assert steady_sky([sky] * 5, 2).mean() < 0.01


def test_one_misjudged_frame_keeps_its_sky() -> None:
    mask = np.ones((4, 4), np.float32)
    around = [Sky(mask, presence) for presence in (1.0, 1.0, 0.0, 1.0, 1.0)]
    assert steady_sky(around, 2).min() > 0.6
    alone = [Sky(mask, presence) for presence in (0.0, 0.0, 1.0, 0.0, 0.0)]
    assert steady_sky(alone, 2).max() < 0.4


def test_steady_sky_of_equal_frames_is_the_sky() -> None:
    sky = find_sky(landscape((110, 160, 230), (70, 90, 50))[0])
    for center in (0, 1):
        np.testing.assert_allclose(steady_sky([sky] * 3, center), sky.mask, atol=1e-6)


@pytest.mark.parametrize("index", [0, 24, 40])
def test_sky_of_the_sample_by_day_and_night(index: int) -> None:
    mask = steady_sky([find_sky(sample_frame(index, 48, 160, 90))] * 5, 2)
    assert mask[:13, 80:].mean() > 0.9  # above the mountain
    assert mask[60:].max() == 0  # lake and shore
    assert 0.2 < mask.mean() < 0.5


def test_hoover_tower_at_night(data: Callable[[str], Path]) -> None:
    photo = load_rgb(data("masks/hoovertower/hoovertowernight.jpg"))
    truth = load_rgb(data("masks/hoovertower/hoovertowernight3a.png"))[..., 0] > 127
    small = resize(photo, *size_within(photo.shape[1], photo.shape[0], SKY_SIDE_PX))
    mask = enlarged(steady_sky([find_sky(small)] * 5, 2), photo, radius_px=6, epsilon=1e-4)
    assert iou(mask > 0.5, truth) > 0.98


@pytest.mark.parametrize("name", ["photo/coffee.png", "photo/silver_fir.jpg", "timelapse/icecube_s60"])
def test_photographs_without_sky(name: str, data: Callable[[str], Path]) -> None:
    path = data(name)
    photo = load_rgb(path if path.is_file() else min(path.iterdir()))
    small = resize(photo, *size_within(photo.shape[1], photo.shape[0], SKY_SIDE_PX))
    assert steady_sky([find_sky(small)] * 5, 2).mean() < 0.01

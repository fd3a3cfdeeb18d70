"""The sky: known horizons, frames without sky, and photographs with a mask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.masks.guided import enlarged
from pipeline.masks.sky import SKY_SIDE_PX, Sky, find_sky, fine_detail, lasting_detail, steady_sky
from pipeline.media.image.arrays import resize, size_within
from pipeline.media.image.load import load_rgb
from pipeline.sample.frame import sample_frame
from tests.support.masks import iou, landscape, noise_texture


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


def sunset(time: int) -> tuple[np.ndarray, np.ndarray]:
    """A sky of two colors with soft dark clouds that move and a glow around a low sun, over a dark, rough city."""
    height, width = 90, 200
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    glow = np.exp(-np.square((columns - 140) / 50) - np.square((rows - 60) / 14))[..., None]
    frame = np.array([95, 85, 110]) + (rows / height)[..., None] * np.array([40, 45, 40]) + glow * [150, 130, 70]
    noise = np.random.default_rng(8).normal(size=(height, width + 60)).astype(np.float32)
    clouds = cv2.GaussianBlur(noise, (0, 0), sigmaX=16, sigmaY=5)[:, 2 * time : 2 * time + width]
    frame *= 1 - 0.45 * np.clip(clouds / clouds.std(), 0, 1)[..., None]
    below = rows > 70 + 2 * np.sin(columns / 9)
    frame[below] = noise_texture((width, height), 5, (40, 36, 34), 25)[below]
    return np.clip(frame, 0, 255).astype(np.uint8), ~below


def test_sunset_ends_at_the_horizon_and_not_at_the_clouds() -> None:
    frames = [sunset(time) for time in range(0, 30, 3)]
    details = [fine_detail(frame) for frame, _ in frames]
    for center in (0, 5, 9):
        frame, truth = frames[center]
        found = find_sky(frame, lasting_detail(details, center))
        assert found.presence > 0.9
        assert iou(found.mask > 0.5, truth) > 0.95


def test_detail_that_agrees_is_averaged() -> None:
    ground, *noise = (np.random.default_rng(seed).normal(size=(80, 100)).astype(np.float32) for seed in range(9))
    around = [ground + own for own in noise]
    assert np.linalg.norm(lasting_detail(around, 3) - ground) < 0.4 * np.linalg.norm(around[3] - ground)
    np.testing.assert_array_equal(lasting_detail(noise, 3), noise[3])  # a camera that moves
    np.testing.assert_array_equal(lasting_detail([np.zeros((4, 4), np.float32)] * 2, 0), np.zeros((4, 4)))


def test_dark_blue_sky_over_a_white_house() -> None:
    frame, truth = landscape((60, 105, 170), (215, 213, 210))
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
        landscape((60, 40, 30), (90, 80, 70))[0],
        np.zeros((2, 2, 3), np.uint8),
    ],
    ids=["gravel", "gray", "meadow", "dark room", "brown wall", "tiny"],
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


@pytest.mark.parametrize("index", [0, 24, 36, 40])
def test_sky_of_the_sample_by_day_dusk_and_night(index: int) -> None:
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

"""Exposure: photos of one scene at other exposures are matched; what enters and what moves is left alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.config.settings import MotionSettings
from pipeline.motion.correspondence import find_correspondence
from pipeline.motion.estimate import motion_between
from pipeline.motion.exposure import at_exposure_of

RGB = NDArray[np.uint8]


def scene(seed: int = 0, size: tuple[int, int] = (120, 160)) -> RGB:
    random = np.random.default_rng(seed)
    fine, coarse = (cv2.GaussianBlur(random.normal(size=(*size, 3)), (0, 0), sigma) for sigma in (1.5, 12.0))
    image = 0.5 * fine / fine.std() + coarse / coarse.std()
    return np.asarray((120 + 40 * image).clip(0, 255).round(), np.uint8)


def exposed(image: RGB, stops: float) -> RGB:
    """The photo at another exposure: light times a power of two, clipped, with the curve of sRGB about."""
    light = (image / 255.0) ** 2.2 * 2**stops
    return np.asarray((light.clip(0, 1) ** (1 / 2.2) * 255).round(), np.uint8)


@pytest.mark.parametrize("stops", [-2.0, -1.0, 1.0])
def test_photo_is_taken_to_the_exposure_of_the_other(stops: float) -> None:
    photo = scene()
    wanted = exposed(photo, stops)
    found = at_exposure_of(wanted, photo)
    assert np.abs(found.astype(float) - wanted).mean() < 3 < np.abs(photo.astype(float) - wanted).mean()
    values = at_exposure_of(wanted.astype(np.float32) / np.float32(255), photo.astype(np.float32) / np.float32(255))
    assert values.dtype == np.float32
    assert np.abs(255 * values - found).max() < 1.5


def test_photo_of_the_same_exposure_is_returned_itself() -> None:
    photo = scene()
    noisy = np.asarray((photo + np.random.default_rng(1).normal(0, 3, photo.shape)).clip(0, 255), np.uint8)
    assert at_exposure_of(noisy, photo) is photo


def test_something_large_that_enters_does_not_count_as_exposure() -> None:
    photo = scene()
    entered = photo.copy()
    entered[:, :50] = (10, 12, 8)
    assert at_exposure_of(entered, photo) is photo


def test_motion_and_correspondence_survive_a_bracket() -> None:
    """A hand-held bracket of four stops, shifted by 3 px: nearly all of it still corresponds."""
    wide = scene(2, (120, 170))
    before, after = exposed(wide[:, :160], -2), exposed(wide[:, 3:163], 1)
    motion = motion_between(before, after, MotionSettings(), from_index=0, to_index=1)
    assert motion.confidence.mean() > 0.8
    middle = motion.backward_flow[20:-20, 20:-20]
    assert np.median(middle[..., 0]) == pytest.approx(3, abs=0.2)
    assert find_correspondence(before, after, motion).confidence.mean() > 0.7

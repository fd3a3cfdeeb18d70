"""The measures of an evaluation, against closed forms and a real scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.evaluate.measures import (
    MIN_CONFIDENCE,
    axis_ratio,
    drift_per_100_frames,
    mean_luma,
    measure_motion,
    sharpness,
    temporal_error,
)
from pipeline.types import Motion
from tests.support.clips import texture

RGB = NDArray[np.uint8]


def motion(
    size: tuple[int, int], flow: tuple[float, float] = (0, 0), confidence: NDArray[np.float32] | None = None
) -> Motion:
    """The same motion everywhere; `size` is (height, width)."""
    if confidence is None:
        confidence = np.ones(size, np.float32)
    return Motion(0, 1, np.broadcast_to(np.asarray(flow, np.float32), (*size, 2)).copy(), confidence)


def constant(value: int, size: tuple[int, int] = (20, 30)) -> RGB:
    return np.full((*size, 3), value, np.uint8)


def test_temporal_error_of_a_constant_offset_is_its_square() -> None:
    assert temporal_error(constant(100), constant(151), motion((20, 30))) == pytest.approx(0.04, abs=1e-6)
    assert temporal_error(constant(100), constant(100), motion((20, 30))) == 0


def test_temporal_error_is_that_of_the_definition() -> None:
    random = np.random.default_rng(0)
    previous, current = random.integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)
    weights = random.random((20, 30), dtype=np.float32)
    squared = ((current / 255.0 - previous / 255.0) ** 2).mean(axis=2)
    expected = (weights * squared).sum() / weights.sum()
    found = temporal_error(previous, current, motion((20, 30), confidence=weights))
    assert found == pytest.approx(expected, rel=1e-5)


def test_image_that_moves_with_the_content_has_no_temporal_error() -> None:
    wide = np.random.default_rng(1).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    previous, current = wide[:, 3:33], wide[:, :30]  # moved by 3 px to the right
    confidence = np.ones((20, 30), np.float32)
    confidence[:, :3] = 0
    followed = temporal_error(previous, current, motion((20, 30), (-3, 0), confidence))
    assert followed == pytest.approx(0, abs=1e-9)
    stuck = temporal_error(previous, current, motion((20, 30), (0, 0), confidence))
    assert stuck is not None and stuck > 0.1


def test_temporal_error_is_weighted_by_confidence_and_none_below_the_minimum() -> None:
    current = constant(0)
    current[:, 10:] = 255
    confidence = np.zeros((20, 30), np.float32)
    confidence[:, :20] = 1
    assert temporal_error(constant(0), current, motion((20, 30), confidence=confidence)) == pytest.approx(0.5)
    assert temporal_error(constant(0), current, motion((20, 30), confidence=confidence * 0)) is None
    assert temporal_error(constant(0), current, motion((20, 30), confidence=confidence * 0.9 * MIN_CONFIDENCE)) is None


def test_flow_leads_from_the_current_frame_to_the_previous_one() -> None:
    wide = texture((150, 96), 3)
    found = measure_motion(wide[:, 5:133], wide[:, 2:130], from_index=4, to_index=5)
    assert (found.from_index, found.to_index) == (4, 5)
    middle = found.backward_flow[16:-16, 16:-16]
    assert np.median(middle[..., 0]) == pytest.approx(-3, abs=0.15)
    assert np.median(middle[..., 1]) == pytest.approx(0, abs=0.1)
    assert found.confidence[16:-16, 16:-16].mean() > 0.8


def test_identical_frames_have_no_motion_and_full_confidence() -> None:
    still = texture((96, 64), 3)
    found = measure_motion(still, still, from_index=0, to_index=1)
    assert np.abs(found.backward_flow[16:-16, 16:-16]).max() < 1e-3  # OpenCV is not exact at the border
    assert found.confidence[16:-16, 16:-16].min() == 1


def test_sharpness_of_a_checkerboard_and_of_a_constant_image() -> None:
    board = np.indices((20, 30)).sum(axis=0) % 2
    checkerboard = np.repeat((board * 255).astype(np.uint8)[..., None], 3, axis=2)
    assert sharpness(checkerboard) == pytest.approx(16)
    assert sharpness(constant(77)) == pytest.approx(0, abs=1e-9)
    assert sharpness(checkerboard // 2) == pytest.approx(16 * (127 / 255) ** 2, rel=1e-4)


def test_axis_ratio_is_1_without_a_preferred_direction_and_high_for_lines() -> None:
    noise = np.random.default_rng(2).normal(128, 30, (256, 300, 1)).repeat(3, axis=2)
    isotropic = np.asarray(np.clip(noise, 0, 255), np.uint8)
    assert axis_ratio(isotropic) == pytest.approx(1, abs=0.1)
    rows = np.random.default_rng(3).normal(0, 20, (256, 1, 1))
    weave = axis_ratio(np.asarray(np.clip(noise + rows, 0, 255), np.uint8))
    turned = axis_ratio(np.ascontiguousarray(np.asarray(np.clip(noise + rows, 0, 255), np.uint8).swapaxes(0, 1)))
    assert weave is not None and weave > 5
    assert turned == pytest.approx(weave, rel=1e-3)


def test_axis_ratio_of_constant_and_tiny_images_is_none() -> None:
    assert axis_ratio(constant(90, (64, 64))) is None
    assert axis_ratio(texture((60, 20), 1)) is None


def test_mean_luma_is_bt709() -> None:
    green = constant(0)
    green[..., 1] = 200
    assert mean_luma(green) == pytest.approx(0.7152 * 200, rel=1e-4)
    assert mean_luma(constant(90)) == pytest.approx(90, rel=1e-4)


def test_drift_is_a_slope_that_is_robust_to_a_flash() -> None:
    frames = list(range(10, 60))
    values = [0.02 * frame for frame in frames]
    assert drift_per_100_frames(frames, values) == pytest.approx(2)
    values[20:26] = [80.0] * 6
    assert drift_per_100_frames(frames, values) == pytest.approx(2, abs=0.2)
    assert drift_per_100_frames([3], [1.0]) is None
    assert drift_per_100_frames([3, 5], [1.0, 2.0]) == pytest.approx(50)
    many = list(range(3000))
    assert drift_per_100_frames(many, [-0.01 * frame for frame in many]) == pytest.approx(-1)


def test_measured_motion_explains_a_real_scene(data: Callable[[str], Path]) -> None:
    """On marple8 the warped frame is within 0.0003 of the next one, over most of the frame."""
    first, second = (np.asarray(Image.open(data(f"flow/marple8/marple8_0{i}.ppm")).convert("RGB")) for i in (1, 2))
    found = measure_motion(first, second, from_index=0, to_index=1)
    error = temporal_error(first, second, found)
    assert error is not None and error < 0.0003
    assert found.confidence.mean() > 0.75

"""Estimating motion: known shifts, static cameras, published pairs of frames, and the table of methods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest

from pipeline.config.settings import MotionSettings
from pipeline.motion.dis import DenseInverseSearch, Preset
from pipeline.motion.estimate import estimate_motion, motion_between
from pipeline.motion.methods import METHODS, load_estimator
from pipeline.motion.static import DRIFT_PX
from pipeline.motion.warp import warp
from pipeline.types import Motion
from tests.support.frames import (
    HEIGHT,
    WIDTH,
    Array,
    blotches,
    constant_flow,
    end_point_error,
    half_textureless,
    moved_square,
    noisy,
    read_flo,
    read_rgb,
)

Data = Callable[[str], Path]


def nothing_moves(motion: Motion) -> bool:
    """Whether nothing moves: 95 percent of the confident pixels by less than a quarter of a pixel, and not all one way.

    False if less than half of the frame is confident: a cut is not a static shot.
    """
    confident = motion.confidence > 0.5
    if confident.mean() < 0.5:
        return False
    u, v = motion.backward_flow[confident].T
    return bool(np.percentile(np.hypot(u, v), 95) < 0.25 and np.hypot(np.median(u), np.median(v)) < DRIFT_PX)


def motion_of(previous: Array, current: Array, preset: Preset = "medium", max_side_px: int | None = None) -> Motion:
    estimator = DenseInverseSearch(preset)
    return estimate_motion(previous, current, from_index=3, to_index=4, estimator=estimator, max_side_px=max_side_px)


def test_motion_has_the_documented_shapes_dtypes_and_ranges() -> None:
    motion = motion_of(blotches(HEIGHT, WIDTH, 1), blotches(HEIGHT, WIDTH, 2))
    assert (motion.from_index, motion.to_index) == (3, 4)
    assert motion.backward_flow.shape == (HEIGHT, WIDTH, 2)
    assert motion.confidence.shape == (HEIGHT, WIDTH)
    assert motion.backward_flow.dtype == motion.confidence.dtype == np.float32
    assert motion.confidence.min() >= 0
    assert motion.confidence.max() <= 1


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_shift_of_the_whole_frame_is_found_by_every_preset(preset: Preset) -> None:
    scene = blotches(HEIGHT + 40, WIDTH + 40, 1)
    # The scene moves 5 px right and 3 px up, so the content of a pixel was 5 px further left and 3 px lower.
    previous, current = scene[20:-20, 20:-20], scene[23:-17, 15:-25]
    motion = motion_of(previous, current, preset=preset)
    error = end_point_error(motion.backward_flow, constant_flow(-5, 3))[16:-16, 16:-16]
    assert np.median(error) < (0.05 if preset == "medium" else 0.5)
    assert motion.confidence[16:-16, 16:-16].mean() > (0.95 if preset == "medium" else 0.7)
    # What entered over the left and lower edges is not in the previous frame.
    assert motion.confidence[:, :4].max() == 0
    assert motion.confidence[-2:].max() == 0


def test_motion_of_a_square_is_found_and_what_it_uncovers_has_no_confidence() -> None:
    previous, current, covered, uncovered = moved_square()
    motion = motion_of(previous, current)
    middle = cv2.erode(covered.astype(np.uint8), np.ones((13, 13))) > 0
    error = end_point_error(motion.backward_flow, constant_flow(-8, 0))
    assert np.median(error[middle]) < 0.1
    assert np.percentile(error[middle], 95) < 0.5
    assert motion.confidence[middle].mean() > 0.95
    assert motion.confidence[uncovered].mean() < 0.1
    far = ~(cv2.dilate((covered | uncovered).astype(np.uint8), np.ones((25, 25))) > 0)
    assert np.abs(motion.backward_flow[far]).max() < 0.5
    assert motion.confidence[far].mean() > 0.98
    moved = warp(previous, motion.backward_flow)
    assert np.abs(moved[middle].astype(int) - current[middle]).mean() < 3


@pytest.mark.parametrize("size", [(192, 256), (191, 255), (193, 258)])
def test_flow_estimated_on_halved_frames_is_in_pixels_of_the_frame(size: tuple[int, int]) -> None:
    height, width = size
    scene = blotches(height + 40, width + 40, 5, blur_px=3)
    previous, current = scene[20:-20, 20:-20], scene[12:-28, 26:-14]
    motion = motion_of(previous, current, max_side_px=200)
    assert motion.backward_flow.shape == (height, width, 2)
    inner = motion.backward_flow[20:-20, 20:-20]
    assert np.median(inner[..., 0]) == pytest.approx(6, abs=0.15)
    assert np.median(inner[..., 1]) == pytest.approx(-8, abs=0.15)


@pytest.mark.usefixtures("restored_threads")
def test_motion_does_not_depend_on_the_number_of_threads() -> None:
    previous, current, _, _ = moved_square()
    cv2.setNumThreads(1)
    single = motion_of(previous, current)
    for threads in (2, 3, 8):
        cv2.setNumThreads(threads)
        parallel = motion_of(previous, current)
        np.testing.assert_array_equal(single.backward_flow, parallel.backward_flow)
        np.testing.assert_array_equal(single.confidence, parallel.confidence)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (11, 11), (3, 64), (64, 3)])
def test_tiny_frames_have_motion_of_their_size(size: tuple[int, int]) -> None:
    image = blotches(*size, 6)
    motion = motion_of(image, image)
    assert motion.confidence.shape == size
    np.testing.assert_array_equal(warp(image, motion.backward_flow), image)


def test_frames_of_different_sizes_and_unknown_presets_are_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        motion_of(blotches(20, 20, 1), blotches(20, 21, 1))
    with pytest.raises(ValueError, match="preset"):
        motion_of(blotches(20, 20, 1), blotches(20, 20, 1), preset="slow")  # type: ignore[arg-type]


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
@pytest.mark.parametrize("size", [(16, 640), (31, 160), (160, 31), (5, 300)])
def test_narrow_frames_do_not_crash_the_search(preset: Preset, size: tuple[int, int]) -> None:
    image = blotches(*size, 3)
    motion = motion_of(image, np.roll(image, 1, axis=1), preset)
    assert np.isfinite(motion.backward_flow).all() and motion.backward_flow.shape == (*size, 2)


def test_identical_frames_have_no_motion_and_full_confidence() -> None:
    image = blotches(HEIGHT, WIDTH, 7)
    motion = motion_of(image, image)
    assert not motion.backward_flow.any()
    assert motion.confidence.min() == 1
    assert nothing_moves(motion)
    np.testing.assert_array_equal(warp(image, motion.backward_flow), image)


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_camera_noise_is_not_motion(levels: float) -> None:
    motion = motion_of(noisy(half_textureless(), levels, 1), noisy(half_textureless(), levels, 2))
    assert nothing_moves(motion)
    assert (motion.backward_flow == 0).all(axis=2).mean() > 0.95


def test_faint_clouds_over_static_ground_move() -> None:
    """A pixel changes by one level per frame."""
    clouds = cv2.GaussianBlur(np.random.default_rng(1).normal(size=(80, 360)), (0, 0), 8)
    frames = []
    for step in (0, 1):
        frame = blotches(240, 320, 8).astype(np.float64)
        frame[:80] = (180 + 8 * clouds / clouds.std())[:, 20 - step : 340 - step, None]
        frames.append(noisy(frame, 1, step))
    motion = motion_of(frames[0], frames[1])
    assert not nothing_moves(motion)
    sky = motion.backward_flow[10:70, 10:-10]
    assert (sky != 0).any(axis=2).mean() > 0.9
    assert np.median(sky[..., 0]) == pytest.approx(-1, abs=0.15)
    assert not motion.backward_flow[130:].any()


def test_slow_pan_is_motion() -> None:
    image = half_textureless()
    shifted = warp(image, constant_flow(-0.2, 0, 240, 320))
    motion = motion_of(noisy(image, 1, 1), noisy(shifted, 1, 2))
    assert not nothing_moves(motion)
    assert np.median(motion.backward_flow[130:-10, 10:-10, 0]) == pytest.approx(-0.2, abs=0.08)


def test_object_before_a_static_camera_moves_and_the_background_does_not() -> None:
    previous, current, covered, _ = moved_square()
    motion = motion_of(noisy(previous, 1, 1), noisy(current, 1, 2))
    assert not nothing_moves(motion)
    assert np.median(motion.backward_flow[covered][:, 0]) == pytest.approx(-8, abs=0.2)
    assert (motion.backward_flow[:16] == 0).mean() > 0.8


def test_cut_is_motion() -> None:
    assert not nothing_moves(motion_of(blotches(HEIGHT, WIDTH, 9), blotches(HEIGHT, WIDTH, 10)))


def test_flow_agrees_with_the_ground_truth_of_flying_chairs(data: Data) -> None:
    folder = data("flow/flyingchairs")
    first, second = (read_rgb(folder / f"0000003-img{i}.ppm") for i in (0, 1))
    truth = read_flo(folder / "0000003-gt.flo")
    # The truth leads from img0 to img1: as backward flow, img1 is the previous frame.
    motion = motion_of(second, first)
    error = end_point_error(motion.backward_flow, truth)
    confident = motion.confidence > 0.5
    assert error.mean() < 1.6
    assert np.median(error) < 0.15
    assert confident.mean() > 0.6
    assert error[confident].mean() < 0.5


def test_flow_agrees_with_the_ground_truth_of_motorcycle_stereo(data: Data) -> None:
    folder = data("flow/motorcycle_stereo")
    left, right = (read_rgb(folder / f"motorcycle_{side}.png") for side in ("left", "right"))
    disparity = np.load(folder / "motorcycle_disp.npz")["arr_0"]
    known = np.isfinite(disparity)
    truth = np.stack([np.where(known, -disparity, 0), np.zeros_like(disparity)], axis=2)
    motion = motion_of(right, left)
    error = end_point_error(motion.backward_flow, truth)[known]
    confident = motion.confidence[known] > 0.5
    assert error.mean() < 3.2
    assert np.median(error) < 0.6
    assert error[confident].mean() < 2
    assert confident.mean() > 0.8


def test_table_has_every_method_of_the_setting() -> None:
    assert set(METHODS) == set(get_args(MotionSettings.model_fields["method"].annotation))


def test_method_none_has_no_motion_and_full_confidence() -> None:
    previous, current, _, _ = moved_square()
    settings = MotionSettings(method="none")
    assert load_estimator(settings) is None
    motion = motion_between(previous, current, settings, from_index=0, to_index=1)
    assert not motion.backward_flow.any()
    assert motion.confidence.min() == 1


def test_method_auto_estimates_only_where_something_moves() -> None:
    estimated: list[tuple[Array, Array]] = []

    class Recorder(DenseInverseSearch):
        def __call__(self, previous: Array, current: Array) -> tuple[Any, Any]:
            estimated.append((previous, current))
            return super().__call__(previous, current)

    recorder, settings = Recorder(), MotionSettings(method="auto")
    previous, current, _, _ = moved_square()
    still = motion_between(previous, previous, settings, from_index=0, to_index=1, estimator=recorder)
    assert not still.backward_flow.any() and still.confidence.min() == 1 and not estimated
    moving = motion_between(previous, current, settings, from_index=0, to_index=1, estimator=recorder)
    assert moving.backward_flow.any() and len(estimated) == 1
    motion_between(previous, previous, MotionSettings(method="dis"), from_index=0, to_index=1, estimator=recorder)
    assert len(estimated) == 2


@pytest.mark.parametrize("preset", get_args(Preset))
def test_dense_inverse_search_has_the_preset_of_the_settings(preset: Preset) -> None:
    settings = MotionSettings(method="dis", preset=preset)
    estimator = load_estimator(settings)
    assert estimator == DenseInverseSearch(preset)
    previous, current, _, _ = moved_square()
    loaded = motion_between(previous, current, settings, from_index=0, to_index=1, estimator=estimator)
    default = motion_between(previous, current, settings, from_index=0, to_index=1)
    np.testing.assert_array_equal(loaded.backward_flow, default.backward_flow)

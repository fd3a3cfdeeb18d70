"""Steadying a camera whose shake is known: what remains of it, pans, cuts, and the bound on the crop."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.analysis.registration import Pyramid
from pipeline.analysis.stabilization import (
    MAX_ZOOM,
    filter_frames,
    measured_shake_px,
    parameters,
    path_of,
    shake_px,
    similarity,
    smoothed,
    steadied,
    step_between,
    tracked,
)
from pipeline.config.settings import InputSettings
from pipeline.media.reader.source import probe, read_frames
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.workflows.input.alignment import aligned
from tests.support.bursts import errors_px, moved, photo
from tests.support.clips import write_video

SHAPE = (120, 160)


def test_similarities_have_four_parameters() -> None:
    matrix = moved((3, -2), 4, 1.1, size=(160, 120))
    assert errors_px(similarity(parameters(matrix, SHAPE), SHAPE), matrix, (160, 120)).max() < 1e-9


def test_a_step_is_measured_past_something_that_moves() -> None:
    true = moved((2.3, -1.1), 0.6, 1.004, size=(160, 120))
    grays = [
        photo(matrix, size=(160, 120), noise=3, seed=seed, object_at=(40 + 20 * seed, 40))[..., 1].copy()
        for seed, matrix in enumerate((np.eye(3), true))
    ]
    step = step_between(grays[0], grays[1], (Pyramid(grays[0]), Pyramid(grays[1])))
    assert np.median(errors_px(step, true, (160, 120))) < 0.15


def test_frames_that_show_something_else_are_no_step() -> None:
    first = photo(np.eye(3), size=(160, 120))[..., 1].copy()
    other = np.random.default_rng(0).integers(0, 256, (120, 160), np.uint8)
    np.testing.assert_array_equal(step_between(first, other, (Pyramid(first), Pyramid(other))), np.eye(3))


def dots(count: int, left_px: int, top_px: int) -> NDArray[np.uint8]:
    """As many dots, each one corner, as are left of a grid of 4 by 4 that begins at a place, in 160x640 px."""
    image = np.zeros((160, 640), np.float32)
    for number in range(count):
        cv2.circle(image, (left_px + 30 * (number // 4), top_px + 30 * (number % 4)), 2, 255, -1)
    return np.rint(cv2.GaussianBlur(image, (0, 0), 1.2)).astype(np.uint8)


@pytest.mark.parametrize("lost", [0, 16])
def test_corners_are_tracked_where_there_are_twelve(lost: int) -> None:
    """Those that the way back does not find again do not count: noise hides them."""
    noise = np.random.default_rng(0).integers(0, 256, (160, 260), np.uint8)
    for count in (11, 12):
        before, after = dots(count, 20, 20) | dots(lost, 450, 20), dots(count, 23, 22)
        if lost:
            after[:, 380:] = noise
        found = tracked(before, after)
        if count < 12:
            assert found is None
        else:
            assert found is not None and np.allclose(found, [[1, 0, 3], [0, 1, 2], [0, 0, 1]], atol=0.02)


def test_corners_that_end_in_a_flat_area_are_not_tracked() -> None:
    """More dots vanish than stay."""
    found = tracked(dots(14, 20, 20) | dots(16, 450, 20), dots(14, 23, 22))
    assert found is not None and np.allclose(found, [[1, 0, 3], [0, 1, 2], [0, 0, 1]], atol=0.02)


def test_frames_without_corners_are_not_tracked() -> None:
    assert tracked(dots(0, 0, 0), dots(16, 20, 20)) is None


def test_turns_are_added_up_beyond_half_a_circle() -> None:
    path = path_of([moved(turn_deg=40, size=(160, 120))] * 12, SHAPE)
    assert np.allclose(path[:, 3], np.deg2rad(40) * np.arange(13)) and np.allclose(path[:, :3], 0)


def test_a_steady_pan_stays_and_shake_goes() -> None:
    pan = np.outer(np.arange(60), [3.0, -1.0, 0.001, 0.002])
    assert np.allclose(smoothed(pan, 8), pan)
    shake = np.random.default_rng(0).normal(0, 2, pan.shape) * [1, 1, 0, 0]
    away = smoothed(pan + shake, 8) - pan
    assert np.abs(away[:, :2]).std() < 0.35 * shake[:, :2].std()
    assert shake_px(pan, 24) < 1e-6
    assert shake_px(pan + shake, 24) == pytest.approx(2 * 2**0.5, rel=0.2)
    assert shake_px(pan[:2], 24) == 0
    assert filter_frames(0, 24) == 0 and filter_frames(1, 24) == float("inf")


def test_frames_always_cover_what_the_largest_zoom_shows() -> None:
    path = path_of([moved((x, 0), size=(160, 120)) for x in np.random.default_rng(1).normal(0, 9, 40)], SHAPE)
    for strength in (0.2, 0.7, 1):
        for matrix in steadied(path, filter_frames(strength, 24), SHAPE):
            corners = 79.5 + np.array([-80, 80]) / MAX_ZOOM
            ends = matrix @ np.array([corners, [59.5, 59.5], [1, 1]])
            assert ends[0].min() >= -0.51 and ends[0].max() <= 159.51
    assert len(steadied(path_of([], SHAPE), 5.0, SHAPE)) == 1


@pytest.mark.parametrize(("strength", "remains"), [(0.5, (0.6, 0.8)), (1.0, (0.15, 0.15))])
def test_a_shaking_video_is_steadied_within_its_shots(
    tmp_path: Path, strength: float, remains: tuple[float, float]
) -> None:
    rng = np.random.default_rng(3)
    motions = [moved(tuple(rng.uniform(-3, 3, 2)), rng.uniform(-1, 1), size=(160, 120)) for _ in range(14)]
    frames = [photo(matrix, size=(160, 120)) for matrix in motions]
    frames[9:] = [255 - np.ascontiguousarray(rgb[::-1]) for rgb in frames[9:]]
    clip = write_video(tmp_path / "clip.mp4", frames)
    settings = InputSettings(stabilize=strength, deflicker=0)
    source = aligned(probe([clip], settings), settings, SilentReporter(), Cancellation())
    assert source.frame_count == 14 and source.width_px >= 160 / MAX_ZOOM - 1
    for shot, at_most in zip((slice(0, 9), slice(9, 14)), remains, strict=True):
        before = np.abs(np.diff(np.array(frames[shot], float), axis=0)).mean()
        steady = [frame.rgb for frame in read_frames(source, settings=settings)][shot]
        assert np.abs(np.diff(np.array(steady, float), axis=0)).mean() < at_most * before


def test_shake_is_measured_from_small_frames() -> None:
    rng = np.random.default_rng(7)
    still, pan, shaken = (
        [moved((x, y), size=(160, 120)) for x, y in shifts]
        for shifts in (np.zeros((12, 2)), np.outer(np.arange(12), [2.0, 0.5]), rng.uniform(-3, 3, (12, 2)))
    )
    found = [
        measured_shake_px(
            [
                photo(matrix, size=(160, 120), noise=2, seed=index)[..., 1].copy()
                for index, matrix in enumerate(motions)
            ],
            24,
        )
        for motions in (still, pan, shaken)
    ]
    assert found[0] < 0.3 and found[1] < 0.5 and found[2] > 1.0
    assert measured_shake_px([], 24) == 0

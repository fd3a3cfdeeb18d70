"""Aligning bursts whose motion is known: accuracy, the choice of model and anchor, and what cannot be aligned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.analysis.burst import _good, align_burst, anchor_score
from pipeline.analysis.features import plausible
from pipeline.analysis.registration import MODELS, Model, Pyramid, Registration, nearest, register
from tests.support.bursts import errors_px, moved, photo, scene

Gray = NDArray[np.uint8]

MOTIONS = {
    "translation": [moved((shift, -2 * shift)) for shift in (0.0, 3.3, -2.6, 5.4)],
    "similarity": [moved((shift, 1), shift / 2, 1 + shift / 200) for shift in (0.0, 3.3, -2.6, 5.4)],
    "affine": [moved((shift, 1)) @ np.diag([1 + shift / 100, 1, 1]) for shift in (0.0, 3.3, -2.6, 5.4)],
    "homography": [moved((shift, 1), -shift / 3, 1, (shift / 100, 0.01)) for shift in (0.0, 3.3, -2.6, 5.4)],
}


def gray(rgb: NDArray[np.uint8]) -> Gray:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def reader(photos: Sequence[Gray]):  # type: ignore[no-untyped-def]
    def read(indices: Sequence[int]) -> Iterator[Gray]:
        return iter([photos[index] for index in indices])

    return read


def shots(model: str) -> list[Gray]:
    """Photos with noise, different exposure, and something that moves through them."""
    gains = (1.0, 0.6, 1.2, 0.8)
    return [
        gray(photo(matrix, seed=index, noise=5, gain=gains[index], object_at=(40 + 45 * index, 90)))
        for index, matrix in enumerate(MOTIONS[model])
    ]


@pytest.mark.parametrize("model", MODELS)
def test_bursts_lie_within_a_third_of_a_pixel_and_their_motion_is_recognized(model: Model) -> None:
    found = align_burst(4, reader(shots(model)))
    assert found.model == model
    to_anchor = np.linalg.inv(MOTIONS[model][found.anchor])
    for matrix, true in zip(found.matrices, MOTIONS[model], strict=True):
        assert matrix is not None
        assert float(np.median(errors_px(matrix, true @ to_anchor))) <= 0.3
        assert errors_px(matrix, true @ to_anchor).max() <= 0.6


def test_what_moves_has_no_say_even_without_points_in_common() -> None:
    true = moved((4.4, -3.2), 0.5)
    still = Pyramid(gray(photo(np.eye(3), noise=3, seed=1, object_at=(60, 60))))
    other = Pyramid(gray(photo(true, noise=3, seed=2, object_at=(120, 80))))
    assert np.median(errors_px(register(still, other, "similarity").matrix, true)) <= 0.1


def test_the_anchor_is_a_sharp_photo_with_little_black_and_white() -> None:
    sharp = photo(np.eye(3))
    blurred = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 2), np.uint8)
    assert anchor_score(gray(sharp)) > anchor_score(gray(blurred))
    assert anchor_score(gray(sharp)) > anchor_score(gray(photo(np.eye(3), gain=2.0)))
    burst = [gray(photo(matrix, noise=4, seed=index)) for index, matrix in enumerate(MOTIONS["translation"])]
    burst = [
        shot if index == 1 else np.asarray(cv2.GaussianBlur(shot, (0, 0), 1.5), np.uint8)
        for index, shot in enumerate(burst)
    ]
    assert align_burst(4, reader(burst), "translation").anchor == 1


def test_photos_of_something_else_and_without_texture_are_not_aligned() -> None:
    other = gray(np.rint(scene((320, 240), seed=5)).astype(np.uint8))
    flat = np.full((240, 320), 128, np.uint8)
    photos = [gray(photo(matrix)) for matrix in MOTIONS["similarity"][:2]]
    found = align_burst(4, reader([*photos, other, flat]), "similarity")
    assert [matrix is None for matrix in found.matrices] == [False, False, True, True]
    assert align_burst(2, reader([photos[0], flat])).model == "similarity"  # nothing says which


@pytest.mark.parametrize(("shift_px", "aligned"), [(200, True), (240, False)])
def test_photos_that_share_less_than_three_tenths_are_not_aligned(shift_px: int, aligned: bool) -> None:
    """They lie on each other to the pixel, in 120 and in 80 of 320 columns."""
    wide = gray(np.rint(scene((560, 240))).astype(np.uint8))
    found = align_burst(2, reader([wide[:, :320], wide[:, shift_px : shift_px + 320]]), "translation")
    assert min(found.correlations) > 0.9
    assert all(matrix is not None for matrix in found.matrices) == aligned


@pytest.mark.parametrize(
    ("matrix", "kept"),
    [
        (np.diag([1.9, 1.9, 1]), True),
        (np.diag([2.1, 2.1, 1]), False),
        (np.diag([0.55, 0.55, 1]), True),
        (np.diag([0.45, 0.45, 1]), False),
        (np.diag([-1.0, 1, 1]), False),
        (np.array([[1, 0, 0], [0, 1, 0], [1.9 / 320, 0, 1]]), True),
        (np.array([[1, 0, 0], [0, 1, 0], [2.1 / 320, 0, 1]]), False),
        (np.array([[1, 0, 0], [0, 1, 0], [0, -0.6 / 320, 1]]), True),
        (np.array([[1, 0, 0], [0, 1, 0], [0, -0.8 / 320, 1]]), False),
    ],
    ids=["1.9 times", "2.1 times", "0.55 times", "0.45 times", "mirrored", "2.9 as deep", "3.1", "0.4", "0.2"],
)
def test_a_photo_is_kept_where_a_camera_may_have_moved_so(matrix: NDArray[np.float64], kept: bool) -> None:
    """A homography may be given by any factor; correlation and overlap alone do not make it good."""
    assert plausible(matrix, 320) == plausible(-3 * matrix, 320) == kept
    assert _good(Registration(matrix, 0.9, 0.9), 320) == kept


def test_focus_that_moves_hides_no_change_of_scale() -> None:
    true = moved((1, 0), 0, 1.015)
    near, far = gray(photo(np.eye(3))), gray(photo(true))
    near[:, 160:] = cv2.GaussianBlur(near, (0, 0), 3)[:, 160:]
    far[:, :160] = cv2.GaussianBlur(far, (0, 0), 3)[:, :160]
    found = align_burst(2, reader([near, far]), "similarity")
    matrix = found.matrices[1 - found.anchor]
    assert matrix is not None
    wanted = np.asarray(true if found.anchor == 0 else np.linalg.inv(true), np.float64)
    assert np.median(errors_px(matrix, wanted)) <= 0.3


@pytest.mark.parametrize("model", MODELS)
def test_nearest_motion_of_a_model_is_that_motion_itself(model: Model) -> None:
    for true in MOTIONS[model]:
        assert errors_px(nearest(3 * true, model, (320, 240)), true).max() < 1e-6

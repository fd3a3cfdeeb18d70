"""The grade: closed forms of each step, and nothing where it is neutral."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.config.finish import DetailSettings, FinishSettings
from pipeline.config.grade import CurveSettings, GradeSettings
from pipeline.media.image.depth import as_float, to_8_bit
from pipeline.media.image.oklab import oklab_from_srgb
from pipeline.media.image.transfer import linear_from_srgb, srgb_from_linear
from pipeline.postprocess.curve import ENTRIES, curve_table
from pipeline.postprocess.effect import FrameContext
from pipeline.postprocess.finish import NEUTRAL, finish
from pipeline.postprocess.grade import channel_gains, contrast, curves, grade, saturation, white_balance
from tests.support.frames import RGB

RANDOM = np.random.default_rng(7)
FRAME = RANDOM.integers(0, 256, (30, 41, 3), dtype=np.uint8)
IMAGE = as_float(FRAME)
CONTEXT = FrameContext(FRAME, 0, 0)


def graded(frame: RGB, **settings: object) -> RGB:
    finish_settings = FinishSettings(follow_level=0, grade=GradeSettings.model_validate(settings))
    return finish(frame, frame, finish_settings, index=0, seed=0)


def test_neutral_grade_and_detail_return_the_frame_itself() -> None:
    assert finish(FRAME, FRAME, NEUTRAL, index=0, seed=0) is FRAME
    assert FinishSettings(follow_level=0, grade=GradeSettings(), detail=DetailSettings()) == NEUTRAL
    np.testing.assert_array_equal(graded(FRAME, lut_amount=0.5, pivot=0.3), FRAME)


@pytest.mark.parametrize(
    "settings",
    [
        {"curves": {"luma": [[0, 0], [1, 1]], "red": [[0, 0], [0.5, 0.5], [1, 1]]}},
        {"gray_point": "#808080"},
        {"contrast": 1.0001},
        {"vignette": 1e-6},
    ],
)
def test_settings_that_say_nothing_change_no_pixel(settings: dict[str, object]) -> None:
    np.testing.assert_array_equal(graded(FRAME, **settings), FRAME)


def test_transfer_function_is_inverted() -> None:
    np.testing.assert_allclose(srgb_from_linear(linear_from_srgb(IMAGE)), IMAGE, atol=1e-4)
    assert linear_from_srgb(np.asarray([0.5], np.float32))[0] == pytest.approx(0.21404, abs=2e-5)
    np.testing.assert_array_equal(linear_from_srgb(np.asarray([-1, 0, 1, 2], np.float32)), [0, 0, 1, 1])


def test_gray_point_becomes_gray_and_gray_keeps_its_luminance() -> None:
    cast = np.full((4, 4, 3), (120, 130, 160), np.uint8)
    assert int(np.ptp(graded(cast, gray_point="#7882a0").astype(int))) <= 1
    for gains in (channel_gains("#7882a0", 0, 0), channel_gains(None, 0.7, -0.4)):
        assert np.dot([0.2126, 0.7152, 0.0722], gains) == pytest.approx(1)
    red, green, blue = channel_gains(None, 1, 0)
    assert red / blue == pytest.approx(2) and red / green == pytest.approx(green / blue)
    red, green, blue = channel_gains(None, 0, 1)
    assert red == pytest.approx(blue) and red > green
    gray = np.full((1, 1, 3), 0.5, np.float32)
    warm = linear_from_srgb(white_balance(gray, channel_gains(None, 0.5, 0)))[0, 0]
    assert np.dot([0.2126, 0.7152, 0.0722], warm) == pytest.approx(0.21404, rel=1e-3)
    assert np.isfinite(channel_gains("#000000", 0, 0)).all()


@pytest.mark.parametrize("amount", [0.5, 1.5, 3])
def test_contrast_turns_around_its_pivot(amount: float) -> None:
    ramp = np.linspace(0, 1, 1001, dtype=np.float32).reshape(1, -1, 1).repeat(3, 2)
    result = contrast(ramp, amount, 0.4)[0, :, 0]
    assert result[400] == pytest.approx(0.4, abs=1e-6)
    assert (result[401] - result[399]) / 0.002 == pytest.approx(amount, rel=1e-2)
    assert (np.diff(result) >= 0).all()
    if amount > 1:
        assert result[0] == 0 and result[-1] == pytest.approx(1)
        odds = (result[700] / (1 - result[700])) / (0.4 / 0.6)
        assert odds == pytest.approx(((0.7 / 0.3) / (0.4 / 0.6)) ** amount, rel=1e-4)
    else:
        np.testing.assert_allclose(result, 0.4 + amount * (ramp[0, :, 0] - 0.4), atol=1e-6)


def test_curve_goes_through_its_points_and_is_monotone_between_them() -> None:
    points = ((0.1, 0.0), (0.3, 0.25), (0.35, 0.7), (0.8, 0.7), (1.0, 0.2))
    table = curve_table(points)
    x = np.linspace(0, 1, ENTRIES)
    for before, after in points:
        assert table[round(before * (ENTRIES - 1))] == pytest.approx(after, abs=3e-4)
    assert (table[x < 0.1] == 0).all()
    steps = np.diff(table)
    assert (steps[(x[:-1] > 0.1) & (x[:-1] < 0.349)] >= 0).all()
    np.testing.assert_allclose(table[(x > 0.36) & (x < 0.79)], 0.7, atol=1e-6)  # no overshoot between equal points
    assert (steps[x[:-1] > 0.801] <= 0).all()


def test_curve_of_two_points_is_a_line_and_of_a_parabola_near_it() -> None:
    x = np.linspace(0, 1, ENTRIES)
    np.testing.assert_allclose(curve_table(((0, 0.2), (1, 0.7))), 0.2 + 0.5 * x, atol=1e-6)
    nodes = np.linspace(0, 1, 11)
    np.testing.assert_allclose(curve_table(tuple(zip(nodes, nodes**2, strict=True))), x**2, atol=1e-3)


def test_curves_act_on_their_channels_and_luma_on_all_alike() -> None:
    up = ((0.0, 0.1), (1.0, 0.9))
    changed = curves(IMAGE, CurveSettings(green=up))
    np.testing.assert_array_equal(changed[..., [0, 2]], IMAGE[..., [0, 2]])
    np.testing.assert_allclose(changed[..., 1], 0.1 + 0.8 * IMAGE[..., 1], atol=2e-5)
    shift = curves(IMAGE, CurveSettings(luma=up)) - IMAGE
    np.testing.assert_allclose(shift, shift[..., :1].repeat(3, 2), atol=1e-6)
    luma = IMAGE @ np.asarray([0.2126, 0.7152, 0.0722], np.float32)
    np.testing.assert_allclose(shift[..., 0], 0.1 - 0.2 * luma, atol=2e-5)


@pytest.mark.parametrize(
    "points", [[[0, 0]], [[0.5, 0], [0.5, 1]], [[1, 0], [0, 1]], [[0, 0], [1, 2]], [[0, 0, 0]] * 2]
)
def test_curves_that_are_none_are_refused(points: list[list[float]]) -> None:
    with pytest.raises(ValidationError, match="luma"):
        CurveSettings.model_validate({"luma": points})


def test_saturation_of_1_keeps_colors_within_a_level() -> None:
    """At the border of the gamut chroma is found to 1/256 of itself."""
    assert int(np.abs(graded(FRAME, saturation=1.0001).astype(int) - FRAME).max()) <= 1


def test_saturation_keeps_lightness_and_hue() -> None:
    gray = oklab_from_srgb(graded(FRAME, saturation=0))
    np.testing.assert_allclose(gray[..., 1:], 0, atol=4e-3)
    np.testing.assert_allclose(gray[..., 0], oklab_from_srgb(FRAME)[..., 0], atol=6e-3)
    pale = (110 + FRAME // 8).astype(np.uint8)
    before, after = oklab_from_srgb(pale), oklab_from_srgb(to_8_bit(saturation(as_float(pale), 2)))
    np.testing.assert_allclose(after[..., 1:], 2 * before[..., 1:], atol=6e-3)
    loud = oklab_from_srgb(graded(FRAME, saturation=4))
    np.testing.assert_allclose(loud[..., 0], oklab_from_srgb(FRAME)[..., 0], atol=0.02)


def test_vignette_keeps_the_center_and_darkens_the_corners() -> None:
    result = grade(np.ones((21, 31, 3), np.float32), GradeSettings(vignette=0.6), CONTEXT)
    assert result[10, 15] == pytest.approx([1, 1, 1])
    corners = result[[0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_allclose(corners, 0.4, atol=1e-6)
    np.testing.assert_allclose(result, result[::-1, ::-1], atol=1e-6)
    assert grade(np.ones((1, 1, 3), np.float32), GradeSettings(vignette=1), CONTEXT).shape == (1, 1, 3)


def test_lut_that_was_not_loaded_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match=r"film\.cube"):
        grade(IMAGE, GradeSettings(lut=Path("film.cube")), CONTEXT)

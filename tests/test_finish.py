"""Finishing: exact where nothing is asked, closed forms where something is, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.settings import FinishSettings
from pipeline.postprocess.finish import finish, oklab_from_srgb, srgb_from_oklab

RANDOM = np.random.default_rng(7)
PAINTED = RANDOM.integers(0, 256, (30, 41, 3), dtype=np.uint8)
PHOTO = RANDOM.integers(0, 256, (30, 41, 3), dtype=np.uint8)
GRAY = np.full((64, 96, 3), 128, np.uint8)


def test_nothing_asked_is_nothing_done() -> None:
    np.testing.assert_array_equal(finish(PAINTED, PHOTO, FinishSettings(), index=5, seed=1), PAINTED)


def test_inputs_stay_as_they_were() -> None:
    painted, photo = PAINTED.copy(), PHOTO.copy()
    finish(painted, photo, FinishSettings(preserve_color=0.5, sharpen=1, grain=0.1), index=0, seed=0)
    np.testing.assert_array_equal(painted, PAINTED)
    np.testing.assert_array_equal(photo, PHOTO)


def test_following_the_light_gives_flat_paint_the_lightness_of_the_photo() -> None:
    photo = np.full((64, 96, 3), 60, np.uint8)
    dark = finish(GRAY, photo, FinishSettings(match_light=1), index=0, seed=0)
    np.testing.assert_allclose(dark.astype(int), 60, atol=5)  # the constant that protects black
    half = finish(GRAY, photo, FinishSettings(match_light=0.5), index=0, seed=0)
    assert 60 < half.mean() < 128


def test_following_the_light_keeps_strokes_and_their_contrast() -> None:
    strokes = np.where(np.arange(96)[None, :, None] // 2 % 2, 150, 90).repeat(64, 0).repeat(3, 2).astype(np.uint8)
    night = finish(strokes, np.full_like(strokes, 40), FinishSettings(match_light=1), index=0, seed=0)
    before, after = oklab_from_srgb(strokes)[..., 0], oklab_from_srgb(night)[..., 0]
    inside = np.s_[:, 20:76]
    assert after.mean() < 0.6 * before.mean()
    assert after[inside].std() / after[inside].mean() == pytest.approx(
        before[inside].std() / before[inside].mean(), rel=0.1
    )


def test_other_size_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        finish(PAINTED, PHOTO[:-1], FinishSettings(), index=0, seed=0)


def test_oklab_knows_its_reference_colors() -> None:
    colors = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    # From Ottosson's definition, in float64.
    expected = [
        [1.0, 0.0, 0.0],
        [0.0, 0.0, 0.0],
        [0.62796, 0.22486, 0.12585],
        [0.86644, -0.23389, 0.17950],
        [0.45201, -0.03246, -0.31153],
    ]
    np.testing.assert_allclose(oklab_from_srgb(colors), expected, atol=2e-4)


def test_every_color_survives_oklab_exactly() -> None:
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    np.testing.assert_array_equal(srgb_from_oklab(oklab_from_srgb(cube)), cube)


@settings(max_examples=60, deadline=None)
@given(lightness=st.floats(0.2, 0.95), hue=st.floats(0, 6.28), chroma=st.floats(0.0, 0.4))
def test_colors_outside_srgb_keep_lightness_and_hue(lightness: float, hue: float, chroma: float) -> None:
    wanted = np.array([[lightness, chroma * np.cos(hue), chroma * np.sin(hue)]], np.float32)
    got = oklab_from_srgb(srgb_from_oklab(wanted))
    # as far as 256 codes can tell
    assert abs(float(got[0, 0]) - lightness) < 0.01
    across = abs(float(got[0, 1] * np.sin(hue) - got[0, 2] * np.cos(hue)))
    assert across < 0.012
    assert float(np.hypot(got[0, 1], got[0, 2])) < chroma + 0.012


def test_preserving_the_color_of_a_gray_photo_makes_gray_of_the_same_lightness() -> None:
    result = finish(PAINTED, np.full_like(PAINTED, 77), FinishSettings(preserve_color=1), index=0, seed=0)
    assert int(np.ptp(result.astype(int), axis=2).max()) <= 1
    np.testing.assert_allclose(oklab_from_srgb(result)[..., 0], oklab_from_srgb(PAINTED)[..., 0], atol=0.01)


def test_preserving_the_color_of_itself_changes_nothing() -> None:
    result = finish(PAINTED, PAINTED, FinishSettings(preserve_color=1), index=0, seed=0)
    np.testing.assert_array_equal(result, PAINTED)


def test_half_the_color_is_half_the_way() -> None:
    painted, photo = np.full((2, 2, 3), (150, 110, 100), np.uint8), np.full((2, 2, 3), (90, 130, 140), np.uint8)
    result = oklab_from_srgb(finish(painted, photo, FinishSettings(preserve_color=0.5), index=0, seed=0))
    middle = (oklab_from_srgb(painted)[..., 1:] + oklab_from_srgb(photo)[..., 1:]) / 2
    np.testing.assert_allclose(result[..., 1:], middle, atol=0.005)


def test_sharpening_leaves_flat_areas_and_raises_edges() -> None:
    edge = np.full((40, 60, 3), 80, np.uint8)
    edge[:, 30:] = 170
    result = finish(edge, edge, FinishSettings(sharpen=1), index=0, seed=0)
    np.testing.assert_array_equal(result[:, :20], edge[:, :20])
    np.testing.assert_array_equal(result[:, 40:], edge[:, 40:])
    assert int(result[20, 29, 0]) < 80
    assert int(result[20, 30, 0]) > 170
    np.testing.assert_array_equal(result[..., 0], result[..., 2])  # no color at the edge of gray


def test_grain_has_the_deviation_asked_for_and_no_color() -> None:
    result = finish(GRAY, GRAY, FinishSettings(grain=0.05), index=3, seed=9).astype(float)
    assert result.std() / 255 == pytest.approx(0.05, rel=0.05)
    assert result.mean() == pytest.approx(128, abs=0.7)
    np.testing.assert_array_equal(result[..., 0], result[..., 1])


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_have_no_grain(level: int) -> None:
    flat = np.full_like(GRAY, level)
    np.testing.assert_array_equal(finish(flat, flat, FinishSettings(grain=0.2), index=0, seed=0), flat)


def test_grain_belongs_to_seed_and_index() -> None:
    def grained(index: int, seed: int) -> bytes:
        return finish(GRAY, GRAY, FinishSettings(grain=0.1), index=index, seed=seed).tobytes()

    assert grained(4, 2) == grained(4, 2)
    assert len({grained(4, 2), grained(5, 2), grained(4, 3)}) == 3

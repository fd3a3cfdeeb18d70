"""Finishing: unchanged at 0, closed forms of every effect, and the same result for the same seed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.config.finish import DetailSettings, FinishSettings
from pipeline.config.grade import GradeSettings
from pipeline.media.image.oklab import oklab_from_image, oklab_from_srgb
from pipeline.postprocess.effect import Level
from pipeline.postprocess.finish import CONTENT_EFFECTS, EFFECTS, finish, reads_content
from pipeline.postprocess.light import broad

RANDOM = np.random.default_rng(7)
STYLIZED = RANDOM.integers(0, 256, (30, 41, 3), dtype=np.uint8)
CONTENT = RANDOM.integers(0, 256, (30, 41, 3), dtype=np.uint8)
GRAY = np.full((64, 96, 3), 128, np.uint8)


def test_content_of_16_bits_is_that_of_8() -> None:
    settings = FinishSettings.model_validate({"preserve_color": 0.5, "match_light": 0.5, "detail": {"fine": 1}})
    deep = CONTENT.astype(np.uint16) * 257
    expected = finish(STYLIZED, CONTENT, settings, index=0, seed=0)
    np.testing.assert_array_equal(finish(STYLIZED, deep, settings, index=0, seed=0), expected)


def test_deep_result_rounds_to_16_bits_what_the_other_rounds_to_8() -> None:
    settings = FinishSettings.model_validate({"grade": {"contrast": 1.2, "saturation": 0.8}, "sharpen": 0.5})
    shallow = finish(STYLIZED, CONTENT, settings, index=2, seed=1)
    deep = finish(STYLIZED, CONTENT, settings, index=2, seed=1, deep=True)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - shallow).max() <= 0.501
    assert len(np.unique(deep)) > 256
    neutral = finish(STYLIZED, CONTENT, FinishSettings(follow_level=0), index=2, seed=1, deep=True)
    np.testing.assert_array_equal(neutral, STYLIZED.astype(np.uint16) * 257)


def test_settings_of_zero_return_the_frame() -> None:
    np.testing.assert_array_equal(finish(STYLIZED, CONTENT, FinishSettings(), index=5, seed=1), STYLIZED)


def test_arguments_are_not_modified() -> None:
    stylized, content = STYLIZED.copy(), CONTENT.copy()
    finish(stylized, content, FinishSettings(preserve_color=0.5, sharpen=1, grain=0.1), index=0, seed=0)
    np.testing.assert_array_equal(stylized, STYLIZED)
    np.testing.assert_array_equal(content, CONTENT)


def test_matched_light_of_a_gray_frame_is_the_lightness_of_the_content() -> None:
    content = np.full((64, 96, 3), 60, np.uint8)
    dark = finish(GRAY, content, FinishSettings(match_light=1), index=0, seed=0)
    np.testing.assert_allclose(dark.astype(int), 60, atol=5)  # the constant that protects black
    half = finish(GRAY, content, FinishSettings(match_light=0.5), index=0, seed=0)
    assert 60 < half.mean() < 128


def test_matched_light_keeps_strokes_and_their_contrast() -> None:
    strokes = np.where(np.arange(96)[None, :, None] // 2 % 2, 150, 90).repeat(64, 0).repeat(3, 2).astype(np.uint8)
    night = finish(strokes, np.full_like(strokes, 40), FinishSettings(match_light=1), index=0, seed=0)
    before, after = oklab_from_srgb(strokes)[..., 0], oklab_from_srgb(night)[..., 0]
    inside = np.s_[:, 20:76]
    assert after.mean() < 0.6 * before.mean()
    assert after[inside].std() / after[inside].mean() == pytest.approx(
        before[inside].std() / before[inside].mean(), rel=0.1
    )


def test_content_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        finish(STYLIZED, CONTENT[:-1], FinishSettings(), index=0, seed=0)


def test_preserved_color_of_gray_content_is_gray_of_the_same_lightness() -> None:
    result = finish(STYLIZED, np.full_like(STYLIZED, 77), FinishSettings(preserve_color=1), index=0, seed=0)
    assert int(np.ptp(result.astype(int), axis=2).max()) <= 1
    np.testing.assert_allclose(oklab_from_srgb(result)[..., 0], oklab_from_srgb(STYLIZED)[..., 0], atol=0.01)


def test_preserved_color_of_the_frame_itself_changes_nothing() -> None:
    result = finish(STYLIZED, STYLIZED, FinishSettings(preserve_color=1), index=0, seed=0)
    np.testing.assert_array_equal(result, STYLIZED)


def test_half_preserved_color_is_midway() -> None:
    stylized, content = np.full((2, 2, 3), (150, 110, 100), np.uint8), np.full((2, 2, 3), (90, 130, 140), np.uint8)
    result = oklab_from_srgb(finish(stylized, content, FinishSettings(preserve_color=0.5), index=0, seed=0))
    middle = (oklab_from_srgb(stylized)[..., 1:] + oklab_from_srgb(content)[..., 1:]) / 2
    np.testing.assert_allclose(result[..., 1:], middle, atol=0.005)


def test_sharpening_keeps_constant_areas_and_raises_edges() -> None:
    edge = np.full((40, 60, 3), 80, np.uint8)
    edge[:, 30:] = 170
    result = finish(edge, edge, FinishSettings(sharpen=1), index=0, seed=0)
    np.testing.assert_array_equal(result[:, :20], edge[:, :20])
    np.testing.assert_array_equal(result[:, 40:], edge[:, 40:])
    assert int(result[20, 29, 0]) < 80
    assert int(result[20, 30, 0]) > 170
    np.testing.assert_array_equal(result[..., 0], result[..., 2])  # no color at the edge of gray


def test_grain_has_the_requested_deviation_and_no_color() -> None:
    result = finish(GRAY, GRAY, FinishSettings(grain=0.05), index=3, seed=9).astype(float)
    assert result.std() / 255 == pytest.approx(0.05, rel=0.05)
    assert result.mean() == pytest.approx(128, abs=0.7)
    np.testing.assert_array_equal(result[..., 0], result[..., 1])


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_have_no_grain(level: int) -> None:
    uniform = np.full_like(GRAY, level)
    np.testing.assert_array_equal(finish(uniform, uniform, FinishSettings(grain=0.2), index=0, seed=0), uniform)


def test_grain_depends_on_seed_and_index() -> None:
    def grained(index: int, seed: int) -> bytes:
        return finish(GRAY, GRAY, FinishSettings(grain=0.1), index=index, seed=seed).tobytes()

    assert grained(4, 2) == grained(4, 2)
    assert len({grained(4, 2), grained(5, 2), grained(4, 3)}) == 3


def test_content_is_read_only_where_an_effect_needs_it() -> None:
    assert not reads_content(FinishSettings(sharpen=1, grain=0.1))
    assert reads_content(FinishSettings(match_light=0.1)) and reads_content(FinishSettings(preserve_color=1))
    assert reads_content(FinishSettings(detail=DetailSettings(coarse=0.1)))
    assert not reads_content(FinishSettings(grade=GradeSettings(contrast=2)))
    for name in CONTENT_EFFECTS ^ EFFECTS.keys():
        setting = {"grade": {"contrast": 2}, "palette": 4}.get(name, 0.1)
        settings = FinishSettings.model_validate({name: setting})
        dark = Level(0.2, 0.5)
        results = [finish(STYLIZED, content, settings, index=1, seed=2, level=dark) for content in (CONTENT, STYLIZED)]
        np.testing.assert_array_equal(results[0], results[1])


def test_table_has_every_setting_of_the_finish() -> None:
    assert set(FinishSettings.model_fields) - set(EFFECTS) == {"color_method", "dither"}
    order = ["match_color", "follow_level", "match_light", "preserve_color"]
    order += ["detail", "sharpen", "grade", "palette", "grain"]
    assert list(EFFECTS) == order


def test_broad_light_is_a_gaussian_blur_of_oklab() -> None:
    image = np.random.default_rng(3).random((180, 320, 3), np.float32) * np.float32(0.3) + np.float32(0.4)
    image[:, 160:] *= np.float32(0.5)
    whole = cv2.GaussianBlur(oklab_from_image(image), (0, 0), 30, borderType=cv2.BORDER_REFLECT)
    small = broad(image, 30)
    assert small.shape == (30, 53, 3)
    enlarged = cv2.resize(small, (320, 180), interpolation=cv2.INTER_CUBIC)
    assert np.abs(enlarged - whole).max() < 0.01  # of a range of 0.3
    exact = cv2.GaussianBlur(oklab_from_image(image), (0, 0), 3, borderType=cv2.BORDER_REFLECT)
    assert np.abs(broad(image, 3) - exact).max() < 1e-6

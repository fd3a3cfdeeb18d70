"""The light of stylized frames against that of their content: closed forms, and clips that follow it or do not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.evaluate.figures import RowName
from pipeline.evaluate.following import Followed, Follower
from pipeline.evaluate.light import (
    change_correlation,
    colors_of_style,
    light_correlation,
    light_of,
    light_of_content,
)
from tests.support.clips import texture
from tests.support.following import fade_to_black, passing_day

RGB = NDArray[np.uint8]
PHOTO = texture((64, 40), 1)
STYLE = texture((50, 30), 4)
COLORS = colors_of_style([STYLE], [100.0])


def followed(contents: list[RGB], frames: list[RGB], shots: list[int] | None = None) -> list[Followed]:
    follower = Follower(COLORS)
    return [
        follower.add(index, content, {"render": frame}, shot=0 if shots is None else shots[index])["render"]
        for index, (content, frame) in enumerate(zip(contents, frames, strict=True))
    ]


def test_light_of_equal_images_correlates_fully_and_of_the_negative_not_at_all() -> None:
    light = light_of(PHOTO)
    assert light.shape == (100, 160, 3)
    assert light_correlation(light, light) == pytest.approx(1)
    assert light_correlation(light_of(255 - PHOTO), light) == pytest.approx(-1, abs=1e-4)


def test_brightness_and_contrast_do_not_count_and_neither_do_strokes() -> None:
    light = light_of(PHOTO)
    assert light_correlation(light_of(PHOTO // 3 + 120), light) == pytest.approx(1, abs=1e-3)
    grain = np.random.default_rng(0).normal(0, 25, PHOTO.shape)
    strokes = np.asarray(np.clip(PHOTO + grain, 0, 255), np.uint8)
    assert light_correlation(light_of(strokes), light) == pytest.approx(1, abs=0.03)


def test_constant_images_have_no_correlation() -> None:
    flat = np.full_like(PHOTO, 90)
    assert light_correlation(light_of(flat), light_of(PHOTO)) is None
    assert light_correlation(light_of(PHOTO), light_of_content(flat, COLORS)) is None


def test_content_gets_the_mean_color_of_its_style_whatever_its_own() -> None:
    wanted = STYLE.mean(axis=(0, 1)) / 255
    for content in (PHOTO, PHOTO // 4, 255 - PHOTO):
        assert np.allclose(light_of_content(content, COLORS).mean(axis=(0, 1)), wanted, atol=0.03)


def test_several_style_images_are_mixed_by_their_weights() -> None:
    other = 255 - STYLE
    own, others = (light_of_content(PHOTO, colors_of_style([image], [1])) for image in (STYLE, other))
    mixed = light_of_content(PHOTO, colors_of_style([STYLE, other], [30, 10]))
    assert np.allclose(mixed, 0.75 * own + 0.25 * others, atol=0.02)
    assert np.allclose(light_of_content(PHOTO, colors_of_style([STYLE, other], [10, 0])), own, atol=1e-6)


def test_inverted_change_is_the_opposite_and_hardly_any_change_says_nothing() -> None:
    first, now = light_of(PHOTO), light_of(np.asarray(np.roll(PHOTO, 20, axis=1)))
    assert change_correlation(now, now, first, first) == pytest.approx(1)
    assert change_correlation(2 * first - now, now, first, first) == pytest.approx(-1)
    assert change_correlation(now, first + np.float32(0.01), first, first) is None


def test_a_clip_that_follows_the_day_does_and_one_that_stays_as_it_was_does_not() -> None:
    contents = passing_day(PHOTO, 17)
    expected = [np.asarray(light_of_content(content, COLORS) * 255, np.uint8) for content in contents]
    good = followed(contents, expected)
    stuck = followed(contents, [expected[0]] * len(expected))
    assert min(each.light for each in good if each.light is not None) > 0.95
    changes = [each.change for each in good if each.change is not None]
    assert len(changes) > 3 and min(changes) > 0.95
    assert good[0].change is None
    assert all(each.change is None for each in stuck)  # constant: no correlation at all
    reversed_frames = followed(contents, [np.asarray(2 * expected[0].astype(int) - x, np.uint8) for x in expected])
    assert max(each.change for each in reversed_frames if each.change is not None) < 0


def test_change_is_counted_from_the_first_frame_of_each_shot() -> None:
    contents = [PHOTO, np.asarray(np.roll(PHOTO, 30, axis=1))] * 2
    assert [each.change is None for each in followed(contents, contents)] == [True, False, True, False]
    assert all(each.change is None for each in followed(contents, contents, shots=[0, 1, 2, 3]))


def test_darkest_and_brightest_frame_of_a_fade_are_its_ends() -> None:
    contents = fade_to_black(PHOTO, 16)
    follower = Follower(COLORS)
    bright: dict[RowName, RGB] = {"render": PHOTO}
    for index, content in enumerate(contents):
        follower.add(index, content, bright)
    darkest, brightest = follower.extremes["darkest"], follower.extremes["brightest"]
    assert (brightest.frame, darkest.frame) == (0, 14)
    assert darkest.luma == 0 and darkest.images is bright

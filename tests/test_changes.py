"""Measures of areas in which the content has changed, and of trails where it has come back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.evaluate.changes import changed_area, color_difference, content_difference, feature_error
from pipeline.evaluate.following import MAX_EARLIER, Follower
from pipeline.evaluate.light import colors_of_style
from tests.support.clips import texture
from tests.support.following import cut_out, something_enters

RGB = NDArray[np.uint8]
PHOTO = texture((96, 64), 1)
COLORS = colors_of_style([texture((50, 30), 4)], [100.0])


def with_square(photo: RGB, shift: int) -> RGB:
    """The photograph with a square of 20 px whose colors are shifted by `shift` levels."""
    changed = photo.astype(int)
    changed[20:40, 30:50] += shift
    return np.asarray(np.clip(changed, 0, 255), np.uint8)


def test_changed_area_is_where_content_differs_by_more_than_6_percent() -> None:
    area = changed_area(with_square(PHOTO, 60), PHOTO)
    assert area is not None
    expected = np.zeros(PHOTO.shape[:2], bool)
    expected[20:40, 30:50] = True
    assert (area == expected).mean() > 0.98
    assert changed_area(PHOTO, PHOTO) is None
    assert changed_area(with_square(PHOTO, 12), PHOTO) is None


def test_noise_is_no_change_and_neither_is_a_tiny_area() -> None:
    noise = np.random.default_rng(0).normal(0, 6, PHOTO.shape)
    assert changed_area(np.asarray(np.clip(PHOTO + noise, 0, 255), np.uint8), PHOTO) is None
    speck = PHOTO.copy()
    speck[10:12, 10:12] = 255 - speck[10:12, 10:12]
    assert changed_area(speck, PHOTO) is None


def test_difference_of_content_is_symmetric_and_in_fractions_of_the_range() -> None:
    black, gray = np.zeros((40, 60, 3), np.uint8), np.full((40, 60, 3), 51, np.uint8)
    assert np.allclose(content_difference(gray, black), 0.2)
    assert np.allclose(content_difference(black, gray), 0.2)


def test_color_difference_is_in_levels_inside_and_outside_the_area() -> None:
    area = np.zeros((60, 80), bool)
    area[:, :40] = True
    one, other = np.full((60, 80, 3), 100, np.uint8), np.full((60, 80, 3), 90, np.uint8)
    one[:, :40] = 130
    found = color_difference(one, other, area)
    assert found.inside == pytest.approx(40, abs=1.5)
    assert found.outside == pytest.approx(10, abs=1.5)
    assert color_difference(one, other, np.ones_like(area)).outside is None


def test_feature_error_is_the_mean_over_the_area_of_the_squared_sum_over_channels() -> None:
    target = torch.zeros(3, 4, 6)
    features = torch.zeros(3, 4, 6)
    features[:, :, :3] = 2.0
    left, right = np.zeros((2, 32, 48), bool)
    left[:, :24], right[:, 24:] = True, True
    assert feature_error(features, target, left) == pytest.approx(12)
    assert feature_error(features, target, right) == 0
    assert feature_error(features, target, left | right) == pytest.approx(6)
    thin = np.zeros((32, 48), bool)
    thin[:, 3] = True
    assert feature_error(features, target, thin) is None


def crossing(count: int) -> list[RGB]:
    thing = cut_out(255 - texture((60, 50), 7), (0.5, 0.5), 30)
    return something_enters(PHOTO, thing, count)


def trails(contents: list[RGB], frames: list[RGB]) -> list[float | None]:
    follower = Follower(COLORS)
    found = []
    for index, (content, frame) in enumerate(zip(contents, frames, strict=True)):
        found.append(follower.add(index, content, {"render": frame})["render"].trail)
    return found


def test_a_clip_that_is_its_content_has_no_trail() -> None:
    contents = crossing(25)
    found = trails(contents, contents)
    assert found[:4] == [None] * 4
    known = [trail for trail in found if trail is not None]
    assert len(known) > 8
    assert max(known) < 5.1  # what counts as the same content
    assert found[-1] == pytest.approx(0, abs=0.8)


def test_a_trail_is_measured_where_the_content_has_come_back() -> None:
    contents = crossing(25)
    thing = np.max([np.abs(each.astype(int) - PHOTO).max(axis=2) for each in contents], axis=0) > 20
    frames = [content.copy() for content in contents]
    for frame in frames[-3:]:
        frame[thing] = np.clip(frame[thing].astype(int) + 30, 0, 255)
    assert (trails(contents, frames)[-1] or 0) > 15


def test_content_that_stays_or_never_returns_has_no_trail() -> None:
    noise = [texture((96, 64), seed) for seed in range(6)]
    assert trails([PHOTO] * 6, noise) == [None] * 6
    assert trails(noise, noise) == [None] * 6


def test_memory_does_not_grow_with_the_clip_and_what_returns_late_is_still_found() -> None:
    follower = Follower(COLORS)
    contents = [PHOTO, *[with_square(PHOTO, 90)] * 60, PHOTO]
    for index, content in enumerate(contents):
        found = follower.add(index, content, {"render": content})["render"]
    assert found.trail == pytest.approx(0, abs=1e-3)
    assert follower._shot is not None and len(follower._shot.earlier) <= MAX_EARLIER
    assert [each.frame for each in follower._shot.earlier][:3] == [0, 4, 8]


def test_only_images_that_were_there_before_have_a_trail() -> None:
    follower = Follower(COLORS)
    follower.add(0, PHOTO, {"render": PHOTO})
    follower.add(1, with_square(PHOTO, 90), {"render": PHOTO, "independent": PHOTO})
    found = follower.add(2, PHOTO, {"render": PHOTO, "independent": PHOTO})
    assert found["render"].trail == 0
    assert found["independent"].trail is None

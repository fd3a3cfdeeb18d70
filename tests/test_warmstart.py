"""Where a warm frame starts: known motion moves the paint, new things get the paint's colors, far frames fill gaps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.config.settings import MotionSettings
from pipeline.motion.estimate import motion_between
from pipeline.motion.warm_start import Correspondence, NextKeyframe, correspondence, recolored, warm_start
from pipeline.types import Motion

RGB = NDArray[np.uint8]
HEIGHT, WIDTH = 48, 64


def noise(seed: int, blur: float = 1.5, height: int = HEIGHT, width: int = WIDTH) -> RGB:
    picture = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    if blur:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), np.float32)
    return np.asarray((128 + 50 * picture / picture.std()).clip(0, 255).round(), np.uint8)


def shift(x: int = 0, y: int = 0, confidence: float = 1.0) -> Motion:
    flow = np.full((HEIGHT, WIDTH, 2), (x, y), np.float32)
    return Motion(0, 1, flow, np.full((HEIGHT, WIDTH), confidence, np.float32))


def went(motion: Motion, change: float = 0.0) -> Correspondence:
    return Correspondence(motion, np.full((HEIGHT, WIDTH), change, np.float32))


def as_values(picture: RGB) -> NDArray[np.float32]:
    return picture.astype(np.float32) / np.float32(255)


def test_nothing_moved_and_the_paint_is_taken_as_it_is() -> None:
    paint = noise(1)
    start = warm_start(noise(2), {4: paint}, {4: went(shift())})
    assert start is not None
    np.testing.assert_array_equal(start.init, as_values(paint))
    np.testing.assert_array_equal(start.target, as_values(paint))
    assert (start.confidence == 1).all()


def test_the_paint_moves_by_whole_pixels() -> None:
    paint = noise(1)
    start = warm_start(noise(2), {0: paint}, {0: went(shift(-3, 2))})
    assert start is not None
    np.testing.assert_array_equal(start.init[:-2, 3:], as_values(paint)[2:, :-3])


def test_paint_moves_with_its_object_to_within_half_a_pixel() -> None:
    """A textured square on another texture, moved by whole pixels; motion found by the search, not given."""
    ground, thing = noise(3, 2, 144, 192), noise(4, 2, 144, 192)
    paint = noise(5, 1, 144, 192)
    frames = []
    for x in (60, 67):
        frame = ground.copy()
        frame[50:100, x : x + 56] = thing[50:100, 60:116]
        frames.append(frame)
    before, after = frames
    motion = motion_between(before, after, MotionSettings(), from_index=0, to_index=1)
    start = warm_start(after, {0: paint}, {0: correspondence(before, after, motion)})
    assert start is not None
    inside, outside = (slice(60, 90), slice(80, 110)), (slice(5, 35), slice(5, 185))
    for shift_px, place in ((7, inside), (0, outside)):
        moved = np.roll(as_values(paint), shift_px, axis=1)[place]
        window = np.hanning(30)[:, None] * np.hanning(moved.shape[1])
        first, second = (np.asarray(picture.mean(axis=2), np.float32) for picture in (moved, start.init[place]))
        (across, down), _ = cv2.phaseCorrelate(first, second, np.asarray(window, np.float32))
        assert np.hypot(across, down) < 0.5
        assert np.abs(start.init[place] - moved).mean() < 0.02


def test_what_the_photo_newly_shows_begins_in_the_colors_of_the_paint() -> None:
    content, paint = noise(1), np.asarray(noise(2) // 4, np.uint8)
    motion = shift()
    motion.confidence[:, 40:] = 0
    change = np.zeros((HEIGHT, WIDTH), np.float32)
    change[:, 40:] = 1
    start = warm_start(content, {0: paint}, {0: Correspondence(motion, change)})
    assert start is not None
    assert (start.confidence[:, 40:] == 0).all()
    new = start.init[:, 44:]
    np.testing.assert_array_equal(start.init[:, :40], as_values(paint)[:, :40])
    assert abs(new.mean() - as_values(paint).mean()) < 0.02  # no photo shows through: it would be three times as light
    assert np.corrcoef(new.ravel(), content[:, 44:].ravel())[0, 1] > 0.7  # yet it shows what the photo shows


def test_where_the_photo_has_not_changed_untrusted_paint_stays() -> None:
    """Grain and flat areas make motion unsure; half a photo mixed in there would be painted over again and again."""
    paint = noise(1)
    start = warm_start(noise(2), {0: paint}, {0: went(shift(confidence=0.5), change=0.0)})
    assert start is not None
    np.testing.assert_allclose(start.init, as_values(paint), atol=1e-6)


def test_a_cut_or_a_flash_starts_cold() -> None:
    assert warm_start(noise(1), {0: noise(2)}, {0: went(shift(), change=1.0)}) is None
    assert warm_start(noise(1), {0: noise(2)}, {0: went(shift(confidence=0.0))}) is None
    assert warm_start(noise(1), {}, {}) is None


def test_paint_that_was_hidden_comes_back_from_an_earlier_frame() -> None:
    near, far = noise(1), noise(2)
    hidden = shift()
    hidden.confidence[:, :20] = 0
    start = warm_start(noise(3), {8: near, 4: far}, {8: went(hidden), 4: went(shift())})
    assert start is not None
    np.testing.assert_allclose(start.init[:, :20], as_values(far)[:, :20], atol=1e-6)
    np.testing.assert_array_equal(start.init[:, 20:], as_values(near)[:, 20:])
    assert (start.confidence == 1).all()


def test_one_target_and_one_weight_say_what_a_term_per_earlier_frame_says() -> None:
    """The gradient of the long-term term, with its weights by hand: what a frame is trusted more than nearer ones."""
    rng = np.random.default_rng(0)
    paints = {index: noise(index) for index in (5, 3, 1)}
    trusts = {index: rng.random((HEIGHT, WIDTH)).astype(np.float32) for index in paints}
    correspondences = {
        index: Correspondence(Motion(index, 6, shift().backward_flow, trusts[index]), went(shift()).change)
        for index in paints
    }
    start = warm_start(noise(9), paints, correspondences)
    assert start is not None
    picture = rng.random((HEIGHT, WIDTH, 3)).astype(np.float32)
    left = np.zeros((HEIGHT, WIDTH), np.float32)
    theirs = np.zeros_like(picture)
    for index in (5, 3, 1):
        weight = np.maximum(trusts[index] - left, 0)
        left += weight
        theirs += 2 * weight[..., None] * (picture - as_values(paints[index]))
    ours = 2 * start.confidence[..., None] * (picture - start.target)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_a_goal_rules_by_its_share() -> None:
    paint, ahead = noise(1), noise(2)
    for share in (0.0, 0.25, 1.0):
        start = warm_start(noise(3), {0: paint}, {0: went(shift())}, NextKeyframe(ahead, went(shift()), share))
        assert start is not None
        wanted = (1 - share) * as_values(paint) + share * as_values(ahead)
        np.testing.assert_allclose(start.init, wanted, atol=1e-6)
        np.testing.assert_allclose(start.target, wanted, atol=1e-6)


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (720, 1280)])
def test_grain_is_no_change_and_another_picture_is(size: tuple[int, int]) -> None:
    height, width = size
    photo = noise(1, 4, height, width)
    rest = Motion(0, 1, np.zeros((height, width, 2), np.float32), np.ones((height, width), np.float32))
    grain = np.random.default_rng(2).normal(0, 4, photo.shape)
    grainy = np.asarray((photo + grain).clip(0, 255).round(), np.uint8)
    assert correspondence(photo, grainy, rest).change.max() == 0
    assert correspondence(photo, noise(7, 4, height, width), rest).change.mean() > 0.7


def test_the_photo_gets_the_colors_of_the_paint() -> None:
    content, paint = noise(1), as_values(noise(2))
    paint = np.asarray(paint * (0.2, 0.7, 0.4) + paint[..., ::-1] * 0.1, np.float32)
    found = recolored(content, paint)
    np.testing.assert_allclose(found.mean(axis=(0, 1)), paint.mean(axis=(0, 1)), atol=1e-3)
    np.testing.assert_allclose(
        np.cov(found.reshape(-1, 3), rowvar=False), np.cov(paint.reshape(-1, 3), rowvar=False), atol=2e-3
    )
    gray = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    assert np.isfinite(recolored(gray, paint)).all()


def test_how_much_is_new() -> None:
    motion = shift()
    motion.confidence[:, : WIDTH // 4] = 0
    change = np.zeros((HEIGHT, WIDTH), np.float32)
    change[: HEIGHT // 2] = 1
    for changed, share in ((np.zeros_like(change), 0.0), (change, 0.5)):
        start = warm_start(noise(1), {0: noise(2)}, {0: Correspondence(motion, changed)})
        assert start is not None
        assert start.new_fraction == pytest.approx(share)
    assert correspondence(noise(1), noise(1), shift(8, 0)).change[:, -8:].min() == 1  # came in over the edge

"""Warm starts: stylized frames are warped along known motion, new areas get their colors, farther frames fill gaps.

Every test is of both implementations: in NumPy and OpenCV, and in torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.config.settings import MotionSettings
from pipeline.media.image.recolor import color_gaussian
from pipeline.motion.correspondence import Correspondence, find_correspondence
from pipeline.motion.device_warm_start import device_warm_start, warm_starter
from pipeline.motion.estimate import motion_between
from pipeline.motion.warm_start import NextKeyframe, WarmStarter, warm_start
from pipeline.types import Motion, StyleColors, WarmStart
from tests.support.transfers import HostTransfers

RGB = NDArray[np.uint8]
HEIGHT, WIDTH = 48, 64
CPU = torch.device("cpu")
STARTERS: dict[str, WarmStarter] = {"numpy": warm_start, "torch": partial(device_warm_start, CPU)}


@dataclass
class Start:
    """A warm start as arrays: images (H, W, 3), planes (H, W)."""

    init: NDArray[np.float32]
    target: NDArray[np.float32]
    confidence: NDArray[np.float32]
    new_fraction: float
    recent_change: NDArray[np.float32] | None


StartAt = Callable[..., Start | None]


def as_arrays(start: WarmStart) -> Start:
    init, target = (image.permute(1, 2, 0).numpy() for image in (start.init, start.target))
    recent_change = None if start.recent_change is None else start.recent_change[0].numpy()
    return Start(init, target, start.confidence[0].numpy(), start.new_fraction, recent_change)


@pytest.fixture(params=STARTERS)
def start_at(request: pytest.FixtureRequest) -> StartAt:
    """A `WarmStarter` whose warm starts are arrays."""

    def start(*args: Any, **options: Any) -> Start | None:
        found = STARTERS[request.param](*args, **options)
        return None if found is None else as_arrays(found)

    return start


def noise(seed: int, blur: float = 1.5, height: int = HEIGHT, width: int = WIDTH) -> RGB:
    image = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    if blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), blur), np.float32)
    return np.asarray((128 + 50 * image / image.std()).clip(0, 255).round(), np.uint8)


def shift(x: int = 0, y: int = 0, confidence: float = 1.0) -> Motion:
    flow = np.full((HEIGHT, WIDTH, 2), (x, y), np.float32)
    return Motion(0, 1, flow, np.full((HEIGHT, WIDTH), confidence, np.float32))


def corresponding(motion: Motion, change: float = 0.0) -> Correspondence:
    return Correspondence(motion, np.full((HEIGHT, WIDTH), change, np.float32))


def as_values(image: RGB) -> NDArray[np.float32]:
    return image.astype(np.float32) / np.float32(255)


def test_stylized_frame_is_unchanged_where_nothing_moved(start_at: StartAt) -> None:
    stylized = noise(1)
    start = start_at(noise(2), {4: stylized}, {4: corresponding(shift())})
    assert start is not None
    np.testing.assert_array_equal(start.init, as_values(stylized))
    np.testing.assert_array_equal(start.target, as_values(stylized))
    assert (start.confidence == 1).all()


def test_stylized_frame_moves_by_whole_pixels(start_at: StartAt) -> None:
    stylized = noise(1)
    start = start_at(noise(2), {0: stylized}, {0: corresponding(shift(-3, 2))})
    assert start is not None
    np.testing.assert_array_equal(start.init[:-2, 3:], as_values(stylized)[2:, :-3])


def test_stylized_object_moves_with_its_content_to_within_half_a_pixel(start_at: StartAt) -> None:
    """A textured square on another texture, moved by whole pixels; motion is estimated, not given."""
    ground, thing = noise(3, 2, 144, 192), noise(4, 2, 144, 192)
    stylized = noise(5, 1, 144, 192)
    frames = []
    for x in (60, 67):
        frame = ground.copy()
        frame[50:100, x : x + 56] = thing[50:100, 60:116]
        frames.append(frame)
    before, after = frames
    motion = motion_between(before, after, MotionSettings(), from_index=0, to_index=1)
    start = start_at(after, {0: stylized}, {0: find_correspondence(before, after, motion)})
    assert start is not None
    inside, outside = (slice(60, 90), slice(80, 110)), (slice(5, 35), slice(5, 185))
    for shift_px, region in ((7, inside), (0, outside)):
        moved = np.roll(as_values(stylized), shift_px, axis=1)[region]
        window = np.hanning(30)[:, None] * np.hanning(moved.shape[1])
        first, second = (np.asarray(image.mean(axis=2), np.float32) for image in (moved, start.init[region]))
        (across, down), _ = cv2.phaseCorrelate(first, second, np.asarray(window, np.float32))
        assert np.hypot(across, down) < 0.5
        assert np.abs(start.init[region] - moved).mean() < 0.02


def test_new_areas_start_with_the_shapes_of_the_content_in_stylized_colors(start_at: StartAt) -> None:
    content, stylized = noise(1), np.asarray(noise(2) // 4, np.uint8)
    motion = shift()
    motion.confidence[:, 40:] = 0
    change = np.zeros((HEIGHT, WIDTH), np.float32)
    change[:, 40:] = 1
    start = start_at(content, {0: stylized}, {0: Correspondence(motion, change)})
    assert start is not None
    assert (start.confidence[:, 40:] == 0).all()
    new = start.init[:, 44:]
    np.testing.assert_array_equal(start.init[:, :40], as_values(stylized)[:, :40])
    assert abs(new.mean() - as_values(stylized).mean()) < 0.02  # content colors would be three times as light
    assert np.corrcoef(new.ravel(), content[:, 44:].ravel())[0, 1] > 0.7  # yet it has the shapes of the content


def test_unchanged_content_keeps_the_stylized_frame_at_any_confidence(start_at: StartAt) -> None:
    """Noise and textureless areas lower the confidence; content blended in there would be stylized again and again."""
    stylized = noise(1)
    start = start_at(noise(2), {0: stylized}, {0: corresponding(shift(confidence=0.5), change=0.0)})
    assert start is not None
    np.testing.assert_allclose(start.init, as_values(stylized), atol=1e-6)


def test_cut_and_flash_start_cold(start_at: StartAt) -> None:
    assert start_at(noise(1), {0: noise(2)}, {0: corresponding(shift(), change=1.0)}) is None
    assert start_at(noise(1), {0: noise(2)}, {0: corresponding(shift(confidence=0.0))}) is None
    assert start_at(noise(1), {}, {}) is None


def test_uncovered_area_is_taken_from_a_farther_frame(start_at: StartAt) -> None:
    near, far = noise(1), noise(2)
    hidden = shift()
    hidden.confidence[:, :20] = 0
    start = start_at(noise(3), {8: near, 4: far}, {8: corresponding(hidden), 4: corresponding(shift())})
    assert start is not None
    np.testing.assert_allclose(start.init[:, :20], as_values(far)[:, :20], atol=1e-6)
    np.testing.assert_array_equal(start.init[:, 20:], as_values(near)[:, 20:])
    assert (start.confidence == 1).all()


def test_one_target_and_one_weight_equal_a_term_per_previous_frame(start_at: StartAt) -> None:
    """The gradient of the long-term term, with the confidence that each frame adds to nearer ones as its weight."""
    rng = np.random.default_rng(0)
    stylized_frames = {index: noise(index) for index in (5, 3, 1)}
    confidences = {index: rng.random((HEIGHT, WIDTH)).astype(np.float32) for index in stylized_frames}
    correspondences = {
        index: Correspondence(
            Motion(index, 6, shift().backward_flow, confidences[index]), corresponding(shift()).change
        )
        for index in stylized_frames
    }
    start = start_at(noise(9), stylized_frames, correspondences)
    assert start is not None
    image = rng.random((HEIGHT, WIDTH, 3)).astype(np.float32)
    total = np.zeros((HEIGHT, WIDTH), np.float32)
    expected = np.zeros_like(image)
    for index in (5, 3, 1):
        weight = np.maximum(confidences[index] - total, 0)
        total += weight
        expected += 2 * weight[..., None] * (image - as_values(stylized_frames[index]))
    gradient = 2 * start.confidence[..., None] * (image - start.target)
    np.testing.assert_allclose(gradient, expected, atol=2e-6)


def test_next_keyframe_is_blended_in_by_its_fraction(start_at: StartAt) -> None:
    stylized, ahead = noise(1), noise(2)
    for fraction in (0.0, 0.25, 1.0):
        start = start_at(
            noise(3), {0: stylized}, {0: corresponding(shift())}, NextKeyframe(ahead, corresponding(shift()), fraction)
        )
        assert start is not None
        wanted = (1 - fraction) * as_values(stylized) + fraction * as_values(ahead)
        np.testing.assert_allclose(start.init, wanted, atol=1e-6)
        np.testing.assert_allclose(start.target, wanted, atol=1e-6)


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (720, 1280)])
def test_noise_is_no_change_and_another_scene_is(size: tuple[int, int]) -> None:
    height, width = size
    content = noise(1, 4, height, width)
    static = Motion(0, 1, np.zeros((height, width, 2), np.float32), np.ones((height, width), np.float32))
    grain = np.random.default_rng(2).normal(0, 4, content.shape)
    grainy = np.asarray((content + grain).clip(0, 255).round(), np.uint8)
    assert find_correspondence(content, grainy, static).change.max() == 0
    assert find_correspondence(content, noise(7, 4, height, width), static).change.mean() > 0.7


def colored(image: RGB, gain: tuple[float, float, float]) -> RGB:
    """The image with other light: every channel times a factor."""
    return np.asarray((image * np.array(gain)).clip(0, 255).round(), np.uint8)


STYLE = StyleColors((color_gaussian(noise(40)),), (100.0,))


def test_light_that_changes_moves_the_stylized_frame_with_it(start_at: StartAt) -> None:
    """A shade passes over the left half: the stylized frame is darker there, and only there."""
    before, stylized = noise(1, 6), noise(2)
    after = np.asarray((before * np.where(np.arange(WIDTH)[None, :, None] < WIDTH // 2, 0.85, 1)).round(), np.uint8)
    found = find_correspondence(before, after, shift())
    start = start_at(after, {0: stylized}, {0: found}, style_colors=STYLE)
    assert start is not None
    moved = start.target - as_values(stylized)
    left, right = moved[:, : WIDTH // 2 - 4].mean(), moved[:, WIDTH // 2 + 4 :].mean()
    assert left < right - 0.05
    alone = start_at(after, {0: stylized}, {0: found})
    assert alone is not None
    np.testing.assert_array_equal(alone.target, as_values(stylized))


def test_light_that_changes_everywhere_at_once_changes_nothing(start_at: StartAt) -> None:
    """A fade or a flash: the content is recolored by its own Gaussian, so its arrangement of color is the same."""
    before = noise(1)
    after = colored(before, (0.6, 0.5, 0.55))
    found = find_correspondence(before, after, shift())
    assert found.change.max() < 0.1
    start = start_at(after, {0: noise(2)}, {0: found}, style_colors=STYLE)
    assert start is not None
    assert np.abs(start.target - as_values(noise(2))).max() < 0.06


def test_object_that_enters_throws_no_halo_on_its_surroundings(start_at: StartAt) -> None:
    """Blurred over where both frames show the same, the change of light does not see the object."""
    before = noise(1, 2)
    after = before.copy()
    after[20:28, 28:36] = (250, 250, 60)
    start = start_at(after, {0: noise(2)}, {0: find_correspondence(before, after, shift())}, style_colors=STYLE)
    assert start is not None
    around = np.zeros((HEIGHT, WIDTH), bool)
    around[14:34, 22:42] = True
    around[17:31, 25:39] = False
    assert np.abs(start.target - as_values(noise(2)))[around].max() < 0.06
    assert np.abs(start.init - as_values(noise(2)))[22:26, 30:34].mean() > 0.2


def test_temporal_term_is_weaker_where_the_content_changed_recently(start_at: StartAt) -> None:
    recent = np.zeros((6, 8), np.float32)
    recent[:, 4:] = 1
    start = start_at(noise(1), {0: noise(2)}, {0: corresponding(shift())}, recent_change=recent)
    assert start is not None and start.recent_change is not None
    assert start.confidence[:, 2].min() == 1
    assert start.confidence[:, -2].max() == 0
    assert start.recent_change.shape == (HEIGHT, WIDTH)


def test_new_fraction_is_what_changed_and_has_no_confidence(start_at: StartAt) -> None:
    motion = shift()
    motion.confidence[:, : WIDTH // 4] = 0
    change = np.zeros((HEIGHT, WIDTH), np.float32)
    change[: HEIGHT // 2] = 1
    for changed, fraction in ((np.zeros_like(change), 0.0), (change, 0.5)):
        start = start_at(noise(1), {0: noise(2)}, {0: Correspondence(motion, changed)})
        assert start is not None
        assert start.new_fraction == pytest.approx(fraction)


def test_what_enters_over_the_edge_is_changed() -> None:
    assert find_correspondence(noise(1), noise(1), shift(8, 0)).change[:, -8:].min() == 1


def slow_zoom(height: int, width: int) -> NDArray[np.float32]:
    """A flow by fractions of pixels, out of the frame along its edges."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([0.04 * (x - width / 2) + 0.3, 0.05 * (y - height / 2) - 0.7], axis=2)


@pytest.mark.parametrize("size", [(90, 160), (37, 53), (3, 2)])
@pytest.mark.parametrize("style_colors", [STYLE, None])
def test_both_implementations_agree(size: tuple[int, int], style_colors: StyleColors | None) -> None:
    """With farther frames that add something and nothing, a next keyframe, an object, other light, recent changes."""
    content = np.asarray(90 + noise(1, 3, *size) // 5, np.uint8)
    random = np.random.default_rng(5)

    def found(light: float, spread: float) -> Correspondence:
        other = np.asarray(content * light, np.uint8)
        other[: size[0] // 3, : size[1] // 3] = 250
        confidence = np.clip(random.normal(0.5, spread, size), 0, 1).astype(np.float32)
        return find_correspondence(other, content, Motion(0, 1, slow_zoom(*size), confidence))

    stylized = {index: noise(index, 1, *size) for index in (9, 6, 2)}
    correspondences = {9: found(0.9, 0.3), 6: found(1, 0.3), 2: found(1, 0)}
    next_keyframe = NextKeyframe(noise(4, 1, *size), found(1.1, 0.3), 0.4)
    arguments = (content, stylized, correspondences, next_keyframe)
    recent_change = random.random((6, 8)).astype(np.float32)
    here, there = (
        start(*arguments, recent_change=recent_change, style_colors=style_colors) for start in STARTERS.values()
    )
    assert here is not None and there is not None
    for name in ("init", "target", "confidence", "recent_change"):
        torch.testing.assert_close(getattr(there, name), getattr(here, name), rtol=0, atol=1e-5)
    assert there.new_fraction == pytest.approx(here.new_fraction, abs=1e-6)


def test_warm_start_in_torch_waits_for_the_device_once() -> None:
    recent_change = np.full((6, 8), 0.5, np.float32)
    correspondences = {index: corresponding(shift(1, 0, confidence=0.6)) for index in (0, 3)}
    next_keyframe = NextKeyframe(noise(4), corresponding(shift()), 0.5)
    stylized = {index: noise(index) for index in (0, 3)}
    with HostTransfers() as transfers:
        start = device_warm_start(
            CPU, noise(1), stylized, correspondences, next_keyframe, recent_change=recent_change, style_colors=STYLE
        )
    assert start is not None
    assert transfers.count == 1


def test_numpy_is_for_the_cpu_and_torch_for_accelerators() -> None:
    assert warm_starter(CPU) is warm_start
    content = noise(1)
    start = warm_starter(torch.device("meta"))
    assert start is not warm_start
    assert start(content, {}, {}) is None

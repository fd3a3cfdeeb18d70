"""Static cameras and static scenes: told apart from slow pans, small objects, noise and changing light."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.motion.static import is_static
from tests.support.frames import (
    HEIGHT,
    WIDTH,
    blotches,
    half_textureless,
    moved_square,
    noisy,
    panned,
    read_rgb,
)

Data = Callable[[str], Path]


def scene(data: Data, name: str = "photo/tubingen.jpg") -> NDArray[np.uint8]:
    """A photograph at 1280x720, with 16 px more on every side."""
    return np.asarray(cv2.resize(read_rgb(data(name)), (1312, 752), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize("levels", [0, 1, 4, 8])
def test_static_scene_is_static_under_noise_and_changing_light(levels: float) -> None:
    image = half_textureless()
    assert is_static(noisy(image, levels, 1), noisy(image, levels, 2))
    assert is_static(noisy(image, levels, 1), noisy(0.8 * image + 5.0, levels, 2))
    shade = np.linspace(0.96, 1, 320)[None, :, None]
    assert is_static(noisy(image, levels, 1), noisy(shade * image, levels, 2))


def test_textureless_and_tiny_frames_are_static() -> None:
    for size in ((1, 1), (5, 7), (64, 3), (90, 120)):
        image = blotches(*size, 6)
        assert is_static(image, image)
        assert is_static(np.zeros_like(image), np.full_like(image, 30))


@pytest.mark.parametrize("name", ["photo/tubingen.jpg", "photo/rocket.jpg", "timelapse/sunset_rpi/frame-100.jpg"])
def test_slow_pan_at_720p_is_not_static(data: Data, name: str) -> None:
    image = scene(data, name)
    here = noisy(panned(image, 0), 1, 1)
    assert is_static(here, noisy(panned(image, 0), 1, 2))
    for x_px, y_px in ((0.5, 0), (0, -0.5), (0.25, 0), (3, 1), (12, 5)):
        assert not is_static(here, noisy(panned(image, x_px, y_px), 1, 2))


@pytest.mark.parametrize(("fraction", "step_px"), [(0.006, 4), (0.006, 15), (0.02, 1), (0.02, 40)])
def test_object_moving_over_static_ground_is_not_static(data: Data, fraction: float, step_px: int) -> None:
    ground = panned(scene(data), 0)
    side = round((fraction * 1280 * 720) ** 0.5)
    frames = []
    for step in (0, 1):
        frame = ground.copy()
        left = 400 + step * step_px
        frame[300 : 300 + side, left : left + side] = blotches(side, side, 4, blur_px=2)
        frames.append(noisy(frame, 1, step))
    assert not is_static(*frames)


def test_cut_is_not_static(data: Data) -> None:
    assert not is_static(panned(scene(data), 0), panned(scene(data, "photo/kodim03.png"), 0))
    assert not is_static(blotches(HEIGHT, WIDTH, 9), blotches(HEIGHT, WIDTH, 10))


@pytest.mark.usefixtures("restored_threads")
def test_result_depends_on_the_frames_alone() -> None:
    previous, current, _, _ = moved_square()
    kept = previous.copy(), current.copy()
    for threads in (1, 2, 8):
        cv2.setNumThreads(threads)
        assert not is_static(previous, current)
        assert is_static(noisy(half_textureless(), 2, 1), noisy(half_textureless(), 2, 2))
    np.testing.assert_array_equal((previous, current), kept)
    with pytest.raises(ValueError, match="one size"):
        is_static(previous, current[:-1])


def static_pairs(paths: list[Path]) -> float:
    """Fraction of the pairs of neighbors that are static."""
    frames = [read_rgb(path) for path in paths]
    return float(np.mean([is_static(*pair) for pair in pairwise(frames)]))


def test_real_clips_are_static_exactly_when_nothing_moves(data: Data) -> None:
    ice = sorted(data("timelapse/icecube_s60").glob("*.jpg"))
    # The cube melts, slides and loses water for fifty minutes; then only the light flickers.
    assert static_pairs(ice[:55]) == 0
    assert static_pairs(ice[-9:]) >= 0.5
    # Clouds that drift by 4 to 9 px per frame.
    assert static_pairs(sorted(data("timelapse/sunset_rpi").glob("*.jpg"))[::8]) == 0
    assert static_pairs(sorted(data("flow/marple8").glob("*.ppm"))) == 0
    mug = sorted(data("burst/handheld_mug").glob("*.jpg"))
    # For the first four the hand kept still, to a tenth of a pixel.
    assert static_pairs(mug[3:]) == 0
    assert static_pairs(mug[:4]) == 1

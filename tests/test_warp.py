"""Warping: exact by whole pixels, and neither blur nor ringing after many steps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.motion.warp import warp
from tests.support.frames import HEIGHT, WIDTH, Array, blotches, constant_flow


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    dtype=st.sampled_from([np.uint8, np.float32]),
    seed=st.integers(0, 99),
)
def test_warp_by_whole_pixels_is_exact_and_repeats_edges(size: tuple[int, int], dtype: type, seed: int) -> None:
    random = np.random.default_rng(seed)
    height, width = size
    image: Array = random.integers(0, 256, (height, width, 3)).astype(dtype)
    flow = random.integers(-9, 10, (height, width, 2)).astype(np.float32)
    y, x = np.indices(size)
    expected = image[
        (y + flow[..., 1].astype(int)).clip(0, height - 1), (x + flow[..., 0].astype(int)).clip(0, width - 1)
    ]
    moved = warp(image, flow)
    assert moved.dtype == dtype
    np.testing.assert_array_equal(moved, expected)
    # Also next to pixels that move by a fraction.
    flow[::2] += 0.4
    np.testing.assert_array_equal(warp(image, flow)[1::2], expected[1::2])


def test_warp_returns_new_memory_and_does_not_change_its_input() -> None:
    image = blotches(HEIGHT, WIDTH, 11)
    kept = image.copy()
    for flow in (constant_flow(0, 0), constant_flow(1, 0), constant_flow(0.3, 0.2)):
        moved = warp(image, flow)
        assert not np.shares_memory(moved, image)
        np.testing.assert_array_equal(image, kept)


@pytest.mark.parametrize("fraction", [0.05, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("cycles", [0.1, 0.25, 0.35, 0.4])
def test_waves_keep_their_amplitude_and_move_by_the_flow(fraction: float, cycles: float) -> None:
    """Up to 0.8 of the Nyquist frequency nothing is lost or amplified: that would ring after 200 frames."""
    x = np.arange(160, dtype=np.float64)
    for transposed in (False, True):
        wave = np.broadcast_to(np.cos(2 * np.pi * cycles * x)[:, None], (160, 40))
        image = np.repeat(wave[..., None], 3, axis=2).astype(np.float32)
        flow = np.zeros((160, 40, 2), np.float32)
        flow[..., 1] = fraction
        if transposed:
            image, flow = image.swapaxes(0, 1).copy(), flow.swapaxes(0, 1)[..., ::-1].copy()
        moved = warp(image, flow)
        line = (moved[20, 40:120, 1] if transposed else moved[40:120, 20, 1]).astype(np.float64)
        expected = np.cos(2 * np.pi * cycles * (x[40:120] + fraction))
        gain = float(line @ expected / (expected @ expected))
        assert 0.985 < gain < 1.0005
        assert np.abs(line - gain * expected).max() < 0.01


def test_constant_image_stays_constant_and_the_mean_does_not_drift() -> None:
    noise = np.random.default_rng(1).normal(size=(HEIGHT, WIDTH, 2)) * 150
    flow = np.asarray(cv2.GaussianBlur(noise, (0, 0), 5), np.float32)
    gray = np.full((HEIGHT, WIDTH, 3), 0.6, np.float32)
    np.testing.assert_allclose(warp(gray, flow), 0.6, atol=1e-6)
    image = blotches(HEIGHT, WIDTH, 12)
    for index in range(30):
        image = warp(image, constant_flow(0.37 * (-1) ** index, 0.21 * (-1) ** index))
    assert image.mean() == pytest.approx(blotches(HEIGHT, WIDTH, 12).mean(), abs=0.1)


def test_image_stays_sharp_after_fifty_steps() -> None:
    """A pan of (0.27, 0.13) px per frame, stored as 8 bits, against the scene at its final position."""
    scene = blotches(HEIGHT, WIDTH, 13, blur_px=0.8)
    image, lanczos = scene, scene.astype(np.float32)
    flow = constant_flow(-0.27, -0.13)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    for _ in range(50):
        image = warp(image, flow)
        moved = cv2.remap(
            lanczos, x - np.float32(0.27), y - np.float32(0.13), cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101
        )
        lanczos = np.rint(moved).clip(0, 255)
    truth = warp(scene.astype(np.float32), 50 * flow)

    def error(warped: Array) -> float:
        return float(np.square(warped.astype(np.float64) - truth)[30:-30, 30:-30].mean())

    def sharpness(warped: Array) -> float:
        return float(np.square(cv2.Laplacian(warped.astype(np.float32), cv2.CV_32F)[30:-30, 30:-30]).mean())

    assert sharpness(image) / sharpness(truth) == pytest.approx(0.95, abs=0.08)
    assert error(image) < error(lanczos) / 4


def test_image_and_flow_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="belong together"):
        warp(blotches(20, 20, 1), constant_flow(0, 0))

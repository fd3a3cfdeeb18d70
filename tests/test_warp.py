"""Warping: exact by whole pixels, and neither blur nor ringing after many steps."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline.motion.warp
from pipeline.motion.device_warp import device_warp
from pipeline.motion.warp import QUINTIC, quintic_weights, warp
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


def test_warp_does_not_depend_on_the_bands_it_is_computed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    image = blotches(HEIGHT, WIDTH, 3).astype(np.float32)
    flow = constant_flow(1.3, -0.4)
    flow += np.random.default_rng(3).normal(0, 0.2, flow.shape).astype(np.float32)
    expected = warp(image, flow)
    for pixels in (1, 3 * WIDTH):
        monkeypatch.setattr(pipeline.motion.warp, "BAND_PX", pixels)
        np.testing.assert_array_equal(warp(image, flow), expected)


def test_weights_are_those_of_the_quintic_spline() -> None:
    t = np.linspace(0, 0.999, 50, dtype=np.float32)
    expected = [np.polyval(coefficients, t.astype(np.float64)) / 120 for coefficients in QUINTIC]
    np.testing.assert_allclose(quintic_weights(t), expected, atol=2e-7)
    assert torch.equal(
        torch.stack(quintic_weights(torch.from_numpy(t))), torch.from_numpy(np.stack(quintic_weights(t)))
    )


def test_image_and_flow_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="belong together"):
        warp(blotches(20, 20, 1), constant_flow(0, 0))


def warp_in_torch(image: Array, flow: Array) -> Array:
    """One image (H, W, 3) by the warp for accelerators, here on the CPU."""
    moved = device_warp(torch.from_numpy(image).permute(2, 0, 1)[None], torch.from_numpy(flow)[None])
    return moved[0].permute(1, 2, 0).numpy()


def grid(height: int, width: int) -> Array:
    """Positions of the pixels about the middle, float32 (H, W, 2), (x, y)."""
    y, x = np.indices((height, width), np.float32)
    return np.stack([x - width / 2, y - height / 2], axis=2)


FLOWS: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "pan": lambda random, height, width: np.broadcast_to(random.normal(0, 3, 2), (height, width, 2)),
    "zoom": lambda random, height, width: grid(height, width) * random.uniform(-0.1, 0.1),
    "turn": lambda random, height, width: grid(height, width)[..., ::-1] * (-0.07, 0.07),
    "noise": lambda random, height, width: random.normal(0, 0.02, (height, width, 2)),
    "out of the frame": lambda random, height, width: random.normal(0, 40, (height, width, 2)),
    "partly whole": lambda random, height, width: np.rint(random.normal(0, 1, (height, width, 2)) * 2) / 2,
}


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (7, 40), (60, 80), (12, 4096)])
@pytest.mark.parametrize("kind", FLOWS)
def test_warp_for_accelerators_equals_that_on_the_cpu(kind: str, size: tuple[int, int]) -> None:
    """On white noise, and on a wide frame, where positions in float32 are coarse."""
    random = np.random.default_rng(len(kind))
    image = random.random((*size, 3)).astype(np.float32)
    flow = np.asarray(FLOWS[kind](random, *size), np.float32)
    expected, found = warp(image, flow), warp_in_torch(image, flow)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    whole = (flow == np.rint(flow)).all(axis=2)
    np.testing.assert_array_equal(found[whole], expected[whole])


def test_warp_for_accelerators_gives_the_same_levels() -> None:
    image = blotches(HEIGHT, WIDTH, 14)
    flow = FLOWS["zoom"](np.random.default_rng(3), HEIGHT, WIDTH).astype(np.float32)
    exact = 255 * warp_in_torch((image / np.float32(255)).astype(np.float32), flow)
    rounded = np.rint(exact).clip(0, 255).astype(np.uint8)
    between_levels = np.abs(exact - np.floor(exact) - 0.5) > 1e-3
    np.testing.assert_array_equal(rounded[between_levels], warp(image, flow)[between_levels])


def test_warp_for_accelerators_warps_every_image_of_a_batch_alone() -> None:
    random = np.random.default_rng(4)
    images = random.random((3, HEIGHT, WIDTH, 3)).astype(np.float32)
    flows = random.normal(0, 2, (3, HEIGHT, WIDTH, 2)).astype(np.float32)
    together = device_warp(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(flows))
    for image, flow, moved in zip(images, flows, together, strict=True):
        np.testing.assert_allclose(moved.permute(1, 2, 0), warp_in_torch(image, flow), rtol=0, atol=1e-6)

"""Blending: the formulas of W3C Compositing and Blending, and opacity."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.media.image.depth import as_float, to_8_bit
from pipeline.media.image.oklab import image_from_oklab, oklab_from_image, oklab_from_srgb
from pipeline.postprocess.blend import MODES, blend

RANDOM = np.random.default_rng(3)
BACKDROP, SOURCE = RANDOM.random((2, 12, 17, 3), np.float32)


def soft_light(b: float, s: float) -> float:
    if s <= 0.5:
        return b - (1 - 2 * s) * b * (1 - b)
    d = ((16 * b - 12) * b + 4) * b if b <= 0.25 else b**0.5
    return b + (2 * s - 1) * (d - b)


def hard_light(b: float, s: float) -> float:
    return b * 2 * s if s <= 0.5 else b + (2 * s - 1) - b * (2 * s - 1)


CLOSED_FORMS = {
    "normal": lambda b, s: s,
    "multiply": lambda b, s: b * s,
    "screen": lambda b, s: 1 - (1 - b) * (1 - s),
    "overlay": lambda b, s: hard_light(s, b),
    "soft_light": soft_light,
}


@pytest.mark.parametrize("mode", CLOSED_FORMS)
def test_separable_modes_are_those_of_the_standard(mode: str) -> None:
    wanted = np.vectorize(CLOSED_FORMS[mode])(BACKDROP.astype(float), SOURCE.astype(float))
    np.testing.assert_allclose(blend(BACKDROP, SOURCE, mode, 1.0), wanted, atol=1e-6)
    half = 0.5 * BACKDROP + 0.5 * wanted
    np.testing.assert_allclose(blend(BACKDROP, SOURCE, mode, 0.5), half, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_opacity_0_is_the_backdrop_and_1_the_blend_to_the_bit(mode: str) -> None:
    np.testing.assert_array_equal(blend(BACKDROP, SOURCE, mode, 0.0), BACKDROP)
    mask = np.zeros(BACKDROP.shape[:2], np.float32)
    mask[:, 8:] = 1
    masked, whole = blend(BACKDROP, SOURCE, mode, mask), MODES[mode](BACKDROP, SOURCE)
    np.testing.assert_array_equal(masked[:, :8], BACKDROP[:, :8])
    np.testing.assert_array_equal(masked[:, 8:], whole[:, 8:])
    assert masked.dtype == np.float32 and masked.min() >= 0 and masked.max() <= 1


def test_luminosity_and_color_exchange_lightness_and_color() -> None:
    """Of pale colors, which no gamut changes."""
    backdrop, source = 0.4 + 0.1 * BACKDROP, 0.5 + 0.1 * SOURCE
    for mode, light, color in (("luminosity", source, backdrop), ("color", backdrop, source)):
        result = oklab_from_image(blend(backdrop, source, mode, 1.0))
        np.testing.assert_allclose(result[..., 0], oklab_from_image(light)[..., 0], atol=2e-4)
        np.testing.assert_allclose(result[..., 1:], oklab_from_image(color)[..., 1:], atol=2e-4)


def test_color_outside_the_gamut_keeps_its_lightness() -> None:
    blue, white = np.zeros((1, 1, 3), np.float32), np.ones((1, 1, 3), np.float32)
    blue[..., 2] = 1
    np.testing.assert_allclose(blend(white, blue, "color", 1.0), white, atol=2e-3)
    dark = blend(np.full_like(blue, 0.1), blue, "color", 1.0)
    assert oklab_from_image(dark)[0, 0, 0] == pytest.approx(
        oklab_from_image(np.full_like(blue, 0.1))[0, 0, 0], abs=3e-3
    )


def test_oklab_of_images_is_that_of_8_bit_frames() -> None:
    frame = RANDOM.integers(0, 256, (30, 41, 3), dtype=np.uint8)
    lab = oklab_from_image(as_float(frame))
    np.testing.assert_allclose(lab, oklab_from_srgb(frame), atol=2e-4)
    np.testing.assert_array_equal(to_8_bit(image_from_oklab(lab)), frame)

"""Oklab: reference colors, an exact round trip, and colors outside the sRGB gamut."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab


def test_reference_colors_are_those_of_the_definition() -> None:
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


def test_every_srgb_color_survives_the_round_trip_exactly() -> None:
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    np.testing.assert_array_equal(srgb_from_oklab(oklab_from_srgb(cube)), cube)


@settings(max_examples=60, deadline=None)
@given(lightness=st.floats(0.2, 0.95), hue=st.floats(0, 6.28), chroma=st.floats(0.0, 0.4))
def test_colors_outside_the_gamut_keep_lightness_and_hue(lightness: float, hue: float, chroma: float) -> None:
    wanted = np.array([[lightness, chroma * np.cos(hue), chroma * np.sin(hue)]], np.float32)
    got = oklab_from_srgb(srgb_from_oklab(wanted))
    # as far as 256 levels can tell
    assert abs(float(got[0, 0]) - lightness) < 0.01
    across = abs(float(got[0, 1] * np.sin(hue) - got[0, 2] * np.cos(hue)))
    assert across < 0.012
    assert float(np.hypot(got[0, 1], got[0, 2])) < chroma + 0.012

"""Tone curves: monotone, black and white stay, and shifts are in logits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.analysis.tone_curve import apply_tone_curve, tone_correction
from pipeline.types import MAX_TONE_SHIFT, TONE_NODES, ToneCurve

RGB = NDArray[np.uint8]
LENGTH = len(TONE_NODES) + 3
CURVES = st.lists(st.integers(-MAX_TONE_SHIFT, MAX_TONE_SHIFT), min_size=LENGTH, max_size=LENGTH).map(tuple)
EVERY_LEVEL: RGB = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)


@given(CURVES)
def test_every_curve_is_monotone_and_keeps_black_and_white(curve: ToneCurve) -> None:
    changed = apply_tone_curve(EVERY_LEVEL, curve)
    assert changed.shape == EVERY_LEVEL.shape and changed.dtype == np.uint8
    assert (np.diff(changed[0].astype(int), axis=0) >= 0).all()
    assert (changed[0, 0] == 0).all() and (changed[0, 255] == 255).all()


def test_empty_curve_returns_the_same_array() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    assert apply_tone_curve(frame, ()) is frame
    assert tone_correction(()) is None
    assert np.array_equal(apply_tone_curve(EVERY_LEVEL, (0,) * LENGTH), EVERY_LEVEL)


def test_shift_moves_middle_gray_by_its_logit() -> None:
    gray = np.full((1, 1, 3), 127, np.uint8)
    assert apply_tone_curve(gray, (400,) * len(TONE_NODES) + (0, 0, 0)).tolist() == [[[152] * 3]]
    assert apply_tone_curve(gray, (0,) * len(TONE_NODES) + (400, 0, -400)).tolist() == [[[152, 127, 102]]]

"""Painted masks carried along the flow: known motions, occlusion, and two masks blended."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.settings import MotionSettings
from pipeline.masks.carry import Carried, blend, carry, color_model, painted
from pipeline.motion.estimate import motion_between
from tests.support.masks import iou, square_clip


def carried_along(frames: list[np.ndarray], mask: np.ndarray) -> list[Carried]:
    states = [painted(mask)]
    colors = color_model(frames[0], states[0])
    for before, content in pairwise(frames):
        motion = motion_between(before, content, MotionSettings(), from_index=0, to_index=1)
        states.append(carry(states[-1], before, content, motion, colors))
    return states


def test_moving_square_keeps_its_mask() -> None:
    frames, masks = square_clip(20)
    states = carried_along(frames, masks[0])
    assert min(iou(state.mask > 127, mask > 0.5) for state, mask in zip(states, masks, strict=True)) > 0.97
    # The mask stays sharp: hardly any pixel is in between.
    assert ((states[-1].mask > 25) & (states[-1].mask < 230)).mean() < 0.02
    assert states[-1].confidence[masks[-1] > 0.5].mean() > 150


def test_mask_comes_back_to_where_it_was_painted() -> None:
    frames, masks = square_clip(10)
    states = carried_along([*frames, *frames[-2::-1]], masks[0])
    assert iou(states[-1].mask > 127, masks[0] > 0.5) > 0.97


def test_still_frames_keep_the_mask_to_the_bit() -> None:
    frames, masks = square_clip(1)
    states = carried_along(frames * 6, masks[0])
    assert np.array_equal(states[1].mask > 127, masks[0] > 0.5)
    assert np.array_equal(states[-1].mask, states[-2].mask)


def test_what_was_hidden_has_low_confidence_and_gets_its_mask_by_color() -> None:
    """A square goes behind a bar and comes out on the other side."""
    frames, masks = square_clip(24, occluder=True)
    last = carried_along(frames, masks[0])[-1]
    emerged = masks[-1] > 0.5
    seen = np.zeros_like(emerged)
    seen[:, 130:] = True
    assert last.confidence[emerged].mean() < 0.6 * last.confidence[seen].mean()
    assert last.confidence[seen].mean() > 230
    assert iou(last.mask > 127, emerged) > 0.95


@given(st.floats(0, 1), st.integers(0, 255), st.integers(1, 255))
def test_blend_of_equal_masks_is_the_mask(fraction: float, level: int, confidence: int) -> None:
    one = Carried(np.full((3, 4), level, np.uint8), np.full((3, 4), confidence, np.uint8))
    mask, certain = blend(one, one, fraction)
    np.testing.assert_allclose(mask, level / 255, atol=1e-5)
    assert (certain <= confidence / 255 + 1e-5).all()


def test_blend_follows_time_and_confidence() -> None:
    inside, outside = (Carried(np.full((1, 1), level, np.uint8), np.full((1, 1), 255, np.uint8)) for level in (255, 0))
    unsure = Carried(outside.mask, np.zeros((1, 1), np.uint8))
    assert blend(inside, outside, 0.25)[0].item() == pytest.approx(0.75, abs=1e-3)
    assert blend(inside, outside, 0.5)[1].item() == pytest.approx(0, abs=1e-3)
    assert blend(inside, unsure, 0.75)[0].item() > 0.99

"""Painted masks carried along the flow: known motions, occlusion, and two masks blended."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.settings import MotionSettings
from pipeline.masks.carry import Carried, blend, carry, color_model, painted
from pipeline.motion.estimate import motion_between
from tests.support.masks import SIZE, iou, noise_texture, square_clip


def carried_along(frames: list[np.ndarray], mask: np.ndarray, *, steady: bool = False) -> list[Carried]:
    states = [painted(mask)]
    colors = color_model(frames[0], states[0])
    for before, content in pairwise(frames):
        motion = motion_between(before, content, MotionSettings(), from_index=0, to_index=1)
        states.append(carry(states[-1], before, content, motion, colors, steady=steady))
    return states


@pytest.mark.parametrize("steady", [False, True])
def test_moving_square_keeps_its_mask(steady: bool) -> None:
    frames, masks = square_clip(20)
    states = carried_along(frames, masks[0], steady=steady)
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


def test_steady_mask_follows_the_flow_where_the_frame_has_no_edge() -> None:
    """Half of a texture that moves 2 px per frame; what is measured is how far the mask differs from that motion."""
    wide = noise_texture((SIZE[0] + 20, SIZE[1]), 5, (120, 130, 140))
    frames = [np.ascontiguousarray(wide[:, 20 - 2 * index : 20 - 2 * index + SIZE[0]]) for index in range(9)]
    mask = np.zeros(SIZE[::-1], np.float32)
    mask[:, :70] = 1

    def trembles(steady: bool) -> float:
        states = carried_along(frames, mask, steady=steady)
        return float(np.mean([np.abs(b.mask[:, 50:110] / 255 - a.mask[:, 48:108] / 255) for a, b in pairwise(states)]))

    assert trembles(True) < 0.5 * trembles(False)


def test_steady_mask_is_corrected_over_several_frames() -> None:
    """Painted 3 px too wide around an object of another color, in a still clip."""
    frames, masks = square_clip(1)
    wide = cv2.dilate(masks[0], np.ones((7, 7)))
    states = carried_along(frames * 13, wide, steady=True)
    excess = [float(np.abs(state.mask / 255 - masks[0]).mean()) for state in states]
    assert excess[1] > 0.9 * excess[0] and excess[-1] < 0.05 * excess[0]


@pytest.mark.parametrize("steady", [False, True])
def test_what_was_hidden_has_low_confidence_and_gets_its_mask_by_color(steady: bool) -> None:
    """A square goes behind a bar and comes out on the other side."""
    frames, masks = square_clip(24, occluder=True)
    last = carried_along(frames, masks[0], steady=steady)[-1]
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

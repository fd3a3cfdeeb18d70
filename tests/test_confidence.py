"""Confidence of a flow: exactly zero where it must be, and the maps that were published with the method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.motion import consistency
from pipeline.motion.consistency import at_boundary, consistent, flow_confidence, inside
from tests.support.frames import constant_flow, moved_square, read_flo

Data = Callable[[str], Path]


def test_confidence_of_uncovered_and_outside_pixels_is_exactly_zero() -> None:
    _, _, covered, uncovered = moved_square()
    backward, forward = constant_flow(0, 0), constant_flow(0, 0)
    backward[covered] = -8, 0
    forward[np.roll(covered, -8, axis=1)] = 8, 0
    confidence = flow_confidence(backward, forward)
    assert confidence[uncovered].max() == 0
    changed = (covered | uncovered).astype(np.uint8)
    edges = cv2.dilate(changed, np.ones((9, 9))) != cv2.erode(changed, np.ones((9, 9)))
    edges |= cv2.dilate(uncovered.astype(np.uint8), np.ones((9, 9))) > 0
    assert confidence[~edges].min() == 1

    leaving = flow_confidence(constant_flow(-6.5, 0), constant_flow(6.5, 0))
    assert leaving[:, :7].max() == 0
    assert leaving[:, 12:].min() == 1


@pytest.mark.parametrize("pair", ["1_2", "2_1", "2_3", "3_2"])
def test_confidence_agrees_with_the_reference_maps(data: Data, pair: str) -> None:
    """Ruder's own maps for Ruder's own flow."""
    folder = data("flow/marple8")
    backwards = pair[0] > pair[2]
    there, back = (
        read_flo(folder / f"{'backward' if way else 'forward'}_{name}.flo")
        for way, name in ((backwards, pair), (not backwards, pair[::-1]))
    )
    reference = cv2.imread(str(folder / f"reliable_{pair}.pgm"), cv2.IMREAD_UNCHANGED)
    assert reference is not None
    theirs = reference > 127
    ours = flow_confidence(there, back) > 0.5
    assert (ours == theirs).mean() > 0.97  # measured 0.974 to 0.980
    assert (ours & ~theirs).mean() < 0.001
    # What differs is the one more pixel that is excluded around every area without confidence.
    uneroded = inside(there) & consistent(there, back) & ~at_boundary(there)
    assert (uneroded == theirs).mean() > 0.999  # measured 0.9991 to 0.9993


@pytest.mark.parametrize("rows", [1, 5, 31])
def test_confidence_does_not_depend_on_the_bands_it_is_computed_in(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(2).normal(0, 8, (31, 40, 2)).astype(np.float32)
    backward = cv2.GaussianBlur(noise, (0, 0), 9) + np.float32(0.6)
    backward[12:20, 9:30] += 2
    whole = inside(backward) & consistent(backward, -backward) & ~at_boundary(backward)
    eroded = cv2.erode(whole.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert 0.2 < eroded.mean() < 0.9
    monkeypatch.setattr(consistency, "BAND_ROWS", rows)
    confidence = flow_confidence(backward, -backward)
    assert not confidence[~whole].any() and confidence[eroded].all()
    for part in (inside(backward, slice(11, 14)), at_boundary(backward, slice(11, 14))):
        assert part.shape == (3, 40)
    assert (at_boundary(backward, slice(11, 14)) == at_boundary(backward)[11:14]).all()
    assert (consistent(backward, -backward, slice(11, 14)) == consistent(backward, -backward)[11:14]).all()


def test_flows_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="two flows"):
        flow_confidence(constant_flow(0, 0), constant_flow(0, 0, 20, 20))

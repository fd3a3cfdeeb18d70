"""Recent changes: what changed, how long ago, along the motion; and that a continued chain forgets nothing."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.motion.recent_change import RECENT_FRAMES, RecentChanges
from pipeline.types import Motion

RGB = NDArray[np.uint8]
HEIGHT, WIDTH = 40, 60


def texture(seed: int) -> RGB:
    image = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH, 3)), (0, 0), 1.5)
    return np.asarray((128 + 50 * image / image.std()).clip(0, 255).round(), np.uint8)


def motion(x: int = 0, confidence: float = 1.0) -> Motion:
    flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    flow[..., 0] = x
    return Motion(0, 1, flow, np.full((HEIGHT, WIDTH), confidence, np.float32))


def with_patch(content: RGB, left: int) -> RGB:
    changed = content.copy()
    changed[10:30, left : left + 15] = 255 - changed[10:30, left : left + 15]
    return changed


def test_nothing_is_recent_in_a_static_clip_and_in_the_first_frame() -> None:
    changes = RecentChanges()
    assert changes.add(texture(0), None).max() == 0
    for _ in range(3):
        assert changes.add(texture(0), motion()).max() == 0


def test_change_counts_less_with_every_frame_and_is_forgotten() -> None:
    before, after = texture(0), with_patch(texture(0), 20)
    changes = RecentChanges()
    changes.add(before, None)
    found = [changes.add(after, motion()) for _ in range(RECENT_FRAMES + 2)]
    at_patch = [float(plane[20, 27]) for plane in found]
    assert at_patch[0] == pytest.approx(1)
    assert all(later <= earlier for earlier, later in itertools.pairwise(at_patch))
    assert at_patch[4] == pytest.approx(1 - 4 / RECENT_FRAMES, abs=0.01)
    assert at_patch[RECENT_FRAMES] == 0
    assert all(plane[20, 5] == 0 for plane in found)


def test_slow_change_is_seen_over_several_frames() -> None:
    first, last = texture(0).astype(float), texture(1).astype(float)
    changes = RecentChanges()
    found = [
        changes.add(np.asarray(np.rint(first + (last - first) * step / 30), np.uint8), None if step == 0 else motion())
        for step in range(13)
    ]
    assert found[1].max() == 0
    assert found[12].mean() > 0.1


def test_what_moves_with_the_flow_has_not_changed() -> None:
    content = texture(0)
    changes = RecentChanges()
    changes.add(content, None)
    for step in range(1, 6):
        found = changes.add(np.roll(content, 2 * step, axis=1), motion(-2))
        assert found[:, 2 * step + 2 :].max() == 0


def test_without_confidence_everything_is_recent() -> None:
    changes = RecentChanges()
    changes.add(texture(0), None)
    assert changes.add(texture(0), motion(confidence=0)).min() == 1


def test_continued_chain_needs_only_the_recent_frames() -> None:
    random = np.random.default_rng(4)
    frames = [with_patch(texture(0), int(left)) for left in random.integers(0, WIDTH - 15, 40)]
    moves = [motion(int(step)) for step in random.integers(-2, 3, 40)]
    whole = RecentChanges()
    expected = [whole.add(frame, None if at == 0 else moves[at]) for at, frame in enumerate(frames)]
    start = 25
    continued = RecentChanges()
    for at in range(start - RECENT_FRAMES, len(frames)):
        found = continued.add(frames[at], None if at == start - RECENT_FRAMES else moves[at])
        if at >= start:
            np.testing.assert_array_equal(found, expected[at])

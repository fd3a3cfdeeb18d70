"""Frames of a chain: which previous frames each one starts from, repeated frames, and keyframes."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

from pipeline.config.settings import MotionSettings
from pipeline.execute.chain_frames import ChainFrame, ChainSettings, chain_frames
from pipeline.motion.correspondence import Correspondence
from pipeline.motion.warm_start import COLD_BELOW, warm_start
from pipeline.plan.segments import APPROACH_FRAMES
from pipeline.types import Chain, Frame, Motion


class Reader:
    """Content whose pixels are the index of the frame; counts how many frames were read."""

    def __init__(self) -> None:
        self.read = 0

    def __call__(self, start: int, stop: int) -> Generator[Frame]:
        for index in range(start, stop):
            self.read += 1
            yield Frame(index, index, np.full((2, 2, 3), index, np.uint8))


@pytest.fixture
def reader() -> Reader:
    return Reader()


def a_chain(start: int = 0, stop: int = 12, *, interval: int = 1, keyframe_chain: str = "") -> Chain:
    return Chain("a-s000", "a", 0, start, stop, 0, interval, keyframe_chain)


@pytest.fixture
def _no_motion(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Motion without any confidence, and a record of the requested pairs."""
    requested: list[tuple[int, int]] = []

    def motion_between(previous: object, content: object, settings: object, **at: Any) -> Motion:
        requested.append((at["from_index"], at["to_index"]))
        nothing = np.zeros((2, 2, 2), np.float32)
        return Motion(at["from_index"], at["to_index"], nothing, np.zeros((2, 2), np.float32))

    monkeypatch.setattr("pipeline.motion.estimate.motion_between", motion_between)
    return requested


def frames_of(
    reader: Reader,
    chain: Chain,
    start: int = 0,
    *,
    long_term: tuple[int, ...] = (),
    next_keyframe: int | None = None,
    **motion: Any,
) -> dict[int, ChainFrame]:
    chosen = MotionSettings(**motion)
    settings = ChainSettings(chosen, long_term, chain.start, next_keyframe)
    return {frame.index: frame for frame in chain_frames(chain, start, reader, settings)}


@pytest.mark.usefixtures("_no_motion")
def test_every_frame_starts_from_previous_ones_of_its_chain(reader: Reader) -> None:
    frames = frames_of(reader, a_chain(), long_term=(5, 8))
    assert {index: sorted(frame.correspondences) for index, frame in frames.items()} == {
        index: [index - back for back in (8, 5, 1) if back <= index] for index in range(12)
    }
    assert all((frame.content == index).all() for index, frame in frames.items())


def test_long_term_frames_are_compared_only_where_the_nearest_leaves_gaps(reader: Reader) -> None:
    frames = frames_of(
        reader, a_chain(), long_term=(5,), method="none"
    )  # nothing moves: the nearest frame leaves no gap
    assert all(set(frame.correspondences) <= {index - 1} for index, frame in frames.items())


@pytest.mark.usefixtures("_no_motion")
@pytest.mark.parametrize("start", [*range(1, 12), 17, 30])
@pytest.mark.parametrize("hold", [1, 3])
def test_continued_chain_has_the_frames_of_an_uninterrupted_one(reader: Reader, start: int, hold: int) -> None:
    whole = frames_of(reader, a_chain(0, 40), long_term=(4,), hold=hold)
    rest = frames_of(reader, a_chain(0, 40), start, long_term=(4,), hold=hold)
    assert sorted(rest) == list(range(start, 40))
    for index, frame in rest.items():
        assert (
            sorted(frame.correspondences) == sorted(whole[index].correspondences)
            and frame.repeats == whole[index].repeats
        )
        assert (frame.content == index).all()
        np.testing.assert_equal(frame.recent_change, whole[index].recent_change)


def test_continued_chain_knows_what_changed_before_it() -> None:
    """Levels jump in frames 3, 11 and 12; a chain continued later still knows how long ago that was."""
    levels = [20, 20, 20, 90, *[90] * 7, 200, 40, *[40] * 14]

    def read(start: int, stop: int) -> Generator[Frame]:
        for index in range(start, stop):
            yield Frame(index, index, np.full((8, 8, 3), levels[index], np.uint8))

    def recent(start: int) -> dict[int, Any]:
        settings = ChainSettings(MotionSettings(method="none"))
        frames = chain_frames(a_chain(0, len(levels)), start, read, settings)
        return {frame.index: frame.recent_change for frame in frames}

    whole = recent(0)
    assert whole[12].min() == 1 and 0 < whole[17].min() < 1 and whole[26].max() == 0
    for start in (4, 12, 13, 20, 25):
        for index, found in recent(start).items():
            np.testing.assert_array_equal(found, whole[index])


@pytest.mark.usefixtures("_no_motion")
def test_frames_on_hold_repeat_the_one_before_and_correspond_to_the_last_stylized_one(reader: Reader) -> None:
    frames = frames_of(reader, a_chain(3, 10), 3, long_term=(5,), hold=2)
    assert [frame.repeats for frame in frames.values()] == [None, 3, None, 5, None, 7, None]
    assert sorted(frames[5].correspondences) == [3] and sorted(frames[9].correspondences) == [3, 7]


def test_at_full_boil_no_frame_has_correspondences(reader: Reader, _no_motion: list[tuple[int, int]]) -> None:
    assert not any(frame.correspondences for frame in frames_of(reader, a_chain(), boil=1).values())
    assert _no_motion == []


@pytest.mark.usefixtures("_no_motion")
def test_keyframes_correspond_to_the_previous_keyframe_and_no_frame_between_is_read(reader: Reader) -> None:
    frames = frames_of(reader, a_chain(0, 12, interval=5), long_term=(2,))
    assert {index: sorted(frame.correspondences) for index, frame in frames.items()} == {0: [], 5: [0], 10: [5]}
    assert reader.read == 3


@pytest.mark.usefixtures("_no_motion")
def test_segment_begins_with_its_keyframe_and_approaches_the_next_one(reader: Reader) -> None:
    stop = 10 + APPROACH_FRAMES
    frames = frames_of(reader, a_chain(0, stop, keyframe_chain="a-s000-keys"), next_keyframe=stop)
    assert frames[0].repeats == 0
    approaching = [index for index, frame in frames.items() if frame.to_next_keyframe is not None]
    assert approaching == list(range(10, stop))
    fractions = [frames[index].approach_fraction for index in approaching]
    assert fractions == sorted(fractions) and 0 < fractions[0] < 0.1 and 0.9 < fractions[-1] < 1
    assert {frames[index].next_keyframe for index in approaching} == {stop}


@pytest.mark.parametrize("confidence", [0.0, 0.1, 0.1999, COLD_BELOW, 0.2001, 0.5, 1.0])
@pytest.mark.parametrize("change", [0.0, 0.03])
def test_frame_is_known_to_be_cold_exactly_where_it_has_no_warm_start(confidence: float, change: float) -> None:
    content = np.full((8, 8, 3), 90, np.uint8)
    motion = Motion(3, 4, np.zeros((8, 8, 2), np.float32), np.full((8, 8), confidence, np.float32))
    correspondence = Correspondence(motion, np.full((8, 8), change, np.float32))
    frame = ChainFrame(4, content, {3: correspondence})
    assert frame.known_cold == (warm_start(content, {3: content}, {3: correspondence}) is None)
    assert not ChainFrame(4, content, {3: correspondence, 2: correspondence}).known_cold  # both count together


def test_first_frame_is_known_to_be_cold_and_a_repeated_one_is_not() -> None:
    content = np.full((8, 8, 3), 90, np.uint8)
    assert ChainFrame(0, content).known_cold and not ChainFrame(0, content, repeats=0).known_cold

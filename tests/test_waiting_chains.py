"""Which chain is next, and which segments a keyframe lets begin or takes with it."""

from __future__ import annotations

from pipeline.execute.waiting_chains import WaitingChains
from pipeline.plan.chains import StyleChains, make_chains
from pipeline.types import Shot

KEYFRAMES, *SEGMENTS, SHORT = make_chains([StyleChains("a", 0, segment_frames=4)], [Shot(0, 0, 12), Shot(1, 12, 14)])
CHAINS = (KEYFRAMES, *SEGMENTS, SHORT)
ALL = {chain.id: chain.start for chain in CHAINS}


def taken(waiting: WaitingChains) -> list[str]:
    """Everything that can begin now."""
    found = []
    while (chain := waiting.take()) is not None:
        found.append(chain.id)
    return found


def test_segments_begin_when_their_two_keyframes_are_stored() -> None:
    waiting = WaitingChains(CHAINS, ALL)
    assert taken(waiting) == [KEYFRAMES.id, SHORT.id]
    waiting.stored(KEYFRAMES, 0)
    assert taken(waiting) == []
    waiting.stored(KEYFRAMES, 4)
    assert taken(waiting) == [SEGMENTS[0].id]
    waiting.stored(SEGMENTS[0], 0)
    assert taken(waiting) == []
    waiting.stored(KEYFRAMES, 8)
    assert taken(waiting) == [SEGMENTS[1].id, SEGMENTS[2].id]  # the last one approaches no keyframe


def test_segments_of_stored_keyframes_begin_at_once() -> None:
    halfway = WaitingChains(CHAINS, {**ALL, KEYFRAMES.id: 8})
    assert taken(halfway) == [KEYFRAMES.id, SEGMENTS[0].id, SHORT.id]
    assert taken(WaitingChains(CHAINS, {**ALL, KEYFRAMES.id: KEYFRAMES.stop})) == [
        *(segment.id for segment in SEGMENTS),
        SHORT.id,
    ]


def test_only_the_given_chains_wait_and_complete_ones_do_not() -> None:
    assert taken(WaitingChains(CHAINS, {SEGMENTS[1].id: 6, SHORT.id: SHORT.stop})) == [SEGMENTS[1].id]


def test_segments_without_a_keyframe_are_lost_with_its_chain() -> None:
    waiting = WaitingChains(CHAINS, ALL)
    assert waiting.take() == KEYFRAMES
    for index in (0, 4):
        waiting.stored(KEYFRAMES, index)
    assert waiting.failed(KEYFRAMES) == SEGMENTS[1:]
    assert taken(waiting) == [SEGMENTS[0].id, SHORT.id]
    assert waiting.failed(SHORT) == []

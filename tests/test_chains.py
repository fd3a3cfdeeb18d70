"""Chains: every frame once per style, ids, seeds, segments and their keyframes."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.plan.chains import StyleChains, frame_seed, make_chains, phases_left
from pipeline.plan.segments import BUSY_CHAINS, Segments, automatic_length
from pipeline.types import Chain, Shot
from tests.support.plans import NAMES, shots_of


@given(st.lists(NAMES, min_size=1, max_size=5), st.lists(st.integers(1, 200), min_size=1, max_size=12))
def test_chains_cover_every_frame_once_per_style_and_never_cross_a_cut(names: list[str], cuts: list[int]) -> None:
    shots = shots_of(cuts)
    chains = make_chains([StyleChains(name, seed) for seed, name in enumerate(names)], shots)
    assert len({chain.id.casefold() for chain in chains}) == len(chains)
    for chain in chains:
        shot = shots[chain.shot]
        assert shot.start <= chain.start < chain.stop <= shot.stop
        assert chain.id.isascii() and chain.id == chain.id.lower() and not set(chain.id) & set(' ./\\:*?"<>|')
    for seed, name in enumerate(names):
        mine = [chain for chain in chains if chain.seed == seed]
        assert {chain.style for chain in mine} == {name}
        frames = [frame for chain in mine for frame in range(chain.start, chain.stop)]
        assert frames == list(range(max(cuts)))


def test_chain_ids_differ_where_names_differ_only_by_case_or_accents() -> None:
    names = ["Swirl", "swirl", "été", "ete", "墨", "水", "a/b", "swirl-2", "con"]
    ids = [chain.id for chain in make_chains([StyleChains(name, 0) for name in names], [Shot(0, 0, 1)])]
    assert ids == [
        "swirl-s000",
        "swirl-2-s000",
        "ete-s000",
        "ete-2-s000",
        "style-s000",
        "style-2-s000",
        "a-b-s000",
        "swirl-2-2-s000",
        "con-s000",
    ]


def test_frame_seeds_are_known_and_distinct() -> None:
    expected = int.from_bytes(hashlib.sha256(b'[7,"swirl",3]').digest()[:8], "big") >> 1
    assert frame_seed(7, "swirl", 3) == expected
    seeds = {frame_seed(seed, style, index) for seed in range(5) for style in "ab" for index in range(100)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_long_shot_is_split_into_segments_that_start_from_keyframes() -> None:
    shots = (Shot(0, 0, 100), Shot(1, 100, 110))
    chains = make_chains([StyleChains("Swirl", 7, segment_frames=24, hold=2)], shots)
    keyframes, *segments, short = chains
    assert (keyframes.id, keyframes.interval, keyframes.in_output) == ("swirl-s000-keys", 26, False)
    assert list(keyframes.frames) == [segment.start for segment in segments] == [0, 26, 52, 78]
    last = segments[-1]
    assert (last.id, last.stop, last.keyframe_chain) == ("swirl-s000-p003", 100, keyframes.id)
    assert (short.id, short.start, short.stop, short.keyframe_chain) == ("swirl-s001", 100, 110, "")


def test_dependents_of_a_keyframe_are_the_segments_that_start_from_it_or_approach_it() -> None:
    keyframes, *segments = make_chains([StyleChains("a", 0, segment_frames=4)], [Shot(0, 0, 12)])
    dependencies = Segments([keyframes, *segments])
    first, second, third = segments
    assert [dependencies.next_keyframe(segment) for segment in segments] == [4, 8, None]
    assert [dependencies.last_keyframe(segment) for segment in segments] == [4, 8, 8]
    assert all(dependencies.keyframes(segment) == keyframes for segment in segments)
    assert dependencies.keyframes(keyframes) is None
    everything = {keyframes.id: 0, first.id: 0, second.id: 4, third.id: 8}
    assert dependencies.dependents(keyframes, 0) == everything
    assert dependencies.dependents(keyframes, 4) == everything | {keyframes.id: 4}
    assert dependencies.dependents(keyframes, 8) == {keyframes.id: 8, second.id: 4, third.id: 8}
    assert dependencies.dependents(keyframes, keyframes.stop) == {}
    assert dependencies.dependents(second, 6) == {second.id: 6}


@given(st.integers(1, 300), st.integers(0, 60), st.integers(1, 5))
def test_segments_cover_every_frame_once(count: int, wanted: int, hold: int) -> None:
    chains = make_chains([StyleChains("a", 0, wanted, hold)], [Shot(0, 0, count)])
    covered = [index for chain in chains if chain.in_output for index in chain.frames]
    assert covered == list(range(count))
    for chain in chains:
        assert chain.interval % hold == 0 or chain.interval == 1
        if chain.keyframe_chain:
            (keys,) = (other for other in chains if other.id == chain.keyframe_chain)
            assert chain.start in keys.frames


@pytest.mark.parametrize(
    ("frames", "styles", "length"),
    [
        (1, 1, 24),
        (300, 1, 24),
        (800, 1, 50),
        (800, 2, 100),
        (640, 2, 80),
        (640, 5, 80),
        (1600, 1, 100),
        (10**6, 3, 100),
    ],
)
def test_automatic_segments_keep_an_accelerator_busy_and_are_neither_short_nor_long(
    frames: int, styles: int, length: int
) -> None:
    assert automatic_length(frames, styles) == length


@given(st.integers(384, 1600), st.integers(1, 4))
def test_automatic_segments_of_a_long_shot_are_as_many_as_are_stylized_side_by_side(frames: int, styles: int) -> None:
    length = automatic_length(frames, styles)
    chains = make_chains([StyleChains(str(style), 0, length) for style in range(styles)], [Shot(0, 0, frames)])
    segments = [chain for chain in chains if chain.in_output]
    assert len(segments) >= BUSY_CHAINS - styles
    assert all(20 <= len(chain.frames) <= 107 for chain in segments if chain.stop < frames)


def test_the_first_frame_that_is_left_is_cold_unless_a_keyframe_is_before_it() -> None:
    chain = Chain("a", "swirl", 0, 10, 20, seed=0)
    segment = Chain("b", "swirl", 0, 10, 20, seed=0, keyframe_chain="a")
    assert phases_left(chain, 10, every_frame_cold=False) == {"cold": 1, "warm": 9}
    assert phases_left(chain, 9, every_frame_cold=False) == phases_left(segment, 9, every_frame_cold=False)
    assert phases_left(segment, 10, every_frame_cold=False) == {"cold": 0, "warm": 10}
    assert phases_left(segment, 4, every_frame_cold=True) == {"cold": 4, "warm": 0}

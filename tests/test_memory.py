"""What memory is free, and which plan of minimizing is chosen for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.encoders.load import load_encoder
from pipeline.optimize.memory import FeatureMemory, fitting_plans, needed_bytes
from pipeline.runtime import memory
from pipeline.runtime.memory import free_bytes

COMPACT = FeatureMemory(bytes_per_px=126, stride=16, reach_px=70)
CPU = torch.device("cpu")


def test_free_memory_of_this_machine_is_that_of_a_computer() -> None:
    assert 1 << 20 < free_bytes(CPU) < 1 << 50


def test_container_with_a_limit_has_what_is_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(memory, "CGROUP_FILES", ((limit, used),))
    without = free_bytes(CPU)
    limit.write_text("max\n")
    used.write_text("1000\n")
    assert free_bytes(CPU) == pytest.approx(without, rel=0.2)
    limit.write_text("51000\n")
    assert free_bytes(CPU) == 50000
    used.write_text("52000\n")
    assert free_bytes(CPU) == 0


def test_frames_that_fit_are_taken_whole_and_large_ones_in_tiles() -> None:
    small = fitting_plans((720, 1280), 1, 12, 4 << 30, COMPACT)[0]
    assert (small.tile_px, small.pairs, small.pairs_dtype) == (None, 12, torch.float32)
    large = fitting_plans((4320, 7680), 1, 12, int(7.5 * 2**30), COMPACT)[0]
    assert large.tile_px is not None
    assert needed_bytes(large, (4320, 7680), 1, COMPACT) <= 7.5 * 2**30
    assert len(fitting_plans((4320, 7680), 1, 12, 1 << 20, COMPACT)) == 1


def test_frames_of_a_network_without_a_known_reach_are_whole() -> None:
    unknown = FeatureMemory(bytes_per_px=126, stride=16, reach_px=None)
    assert [plan.tile_px for plan in fitting_plans((4320, 7680), 1, 12, 1 << 30, unknown)] == [None]


@given(
    st.tuples(st.integers(16, 9000), st.integers(16, 9000)), st.integers(1, 8), st.integers(1, 30), st.integers(28, 38)
)
def test_every_plan_that_follows_needs_less_curvature_or_smaller_tiles(
    size: tuple[int, int], batch: int, pairs: int, bits: int
) -> None:
    plans = fitting_plans(size, batch, pairs, 1 << bits, COMPACT)
    keys = [(plan.pairs * torch.finfo(plan.pairs_dtype).bits, plan.tile_px or 10**6) for plan in plans]
    assert keys == sorted(keys, reverse=True) and len(set(plans)) == len(plans)
    assert all(1 <= plan.pairs <= pairs for plan in plans)
    if needed_bytes(plans[0], size, batch, COMPACT) > 1 << bits:
        assert len(plans) == 1


def test_encoder_says_how_many_bytes_its_gradient_needs() -> None:
    encoder = load_encoder("tiny")
    assert encoder.bytes_per_px(["relu1_2"]) == (4 + 4) * 4
    assert encoder.bytes_per_px(["relu2_1"]) == (4 + 4) * 4 + 6 * 4 / 4

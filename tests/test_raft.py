"""RAFT: what the network is given, whose weights it takes, and how its flow becomes motion."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.encoders.pretrained import torchvision_module
from pipeline.encoders.registry import FLOW_NETWORKS
from pipeline.errors import ConfigError, MissingPartError
from pipeline.motion.estimate import estimate_motion
from pipeline.motion.raft import Raft, load_raft
from pipeline.types import Motion
from tests.support.frames import Array, blotches, constant_flow


def motion_of(previous: Array, current: Array, raft: Raft) -> Motion:
    return estimate_motion(previous, current, from_index=3, to_index=4, estimator=raft)


class StubNetwork(torch.nn.Module):
    """Returns the flow of a scene that moves by (6, -2) px, and records its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[torch.Tensor, torch.Tensor]] = []

    def forward(self, start: torch.Tensor, target: torch.Tensor) -> list[torch.Tensor]:
        self.calls.append((start, target))
        flow = torch.tensor([[-6.0, 2.0], [6.0, -2.0]])[:, :, None, None]
        return [torch.zeros(1), flow.expand(2, 2, *start.shape[2:])]


def stubbed(network: StubNetwork) -> Raft:
    return Raft("raft_small", "0" * 64, network, torch.device("cpu"))


@pytest.mark.parametrize("size", [(130, 200), (5, 7), (144, 160)])
def test_network_is_given_padded_normalized_frames_in_the_right_order(size: tuple[int, int]) -> None:
    height, width = size
    previous, current = blotches(height, width, 1), blotches(height, width, 2)
    network = StubNetwork()
    backward, forward = stubbed(network)(previous, current)
    ((start, target),) = network.calls
    assert start.shape == target.shape
    assert start.dtype == torch.float32
    assert all(side % 8 == 0 and side >= 128 for side in start.shape[2:])
    # The first of the batch leads from the current frame back to the previous one.
    for images, frames in ((start, (current, previous)), (target, (previous, current))):
        for image, frame in zip(images, frames, strict=True):
            seen = image.permute(1, 2, 0)[:height, :width].numpy()
            np.testing.assert_allclose(seen, frame / 127.5 - 1, atol=1e-6)
            assert torch.equal(image[:, -1, -1], image[:, height - 1, width - 1])
    assert backward.dtype == forward.dtype == np.float32
    np.testing.assert_array_equal(backward, constant_flow(-6, 2, height, width))
    np.testing.assert_array_equal(forward, -backward)


def test_flow_of_a_network_gets_confidence_by_the_same_tests() -> None:
    motion = motion_of(blotches(130, 200, 1), blotches(130, 200, 2), stubbed(StubNetwork()))
    np.testing.assert_array_equal(motion.backward_flow, constant_flow(-6, 2, 130, 200))
    assert motion.confidence[4:-8, 12:-4].min() == 1
    assert motion.confidence[:, :6].max() == 0


def test_network_is_given_large_frames_at_half_size() -> None:
    network = StubNetwork()
    motion = motion_of(blotches(300, 800, 1), blotches(300, 800, 2), stubbed(network))
    assert network.calls[0][0].shape == (2, 3, 152, 400)
    np.testing.assert_array_equal(motion.backward_flow, constant_flow(-12, 4, 300, 800))


class Busy(torch.nn.Module):
    """A network whose flow is the mean color of each frame; its first call lasts until `waiting` pairs wait.

    Batches of more than `fits` images are out of memory.
    """

    def __init__(self, waiting: int, fits: int = 1000) -> None:
        super().__init__()
        self.waiting, self.fits = waiting, fits
        self.sizes: list[int] = []
        self.raft: Raft | None = None

    def forward(self, start: torch.Tensor, target: torch.Tensor) -> list[torch.Tensor]:
        self.sizes.append(len(start))
        assert self.raft is not None
        while len(self.sizes) == 1 and len(self.raft._waiting) < self.waiting:
            time.sleep(0.001)
        if len(start) > self.fits:
            raise torch.OutOfMemoryError("out of memory")
        means = torch.stack([start.mean(dim=(1, 2, 3)), target.mean(dim=(1, 2, 3))], dim=1)
        return [means[..., None, None].expand(-1, -1, *start.shape[2:])]


def flows_at_once(network: Busy, sizes: Sequence[tuple[int, int]], max_pairs: int) -> None:
    """Ask for the flows of many pairs at the same time, and compare each with that of the pair alone."""
    pairs = [(blotches(*size, 2 * seed), blotches(*size, 2 * seed + 1)) for seed, size in enumerate(sizes)]
    network.raft = raft = Raft("raft_small", "0" * 64, network, torch.device("cpu"), max_pairs=max_pairs)
    with ThreadPoolExecutor(len(pairs)) as pool:
        found = list(pool.map(lambda pair: raft(*pair), pairs))
    alone = Busy(1)
    alone.raft = single = Raft("raft_small", "0" * 64, alone, torch.device("cpu"))
    for pair, flows in zip(pairs, found, strict=True):
        for flow, expected in zip(flows, single(*pair), strict=True):
            np.testing.assert_allclose(flow, expected, atol=1e-6)
    assert not raft._waiting


def test_pairs_that_wait_are_one_batch_and_get_their_own_flows() -> None:
    network = Busy(6)
    flows_at_once(network, [(130, 200)] * 6, max_pairs=3)
    assert network.sizes == [2, 6, 4]  # images: two for each pair


def test_pairs_of_other_sizes_wait_for_their_own_batch() -> None:
    network = Busy(5)
    flows_at_once(network, [(130, 200), (144, 160), (130, 200), (144, 160), (130, 200)], max_pairs=8)
    assert sorted(network.sizes) in ([2, 4, 4], [2, 2, 6])


def test_batch_of_pairs_that_does_not_fit_into_memory_is_halved() -> None:
    network = Busy(5, fits=4)
    flows_at_once(network, [(130, 200)] * 5, max_pairs=4)
    assert network.sizes == [2, 8, 4, 4]


def test_single_pair_that_does_not_fit_into_memory_is_an_error_of_its_own() -> None:
    network = Busy(1, fits=0)
    network.raft = raft = Raft("raft_small", "0" * 64, network, torch.device("cpu"), max_pairs=4)
    with pytest.raises(torch.OutOfMemoryError):
        raft(blotches(130, 200, 1), blotches(130, 200, 2))
    network.fits = 2
    assert raft(blotches(130, 200, 1), blotches(130, 200, 2))[0].shape == (130, 200, 2)


@pytest.fixture(scope="module", params=["raft_small", "raft_large"])
def raft_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in a file named like torchvision's."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("raft") / FLOW_NETWORKS[request.param].file_name
    torch.save(getattr(torchvision_module("models.optical_flow"), request.param)().state_dict(), path)
    return path


def test_raft_is_loaded_from_the_cache_and_other_weights_are_refused(
    raft_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPERA_CACHE", str(raft_file.parent))
    name: Any = raft_file.name[:10]
    raft = load_raft(name)
    assert (raft.name, raft.digest) == (name, hashlib.sha256(raft_file.read_bytes()).hexdigest())
    previous, current = blotches(61, 139, 1), blotches(61, 139, 2)
    backward, forward = raft(previous, current)
    assert backward.shape == (61, 139, 2)
    assert np.isfinite(backward).all()
    np.testing.assert_array_equal(backward, raft(previous, current)[0])
    # Both ways are one network's: swapped frames swap the flows.
    swapped = raft(current, previous)
    np.testing.assert_allclose(backward, swapped[1], atol=1e-3)
    np.testing.assert_allclose(forward, swapped[0], atol=1e-3)
    other: Any = {"raft_small": "raft_large", "raft_large": "raft_small"}[name]
    with pytest.raises(MissingPartError, match=f"does not hold the weights of {other}") as caught:
        load_raft(other, weights=raft_file)
    assert "motion.method=dis" in caught.value.hint


def test_raft_without_weights_is_a_missing_part_with_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPERA_CACHE", str(tmp_path))
    monkeypatch.setattr("pipeline.encoders.pretrained.weights_url", lambda name: f"http://127.0.0.1:9/{name}.pth")
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(b"<html>")
    for weights in (None, tmp_path / "absent.pth", damaged):
        with pytest.raises(MissingPartError) as caught:
            load_raft("raft_small", weights=weights)
        assert caught.value.exit_code == 6
        assert "tempera weights fetch raft_small" in caught.value.hint
        assert "--set motion.method=dis" in caught.value.hint
    with pytest.raises(ConfigError, match="raft_huge"):
        load_raft("raft_huge")  # type: ignore[arg-type]

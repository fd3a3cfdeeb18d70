"""Frames as tensors: what a batch of several holds is what its frames hold alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.execute import running_chain
from pipeline.execute.batches import Sample, join, make_sample
from pipeline.execute.chain_frames import ChainFrame
from pipeline.execute.running_chain import RunningChain
from pipeline.media.image.arrays import to_tensor
from pipeline.plan.chains import frame_seed
from pipeline.types import Chain, FrameTask, WarmStart

CHAIN = Chain("a-s000", "a", 0, 0, 9, seed=5)
SIZE = (4, 6)
TENSORS = ("content", "init", "warped_previous", "confidence", "recent_change")


def a_task(index: int, *, warm: bool, recent: bool = True) -> FrameTask:
    content = np.random.default_rng(index).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    if not warm:
        return FrameTask(CHAIN, index, content)
    generator = torch.Generator().manual_seed(index)
    init, target = (torch.rand((3, *SIZE), generator=generator) for _ in range(2))
    confidence, change = (torch.rand((1, *SIZE), generator=generator) for _ in range(2))
    return FrameTask(
        CHAIN, index, content, WarmStart(init, target, confidence, 0.1 * index, change if recent else None)
    )


def test_sample_holds_the_frame_as_a_batch_of_one() -> None:
    task = a_task(3, warm=True)
    batch = make_sample(task).batch
    assert task.warm is not None and task.warm.recent_change is not None
    assert batch.phase == "warm" and batch.new_fractions == (task.warm.new_fraction,)
    assert batch.seeds == (frame_seed(5, "a", 3),)
    assert torch.equal(batch.content, to_tensor(task.content)[None])
    for found, wanted in ((batch.init, task.warm.init), (batch.warped_previous, task.warm.target)):
        assert found is not None and torch.equal(found[0], wanted)
    for found, plane in ((batch.confidence, task.warm.confidence), (batch.recent_change, task.warm.recent_change)):
        assert found is not None and torch.equal(found[0], plane)
    unknown = make_sample(a_task(3, warm=True, recent=False)).batch.recent_change
    assert unknown is not None and not unknown.any()


def test_cold_sample_has_nothing_to_start_from() -> None:
    batch = make_sample(a_task(0, warm=False)).batch
    assert batch.phase == "cold" and batch.new_fractions == ()
    assert all(getattr(batch, name) is None for name in TENSORS[1:])


@pytest.mark.parametrize("warm", [False, True])
def test_joined_batch_holds_its_frames_in_order(warm: bool) -> None:
    batches = [make_sample(a_task(index, warm=warm)).batch for index in (4, 2, 7)]
    joined = join(batches)
    assert joined.seeds == tuple(frame_seed(5, "a", index) for index in (4, 2, 7))
    assert joined.new_fractions == pytest.approx((0.4, 0.2, 0.7) if warm else ())
    for name in TENSORS:
        whole = getattr(joined, name)
        for position, batch in enumerate(batches):
            alone = getattr(batch, name)
            assert (whole is None and alone is None) or torch.equal(whole[position], alone[0])
    assert join(batches[:1]) is batches[0]


def test_batch_of_samples_on_the_device_and_on_the_cpu_is_made_on_the_device() -> None:
    """Where the device was full some are on the CPU. `meta` stands in for an accelerator."""
    here, there = (make_sample(a_task(index, warm=True)).batch for index in (1, 2))
    there = replace(there, **{name: getattr(there, name).to("meta") for name in TENSORS})
    for order in ([there, here], [here, there]):
        joined = join(order)
        assert {(getattr(joined, name).device.type, len(getattr(joined, name))) for name in TENSORS} == {("meta", 2)}


def test_frame_that_does_not_fit_on_the_device_is_made_ready_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[torch.device | None] = []

    def full(task: FrameTask, device: torch.device | None = None) -> Sample:
        tried.append(device)
        if device is not None:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return make_sample(task)

    monkeypatch.setattr(running_chain, "make_sample", full)
    directory: Any = None
    running = RunningChain(CHAIN, 0, directory, directory, directory, device=torch.device("cuda"))
    sample = running._sample(ChainFrame(0, a_task(0, warm=False).content))
    assert sample.batch.content.device.type == "cpu"
    assert tried == [torch.device("cuda"), None]

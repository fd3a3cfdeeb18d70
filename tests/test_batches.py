"""Frames as tensors: what a batch of several holds is what its frames hold alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pipeline.execute.batches import join, make_sample
from pipeline.media.image.arrays import to_tensor
from pipeline.plan.chains import frame_seed
from pipeline.types import Chain, FrameTask, WarmStart

CHAIN = Chain("a-s000", "a", 0, 0, 9, seed=5)
SIZE = (4, 6)
TENSORS = ("content", "init", "warped_previous", "confidence", "recent_change")


def a_task(index: int, *, warm: bool, recent: bool = True) -> FrameTask:
    generator = np.random.default_rng(index)
    content = generator.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    if not warm:
        return FrameTask(CHAIN, index, content)
    init, target = (generator.random((*SIZE, 3), np.float32) for _ in range(2))
    confidence, change = (generator.random(SIZE, np.float32) for _ in range(2))
    return FrameTask(
        CHAIN, index, content, WarmStart(init, target, confidence, 0.1 * index, change if recent else None)
    )


def test_sample_holds_the_frame_channels_first() -> None:
    task = a_task(3, warm=True)
    batch = make_sample(task).batch
    assert task.warm is not None and task.warm.recent_change is not None
    assert batch.phase == "warm" and batch.new_fractions == (task.warm.new_fraction,)
    assert batch.seeds == (frame_seed(5, "a", 3),)
    assert torch.equal(batch.content, to_tensor(task.content)[None])
    for found, wanted in ((batch.init, task.warm.init), (batch.warped_previous, task.warm.target)):
        assert found is not None and np.array_equal(found[0].permute(1, 2, 0), wanted)
    for found, plane in ((batch.confidence, task.warm.confidence), (batch.recent_change, task.warm.recent_change)):
        assert found is not None and np.array_equal(found[0, 0], plane)
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


def test_samples_are_on_the_device_or_where_it_is_full_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of both kinds is made on the device. `meta` stands in for an accelerator."""
    there = make_sample(a_task(1, warm=True), "meta")
    real = torch.Tensor.to

    def full(self: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
        if "meta" in arguments and self.shape[1] == 1:  # after some tensors of the frame were copied
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(torch.Tensor, "to", full)
        here = make_sample(a_task(2, warm=True), "meta")
    devices = [{getattr(sample.batch, name).device.type for name in TENSORS} for sample in (there, here)]
    assert devices == [{"meta"}, {"cpu"}]
    for order in ([there, here], [here, there]):
        joined = join([sample.batch for sample in order])
        assert {(getattr(joined, name).device.type, len(getattr(joined, name))) for name in TENSORS} == {("meta", 2)}

"""The batch that fits into the memory of an accelerator, and the memory that a frame takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipeline.config.settings import Config
from pipeline.encoders import load_encoder
from pipeline.execute.batch_size import MAX_BATCH, automatic_batch_size, frame_bytes
from pipeline.stylers.neural import NeuralStyler
from pipeline.stylers.resources import Resources
from pipeline.types import FrameBatch
from tests.support.clips import texture

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))
GB = 1 << 30


def with_free_memory(monkeypatch: pytest.MonkeyPatch, free: int, *, reserved: int = 0, allocated: int = 0) -> None:
    """CUDA says that so many bytes are free, and that torch holds some, of which some are in use."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 * GB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: allocated)


@pytest.mark.parametrize(("free", "batch"), [(0, 1), (1 * GB, 1), (5 * GB, 4), (10 * GB, 8), (139 * GB, MAX_BATCH)])
def test_batch_takes_four_fifths_of_the_free_memory(monkeypatch: pytest.MonkeyPatch, free: int, batch: int) -> None:
    with_free_memory(monkeypatch, free)
    assert automatic_batch_size(CUDA, GB) == batch


def test_memory_that_torch_keeps_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with_free_memory(monkeypatch, 2 * GB, reserved=6 * GB, allocated=3 * GB)
    assert automatic_batch_size(CUDA, GB) == 4
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 9 * GB)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 4 * GB)
    assert automatic_batch_size(MPS, GB) == 4


def test_cpu_has_batches_of_one() -> None:
    assert automatic_batch_size(CPU, 1) == 1


class PeakBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The most bytes of tensors that were alive at a time, of those that were made inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._alive: dict[int, tuple[int, Any]] = {}

    def __torch_dispatch__(self, function, types, arguments=(), named=None):  # type: ignore[no-untyped-def]
        result = function(*arguments, **(named or {}))
        self._alive = {key: (size, ref) for key, (size, ref) in self._alive.items() if not ref.expired()}
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self._alive[storage._cdata] = (storage.nbytes(), StorageWeakRef(storage))  # type: ignore[no-untyped-call]
        self.most = max(self.most, sum(size for size, _ in self._alive.values()))
        return result


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_frame_takes_the_memory_that_is_expected(precision: str) -> None:
    """Not more, and not much less: the rest of the estimate is for the frames that wait."""
    side = 96
    settings = {"history": 3, "warm": {"evaluations": 5, "min_evaluations": 5}, "cold": {"evaluations": 5}}
    config = Config.model_validate({"style": {"images": [{"path": "x.png"}]}, "optimize": settings})
    encoder = load_encoder("compact", dtype=getattr(torch, precision))
    styler = NeuralStyler(config, [texture((64, 64), 1)], encoder, device=CPU)
    image, plane = torch.rand(1, 3, side, side), torch.rand(1, 1, side, side)
    styler.stylize(FrameBatch("warm", image, image, (1,), image, plane, (0.1,), plane))  # the targets of the style
    with PeakBytes() as peak:
        styler.stylize(FrameBatch("warm", image + 0, image + 0, (1,), image + 0, plane + 0, (0.1,), plane + 0))
    expected = frame_bytes(config, Resources(CPU, encoder=encoder, precision=precision), (side, side))  # type: ignore[arg-type]
    assert 0.6 * expected < peak.most <= expected


def test_stylers_without_a_network_take_little() -> None:
    config = Config.model_validate({"style": {"images": [{"path": "x.png"}]}, "styler": "palette"})
    assert frame_bytes(config, Resources(CPU, "float32", None), (20, 50)) < 1000 * 300

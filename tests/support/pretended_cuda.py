"""A CUDA device that is only pretended: its tensors say that they are on `cuda:0`, and the CPU computes them.

So code takes the way of an accelerator, with values. Mixed devices are refused as CUDA refuses them, copies between
pinned memory and the device take place when they are waited for, and operators, transfers and waits are counted. Fake
tensors cannot do that: where torch has no CUDA, their autograd ends the process.

What is private in torch, and what a device does otherwise than the CPU, stands here and nowhere else. Not seen:
kernels that are missing or round differently, streams beside the default one, memory, and time.
"""

from __future__ import annotations

import gc
import inspect
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import _lru_cache_wrapper
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

CUDA = torch.device("cuda")
_CURRENT = torch.device("cuda", 0)
_aten = torch.ops.aten
_disabled: Any = torch._C._disabled_torch_function_impl
_without_dispatch = torch._C._DisableTorchDispatch
_graph = torch.cuda.graph.__init__

_READING = {_aten._local_scalar_dense, _aten.nonzero, _aten.masked_select, _aten.equal, _aten._linalg_eigh}
"""Operators that wait for the device: their result, or its size or soundness, is for the host."""
_INDEXING = {_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_}
_STARTING_NOTHING = {"alias", "detach", "empty", "empty_like", "empty_strided", "new_empty", "_unsafe_view", "squeeze_"}
"""Operators without a kernel, beside views."""


class OnDevice(Tensor):
    """A tensor on the pretended device."""

    __torch_function__ = _disabled

    device: Any = property(lambda _: _CURRENT)
    is_cuda: Any = property(lambda _: True)

    def numpy(self, *, force: bool = False) -> Any:
        """As torch: only with `force`, which copies and waits."""
        if not force:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        return self.detach().cpu().numpy()

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def new_tensor(self, data: Any, **options: Any) -> Tensor:  # type: ignore[override]
        return torch.tensor(data, **{"dtype": self.dtype, "device": self.device, **options})


class Pinned(Tensor):
    """A tensor in pinned memory of the host."""

    __torch_function__ = _disabled


@dataclass(slots=True)
class Traffic:
    """What a device was given to do: `kernels` by operator, `copies` ("up" or "down", "pinned" or "pageable"), and
    `waits` of the host for it, by what it waited in."""

    kernels: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)


class PretendedCuda:
    """The device, and what it was given to do since `counting()` began."""

    def __init__(self) -> None:
        self.traffic = Traffic()
        self.largest: float = float("inf")
        """The most values of a tensor; for larger ones it is out of memory."""
        self._unfinished: list[Callable[[], None]] = []
        self._tape: list[Callable[[], None]] | None = None
        self._lock = threading.RLock()

    @contextmanager
    def counting(self) -> Iterator[Traffic]:
        """Count anew what all threads do within."""
        self.traffic = Traffic()
        yield self.traffic

    def wait(self, reason: str) -> None:
        """The host waits: what was begun is done now."""
        self._refuse_captured()
        with self._lock:
            self.traffic.waits[reason] += 1
            unfinished, self._unfinished = self._unfinished, []
        with _without_dispatch():
            for finish in unfinished:
                finish()

    def living_bytes(self) -> int:
        """Bytes of the tensors on the device that are still held."""
        with _without_dispatch():
            storages = [it.untyped_storage() for it in gc.get_objects() if type(it) is OnDevice]
        return sum({it.data_ptr(): it.nbytes() for it in storages}.values())

    def upload(self, source: Tensor, *, non_blocking: bool = False, dtype: torch.dtype | None = None) -> Tensor:
        """A tensor of the host on the device. Only pinned memory is copied as it is, and without waiting."""
        self._refuse_captured()
        direct = isinstance(source, Pinned) and source.is_contiguous() and dtype in (None, source.dtype)
        self.traffic.copies["up, pinned" if direct else "up, pageable"] += 1
        with _without_dispatch():
            kept = source.detach().clone()
            found = _as(OnDevice, kept.to(dtype or source.dtype, copy=True))
        if direct and non_blocking:

            def finish() -> None:
                assert torch.equal(source, kept), "pinned memory was overwritten before it was copied"

            self._unfinished.append(finish)
        else:
            self.wait("copy to the device")
        return found

    def download(self, source: Tensor, target: Tensor, *, non_blocking: bool = False) -> None:
        """Copy a tensor of the device to one of the host; until it is waited for, that holds something else."""
        direct = isinstance(target, Pinned) and target.is_contiguous() and source.dtype == target.dtype
        self.traffic.copies["down, pinned" if direct else "down, pageable"] += 1
        with _without_dispatch():
            kept = source.detach().clone()
            (target.view(torch.uint8) if target.dim() else target).fill_(0xA5 if target.dtype != torch.bool else 1)

        def finish() -> None:
            target.copy_(kept)

        self._unfinished.append(finish)
        if not (direct and non_blocking):
            self.wait("copy to the host")

    def run(self, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """An operator, as CUDA would run or refuse it."""
        given = [*_tensors(args), *_tensors(kwargs.values())]
        packet, device = function.overloadpacket, kwargs.get("device")
        if kwargs.get("pin_memory"):
            return _as(Pinned, function(*args, **{**kwargs, "pin_memory": False}))
        if device is not None and torch.device(device).type == "cuda":
            kwargs = {**kwargs, "device": "cpu"}
        elif not any(isinstance(it, OnDevice) for it in given):
            return function(*args, **kwargs)
        elif packet is _aten.copy_ and not all(isinstance(it, OnDevice) for it in given):
            return self._copied(*args)
        if packet in _INDEXING:
            given = self._without_indices(given, args[1])
        if not all(_may_be_given(it, function) for it in given):
            found = ", ".join(f"{list(it.shape)} on {it.device}" for it in given)
            raise RuntimeError(f"{function}: expected all tensors to be on the same device, found {found}")
        if packet in _READING:
            self.wait(packet.__name__)
        starts = not function.is_view and packet.__name__ not in _STARTING_NOTHING
        self.traffic.kernels[packet.__name__] += starts
        same = _same_memory((args, kwargs)) if self._tape is not None else None
        found = _computed(function, args, kwargs)
        for tensor in _tensors((found,)):
            _as(OnDevice, tensor)
            if tensor.numel() > self.largest:
                raise torch.OutOfMemoryError("CUDA out of memory")
        if self._tape is not None and starts:
            same_found = _same_memory(found)
            self._tape.append(lambda: _again(function, same, same_found))
        return found

    @contextmanager
    def capture(self, graph: Any, **options: Any) -> Iterator[None]:
        """`torch.cuda.graph`: what is done within is done again by the graph's `replay`."""
        inspect.signature(_graph).bind(None, graph, **options)
        self._tape = graph.tape
        try:
            yield
        finally:
            self._tape = None

    def _refuse_captured(self) -> None:
        if self._tape is not None:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

    def _copied(self, target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
        if isinstance(source, OnDevice):
            self.download(source, target, non_blocking=non_blocking)
        else:
            target.copy_(self.upload(source, non_blocking=non_blocking, dtype=target.dtype))
        return target

    def _without_indices(self, given: list[Tensor], indices: Any) -> list[Tensor]:
        """The tensors that are no indices. Indices of the host are uploaded, and masks are counted."""
        known = [it for it in indices if it is not None]
        for index in known:
            if not isinstance(index, OnDevice):
                self.upload(index)
            if index.dtype in (torch.bool, torch.uint8):
                self.wait("nonzero")
        return [it for it in given if not any(it is index for index in known)]


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, device: PretendedCuda) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._device.run(func, args, kwargs or {})


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among some values, and in lists of them: several times faster than `tree_iter`."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _as(kind: type[Tensor], tensor: Tensor) -> Tensor:
    """The tensor itself with another class: as its own view, it would lose what autograd knows of it."""
    tensor.__class__ = kind
    return tensor


def _same_memory(values: Any) -> Any:
    """Values with other tensors of the same memory, whose shapes nobody changes."""
    with _without_dispatch():
        return tree_map_only(Tensor, torch.Tensor.detach, values)


def _again(function: Any, given: Any, found: Any) -> None:
    """Compute an operator again, into the tensors that it gave."""
    args, kwargs = given
    with torch.no_grad(), _without_dispatch():
        for old, new in zip(tree_iter(found), tree_iter(_computed(function, args, kwargs)), strict=True):
            if isinstance(old, Tensor):
                old.copy_(new)


def _may_be_given(tensor: Tensor, function: Any) -> bool:
    """Whether CUDA takes the tensor: on the device, or one number of the host for an operator by element."""
    return isinstance(tensor, OnDevice) or (tensor.dim() == 0 and torch.Tag.pointwise in function.tags)


def _computed(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The result, also where only CUDA has one, in the memory order of CUDA."""
    if function is _aten.bmm.dtype:
        return torch.bmm(args[0].to(args[2]), args[1].to(args[2]))
    found = function(*args, **kwargs)
    return found.contiguous() if function.overloadpacket is _aten.reflection_pad2d else found


def _forget() -> None:
    """Clear what the package keeps on devices: a real one has the same name."""
    for kept in gc.get_objects():
        if type(kept) is _lru_cache_wrapper and kept.__module__.startswith("pipeline."):
            kept.cache_clear()


@contextmanager
def pretended_cuda(capability: tuple[int, int] = (9, 0)) -> Iterator[PretendedCuda]:
    """A pretended device of a compute capability, for this thread and those that begin within."""
    device = PretendedCuda()
    run, to, tensor = threading.Thread.run, Tensor.to, torch.tensor

    def run_with_device(thread: threading.Thread) -> None:
        with _Mode(device):
            run(thread)

    def moved(own: Tensor, *args: Any, **options: Any) -> Tensor:
        """`Tensor.to`."""
        place: Any = options.pop("device", None)
        if args and isinstance(args[0], Tensor):
            place, options["dtype"], args = args[0].device, args[0].dtype, args[1:]
        elif args and isinstance(args[0], str | torch.device | None):
            place, args = args[0], args[1:]
        kind = own.device.type if place is None else torch.device(place).type
        if kind == own.device.type:
            return to(own, *args, **options) if args or options else own
        options.update(zip(("dtype", "non_blocking"), args, strict=False))
        dtype, non_blocking = options.get("dtype"), bool(options.get("non_blocking"))
        if kind == "cuda":
            return device.upload(own, non_blocking=non_blocking, dtype=dtype)
        target = torch.empty(own.shape, dtype=dtype or own.dtype)
        device.download(own, target, non_blocking=non_blocking)
        return target

    def pinned(own: Tensor) -> Tensor:
        return _as(Pinned, own.clone(memory_format=torch.contiguous_format))

    def made(data: Any, *args: Any, **options: Any) -> Tensor:
        """`torch.tensor`, which builds on the host and copies."""
        place = options.pop("device", None)
        return moved(tensor(data, *args, **options), place)

    class Stream:
        def synchronize(self) -> None:
            device.wait("synchronize")

        def wait_stream(self, _other: Stream) -> None:
            pass

    class Graph:
        def __init__(self) -> None:
            self.tape: list[Callable[[], None]] = []

        def replay(self) -> None:
            for run_again in self.tape:
                run_again()

    _forget()
    with pytest.MonkeyPatch.context() as patch, _Mode(device):
        patch.setattr(threading.Thread, "run", run_with_device)
        patch.setattr(Tensor, "to", moved)
        patch.setattr(Tensor, "cpu", lambda own: moved(own, "cpu"))
        patch.setattr(Tensor, "cuda", lambda own: moved(own, CUDA))
        patch.setattr(Tensor, "pin_memory", pinned)
        patch.setattr(torch, "tensor", made)
        patch.setattr(torch, "as_tensor", made)
        patch.setattr(torch.cuda, "Stream", Stream)
        patch.setattr(torch.cuda, "CUDAGraph", Graph)
        patch.setattr(torch.cuda, "graph", device.capture)
        for name, answer in {
            "_lazy_init": None,
            "current_stream": Stream(),
            "empty_cache": None,
            "get_device_capability": capability,
            "get_device_name": "pretended",
            "graph_pool_handle": (0, 1),
            "is_available": True,
            "is_bf16_supported": True,
            "mem_get_info": (64 << 30, 80 << 30),
            "memory_allocated": 1 << 30,
            "memory_reserved": 2 << 30,
            "stream": nullcontext(),
            "synchronize": None,
        }.items():
            assert hasattr(torch.cuda, name), name
            patch.setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)
        try:
            yield device
            device.wait("the end")
        finally:
            _forget()

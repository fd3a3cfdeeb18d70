"""A CUDA device that is only pretended: its tensors say that they are on `cuda:0`, and the CPU computes them.

So code takes the way of an accelerator, with values. Mixed devices are refused as CUDA refuses them, copies between
pinned memory and the device take place when they are waited for, and operators, transfers and waits are counted. Fake
tensors cannot do that: where torch has no CUDA, their autograd ends the process.

What is private in torch, and what a device does otherwise than the CPU, stands here and nowhere else. Not seen:
kernels that are missing or round differently, streams beside the default one, memory, and time.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

CUDA = torch.device("cuda")
_CURRENT = torch.device("cuda", 0)
_aten = torch.ops.aten
_disabled = torch._C._disabled_torch_function_impl
_without_dispatch = torch._C._DisableTorchDispatch

_READING = {_aten._local_scalar_dense, _aten.nonzero, _aten.masked_select, _aten.equal, _aten._linalg_eigh}
"""Operators that wait for the device: their result, or its size or soundness, is for the host."""
_INDEXING = {_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_}
_STARTING_NOTHING = {"alias", "detach", "empty", "empty_like", "empty_strided", "new_empty", "_unsafe_view"}
"""Operators without a kernel, beside views."""


class OnDevice(Tensor):
    """A tensor on the pretended device."""

    __torch_function__ = _disabled

    @property
    def device(self) -> torch.device:
        return _CURRENT

    @property
    def is_cuda(self) -> bool:
        return True

    def numpy(self, *, force: bool = False) -> Any:
        """As torch: only with `force`, which copies and waits."""
        if not force:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        return self.detach().cpu().numpy()

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def new_tensor(self, data: Any, **options: Any) -> Tensor:
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
        self._unfinished: list[Callable[[], None]] = []
        self._lock = threading.RLock()

    @contextmanager
    def counting(self) -> Iterator[Traffic]:
        """Count anew what all threads do within."""
        self.traffic = Traffic()
        yield self.traffic

    def wait(self, reason: str) -> None:
        """The host waits: what was begun is done now."""
        with self._lock:
            self.traffic.waits[reason] += 1
            unfinished, self._unfinished = self._unfinished, []
        with _without_dispatch():
            for finish in unfinished:
                finish()

    def upload(self, source: Tensor, *, non_blocking: bool = False, dtype: torch.dtype | None = None) -> Tensor:
        """A tensor of the host on the device. Only pinned memory is copied as it is, and without waiting."""
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
        given = [it for it in tree_iter((args, kwargs)) if isinstance(it, Tensor)]
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
        if not function.is_view and packet.__name__ not in _STARTING_NOTHING:
            self.traffic.kernels[packet.__name__] += 1
        return tree_map_only(Tensor, lambda tensor: _as(OnDevice, tensor), _computed(function, args, kwargs))

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


class _Mode(TorchDispatchMode):
    def __init__(self, device: PretendedCuda) -> None:
        super().__init__()
        self._device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._device.run(func, args, kwargs or {})


def _as(kind: type[Tensor], tensor: Tensor) -> Tensor:
    """The tensor itself with another class: as its own view, it would lose what autograd knows of it."""
    tensor.__class__ = kind
    return tensor


def _may_be_given(tensor: Tensor, function: Any) -> bool:
    """Whether CUDA takes the tensor: on the device, or one number of the host for an operator by element."""
    return isinstance(tensor, OnDevice) or (tensor.dim() == 0 and torch.Tag.pointwise in function.tags)


def _computed(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The result, also where only CUDA has one, in the memory order of CUDA."""
    if function is _aten.bmm.dtype:
        return torch.bmm(args[0].to(args[2]), args[1].to(args[2]))
    found = function(*args, **kwargs)
    return found.contiguous() if function.overloadpacket is _aten.reflection_pad2d else found


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

    with pytest.MonkeyPatch.context() as patch, _Mode(device):
        patch.setattr(threading.Thread, "run", run_with_device)
        patch.setattr(Tensor, "to", moved)
        patch.setattr(Tensor, "cpu", lambda own: moved(own, "cpu"))
        patch.setattr(Tensor, "cuda", lambda own: moved(own, CUDA))
        patch.setattr(Tensor, "pin_memory", pinned)
        patch.setattr(torch, "tensor", made)
        patch.setattr(torch, "as_tensor", made)
        for name, answer in {
            "_lazy_init": None,
            "current_stream": Stream(),
            "empty_cache": None,
            "get_device_capability": capability,
            "get_device_name": "pretended",
            "is_available": True,
            "is_bf16_supported": True,
            "mem_get_info": (64 << 30, 80 << 30),
            "memory_allocated": 1 << 30,
            "memory_reserved": 2 << 30,
            "synchronize": None,
        }.items():
            assert hasattr(torch.cuda, name), name
            patch.setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)
        yield device
        device.wait("the end")

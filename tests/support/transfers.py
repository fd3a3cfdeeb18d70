"""Counts how often a program would wait for an accelerator, where there is none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class HostTransfers(TorchFunctionMode):
    """Counts, on any device, the calls that bring values to the host, and indexing by a mask, which does so too."""

    WAITING = (
        *(Tensor.cpu, Tensor.item, Tensor.tolist, Tensor.nonzero),
        *(Tensor.__bool__, Tensor.__float__, Tensor.__int__, Tensor.__array__),
    )
    INDEXING = (Tensor.__getitem__, Tensor.__setitem__)

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        masked = func in self.INDEXING and isinstance(args[1], Tensor) and args[1].dtype == torch.bool
        self.count += func in self.WAITING or masked
        return func(*args, **(kwargs or {}))

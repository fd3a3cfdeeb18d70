"""Arrays to a device and back. With CUDA they pass through pinned memory, so that a copy does not hold up the thread
that starts it; elsewhere nothing is pinned and no function of CUDA is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray


def upload(array: NDArray[Any], device: torch.device | None = None) -> torch.Tensor:
    """The array as a tensor on a device (None: the CPU, where it may share the memory of the array).

    With CUDA the copy is queued on the current stream, and the array may be changed at once.
    """
    import torch

    tensor = torch.from_numpy(np.require(array, requirements=["C", "W"]))
    if device is None or device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def take(tensor: torch.Tensor, positions: Sequence[int] | NDArray[np.int64]) -> torch.Tensor:
    """The entries at these positions along the first axis; with CUDA the device is not waited for, as by a list."""
    return tensor[upload(np.asarray(positions, np.int64), tensor.device)]


def download(*tensors: torch.Tensor) -> list[NDArray[Any]]:
    """Tensors of one device as arrays, with one synchronization for all of them."""
    import torch

    if tensors[0].device.type != "cuda":
        return [tensor.numpy(force=True) for tensor in tensors]
    hosts = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) for tensor in tensors]
    for host, tensor in zip(hosts, tensors, strict=True):
        host.copy_(tensor.detach(), non_blocking=True)
    torch.cuda.current_stream(tensors[0].device).synchronize()
    # Copied once more: pinned memory is for the next transfer, not for frames that a chain keeps.
    return [host.numpy().copy() for host in hosts]

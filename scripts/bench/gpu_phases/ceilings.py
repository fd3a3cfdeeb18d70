"""The phases "ceilings" and "transfers": how fast the device copies, multiplies matrices, and talks to the host."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from gpu_phases.setting import Row, Setting, attempt
from gpu_phases.timing import measure

COPY_BYTES = 2**30
MATRIX_SIDES = {"bfloat16": 8192, "float32": 8192, "float32, TF32 allowed": 8192, "float64": 4096}


def rows(setting: Setting) -> Iterator[Row]:
    """Copies within the device in GB/s, read and written bytes counted; products of square matrices in TFLOP/s."""
    size = 2**22 if setting.small else COPY_BYTES
    yield attempt({"what": "copy", "bytes": size}, partial(_copy, size, setting.device))
    for name, large in MATRIX_SIDES.items():
        side = 128 if setting.small else large
        yield attempt(
            {"what": "matrix product", "dtype": name, "side": side}, partial(_product, name, side, setting.device)
        )


def _copy(size: int, device: str) -> Row:
    source = torch.rand(size // 4, device=device)
    target = torch.empty_like(source)
    timed = measure(lambda: target.copy_(source), device)
    return {**timed, "gb_per_s": round(2 * size / timed["ms"] / 1e6, 1)}


def _product(name: str, side: int, device: str) -> Row:
    dtype = getattr(torch, name.partition(",")[0])
    torch.backends.cuda.matmul.allow_tf32 = "TF32" in name
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    timed = measure(lambda: left @ right, device)
    return {**timed, "tflops": round(2 * side**3 / timed["ms"] / 1e9, 2)}


def transfers(setting: Setting) -> Iterator[Row]:
    """Host to device and back, from pageable and from pinned memory: one frame as bytes, as floats, and much."""
    height, width = setting.size
    sizes = {"a frame, uint8": 3 * height * width, "a frame, float32": 12 * height * width, "much": 2**28}
    if setting.small:
        del sizes["much"]
    for what, size in sizes.items():
        for pinned in (False, True):
            for to_device in (True, False):
                facts = {"what": what, "bytes": size, "pinned": pinned, "to": "device" if to_device else "host"}
                yield attempt(facts, partial(_transfer, size, pinned, to_device, setting.device))


def _transfer(size: int, pinned: bool, to_device: bool, device: str) -> Row:
    if pinned and device != "cuda":
        raise ModuleNotFoundError("pinned memory needs CUDA")
    host = torch.randint(0, 256, (size,), dtype=torch.uint8)
    host = host.pin_memory() if pinned else host
    other = torch.empty(size, dtype=torch.uint8, device=device)
    source, target = (host, other) if to_device else (other, host)
    timed = measure(lambda: target.copy_(source, non_blocking=pinned), device)
    return {**timed, "gb_per_s": round(size / timed["ms"] / 1e6, 2)}

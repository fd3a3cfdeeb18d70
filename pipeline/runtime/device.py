"""The choice of the device and of the precision of the features, and what is set before anything is computed."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Final, Literal

import torch

from pipeline.errors import MissingPartError
from pipeline.runtime.c_library import glibc_function
from pipeline.runtime.threads import keep_freed_memory

Precision = Literal["float32", "bfloat16"]
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}

ALLOCATOR_SETTINGS: Final = {"PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"}
"""Environment variables that torch's allocator for CUDA reads at the first allocation."""


def choose_device(name: str) -> torch.device:
    """The device called `auto`, `cpu`, `cuda` or `mps`; `auto` takes the first available of cuda, mps and cpu.

    Raises MissingPartError if the device asked for is not available to this build of torch.
    """
    found = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(candidate for candidate in ("cuda", "mps", "cpu") if found[candidate])
    if not found.get(name, False):
        raise MissingPartError(
            f"device {name}: not available with torch {torch.__version__}",
            hint="use --device cpu, or install the torch build for your accelerator; `tempera doctor` shows what works",
        )
    return torch.device(name)


def use_threads(count: int) -> None:
    """Compute with `count` CPU threads from now on, in the whole process; 0: as many as before."""
    if count:
        torch.set_num_threads(count)


@lru_cache(maxsize=64)
def constants(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Numbers as a float32 tensor on a device, made once: each copy to an accelerator would make it wait.

    The tensor is shared and must not be modified.
    """
    return torch.tensor(values, dtype=torch.float32, device=device)


def release_freed_memory() -> None:
    """Return to the system what was freed and kept: before other blocks are needed, or after memory ran out."""
    gc.collect()  # an exception that was caught may hold tensors of the frames that it passed through
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim = glibc_function("malloc_trim")
    if trim is not None:
        trim(0)


def prepare_device(device: torch.device, environment: MutableMapping[str, str] = os.environ) -> None:
    """Make the settings under which everything is computed on this device; to be called before anything is.

    Products in float32 are never rounded to TF32 (ten bits), which torch allows convolutions by default. With CUDA,
    cuDNN measures its algorithms for every new size, and unless the environment has settings for the allocator, its
    segments can grow, so that memory is not fragmented by the many sizes of cold frames.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if device.type == "cpu":
        keep_freed_memory()
    elif device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        if sys.platform.startswith("linux") and not ALLOCATOR_SETTINGS & environment.keys():
            environment["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"


def choose_precision(setting: str, device: torch.device) -> Precision:
    """Precision of the features: bfloat16 where the hardware multiplies it natively, float32 elsewhere.

    Emulated bfloat16 is several times slower than float32, so `auto` asks the processor: AVX512-BF16 or AMX on x86 (the
    BF16 extension on ARM is not used, because it has not been measured). Statistics and losses are float32 in any case.
    """
    if setting == "float32":
        return "float32"
    if setting == "bfloat16":
        return "bfloat16"
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return "bfloat16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"
    return "float32"

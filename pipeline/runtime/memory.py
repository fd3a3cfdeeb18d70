"""How much memory is free: on an accelerator, or in this process's share of the machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

CGROUP_FILES = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
"""Limit and use of a container, versions 2 and 1 of Linux's control groups."""


def free_bytes(device: torch.device) -> int:
    """Bytes that can still be allocated on a device.

    On the CPU the least of what the machine has available, what a container's limit leaves, and what the limit of the
    process's address space (`ulimit -v`) leaves. Without any of these figures: half of the machine's memory, or 4 GB.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    found = [figure for figure in (_available(), *_containers(), _address_space()) if figure is not None]
    return max(0, min(found)) if found else _half_of_the_machine()


def resident_bytes() -> int:
    """Bytes of memory that this process has now; 0 where the system does not say."""
    return _field(Path("/proc/self/status"), "VmRSS") or 0


def _available() -> int | None:
    return _field(Path("/proc/meminfo"), "MemAvailable")


def _containers() -> list[int | None]:
    return [_left(limit, used) for limit, used in CGROUP_FILES]


def _left(limit: Path, used: Path) -> int | None:
    """The difference of two files that hold a number each; None if there are none, or no limit."""
    try:
        return int(limit.read_text()) - int(used.read_text())
    except (OSError, ValueError):
        return None


def _address_space() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _field(Path("/proc/self/status"), "VmSize")
    return None if limit == resource.RLIM_INFINITY or used is None else limit - used


def _field(path: Path, key: str) -> int | None:
    """A figure in kB of a file of lines `key: 1234 kB`, in bytes."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return None


def _half_of_the_machine() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return 4 << 30

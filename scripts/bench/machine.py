"""On which machine and with which versions a benchmark ran: a part of every result. A module of the benchmarks."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path


def processor() -> str:
    """Name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str:
    """Short name of the commit that is checked out, "" outside of a repository or without git."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    here = Path(__file__).resolve().parent
    try:
        return subprocess.run(command, cwd=here, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""


def environment() -> dict[str, str]:
    """Processor and threads, commit, versions of torch and Python."""
    import torch

    return {
        "cpu": f"{processor()}, {torch.get_num_threads()} threads",
        "commit": commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }

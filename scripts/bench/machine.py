"""On which machine and with which versions a benchmark ran, and the end of every result. A module of the benchmarks."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any


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


def finish_report(report: dict[str, Any], out: Path | None, **versions: str) -> None:
    """Print a result as the last line, and write it into `out` where one is given.

    Processor, cores and threads of OpenCV, versions (Python's, OpenCV's, NumPy's and the given ones) and the commit
    are added to it.
    """
    import cv2
    import numpy as np

    report |= {
        "machine": {"processor": processor(), "cores": os.cpu_count(), "threads": cv2.getNumThreads()},
        "versions": {
            "python": platform.python_version(),
            "opencv": cv2.__version__,
            "numpy": np.__version__,
            **versions,
        },
        "commit": commit(),
    }
    write_report(report, out)


def write_report(report: dict[str, Any], out: Path | None) -> None:
    """Print a result as it is as the last line, and write it into `out` where one is given."""
    if out:
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report))

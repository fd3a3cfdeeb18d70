"""Two settings of the runtime: how threads wait during one evaluation, and whether freed memory is kept.

    python scripts/bench/runtime.py

Threads spin until there is work, sleep at once, or spin briefly and then sleep, as the command line has them. Each
measurement is a process of its own, because the OpenMP runtime reads its policy once; alone, and beside one busy
process per core. The last line is JSON: median milliseconds and the fastest and slowest run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time

from pipeline.runtime.threads import BRIEF

RUNS = 30
WAITING = {
    "spin": {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "30000000000"},
    "sleep": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"},
    "brief": BRIEF,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--keep-memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(keep=options.keep_memory)
        return
    rows = []
    for company in (0, os.cpu_count() or 1):
        busy = [multiprocessing.Process(target=spin, daemon=True) for _ in range(company)]
        for process in busy:
            process.start()
        for _ in range(2):  # twice, in turn: the speed of the machine changes
            for waiting, keep in (("spin", True), ("sleep", True), ("brief", False), ("brief", True)):
                environment = {**os.environ, **WAITING[waiting]}
                command = [sys.executable, __file__, "--measure", *(["--keep-memory"] if keep else [])]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                figures = json.loads(done.stdout)
                rows.append({"waiting": waiting, "memory_kept": keep, "busy_processes": company, **figures})
                sys.stderr.write(f"{rows[-1]}\n")
        for process in busy:
            process.kill()
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    sys.stdout.write(json.dumps({"machine": machine, "rows": rows}) + "\n")


def spin() -> None:
    while True:
        sum(range(100_000))


def measure(*, keep: bool) -> None:
    import torch

    from pipeline.config.losses import LossSettings
    from pipeline.encoders.load import load_encoder
    from pipeline.optimize.objective import Objective, style_target
    from pipeline.runtime.threads import keep_freed_memory

    if keep:
        keep_freed_memory()
    encoder = load_encoder("compact", dtype=torch.bfloat16)
    images, settings = torch.rand(1, 3, 384, 512), LossSettings()
    style = style_target(encoder, settings, torch.rand(1, 3, 384, 512), 100.0)
    objective = Objective.of(encoder, settings, images, (style,))
    times = []
    for run in range(RUNS + 3):
        began = time.perf_counter()
        objective(images)
        if run >= 3:
            times.append(1e3 * (time.perf_counter() - began))
    figures = {"median_ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times)}
    sys.stdout.write(json.dumps({key: round(value, 1) for key, value in figures.items()}))


if __name__ == "__main__":
    main()

"""What a GPU makes of Tempera, in one command: is it correct there, how fast, and how far from what the GPU can do.

    python scripts/bench/gpu.py --out gpu.jsonl [--phases correctness,evaluation] [--deadline 540]

Each phase is a process of its own with a deadline; one that crashes or hangs is recorded, and the next begins. Rows are
appended to --out as JSON lines as soon as they are measured, so that nothing is lost with the machine. Rows of other
phases stay in the file, so that phases can be run one by one:

- correctness: CPU against GPU, batched against single, a NaN frame in the batch, halving when out of memory
- ceilings: copies and matrix products; convolutions: every layer of the encoders alone, 1280x720, bfloat16
- evaluation: the objective by encoder and batch: ms, TFLOP/s, share of the ceiling, kernels, synchronizations, memory
- minimizer: what L-BFGS adds to an evaluation; graph: an evaluation as a CUDA graph
- roots: traces of matrix roots by method; warp, transfers, storing, flow: what is done beside the evaluations
- miniature: 64 frames of 1280x720, how busy the GPU is, and how long 900 frames would take

torch and NumPy suffice: what needs more is skipped and says so. With `--device cpu`, or `--small`, sizes are miniature.
The last line on stdout is JSON with all rows.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from gpu_phases.setting import Setting, append, read_rows
from gpu_phases.standins import install

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Phase:
    """A function of a module of `gpu_phases`, and the seconds that it may take."""

    module: str
    function: str
    seconds: float


PHASES = {
    "correctness": Phase("correctness", "rows", 50),
    "ceilings": Phase("ceilings", "rows", 25),
    "convolutions": Phase("convolutions", "rows", 60),
    "evaluation": Phase("evaluation", "rows", 120),
    "minimizer": Phase("evaluation", "minimizer", 45),
    "roots": Phase("roots", "rows", 45),
    "miniature": Phase("miniature", "rows", 100),
    "graph": Phase("evaluation", "graph", 25),
    "warp": Phase("around", "warp", 15),
    "transfers": Phase("ceilings", "transfers", 15),
    "storing": Phase("around", "storing", 15),
    "flow": Phase("around", "flow", 20),
}
"""In this order: what matters most comes first."""
HIDDEN = {"hang": Phase("faults", "hang", 4), "crash": Phase("faults", "crash", 10)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="JSON lines; rows of the phases that run are replaced")
    add("--device", choices=("cuda", "cpu"), default="cuda")
    add("--small", action="store_true", help="miniature sizes; the CPU always has them")
    add("--deadline", type=float, default=540.0, help="seconds for all phases")
    add("--phases", default=",".join(PHASES), help="some of them, in this order")
    add("--without", default="", help="libraries that are treated as if they were not installed")
    add("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        leave(options)
    names = options.phases.split(",")
    if unknown := [name for name in names if name not in {**PHASES, **HIDDEN}]:
        parser.error(f"--phases {','.join(unknown)}: the phases are {', '.join(PHASES)}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    kept = [row for row in read_rows(options.out) if row["phase"] not in ("environment", *names)]
    options.out.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    began = time.monotonic()
    for name in names:
        left = options.deadline - (time.monotonic() - began)
        record = start_phase(name, options, left) if left >= 1 else {"outcome": "skipped", "reason": "no time is left"}
        append(options.out, {"phase": name, **record})
        print(name, *record.values(), file=sys.stderr, flush=True)
    rows = read_rows(options.out)
    for name in names:
        print(table(name, [row for row in rows if row["phase"] == name]))
    print(json.dumps({"benchmark": "gpu", "device": options.device, "small": is_small(options), "rows": rows}))


def is_small(options: argparse.Namespace) -> bool:
    return bool(options.small or options.device == "cpu")


def start_phase(name: str, options: argparse.Namespace, left: float) -> dict[str, Any]:
    """Run a phase in a process of its own, and end that process with all its children when its time is over."""
    phase = {**PHASES, **HIDDEN}[name]
    command = [sys.executable, __file__, "--run", name, "--out", str(options.out), "--device", options.device]
    command += ["--without", options.without, *(["--small"] if options.small else [])]
    # The package of this checkout, also where another one or none is installed.
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    if options.device == "cpu":
        environment["OMP_NUM_THREADS"] = "1"  # enough for miniature sizes, also beside other work
    patience = 4 if options.device == "cpu" and name in PHASES else 1  # there it is tried beside other work
    limit = min(patience * phase.seconds, left)
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        errors = process.communicate(timeout=limit)[1]
        said = errors.decode("utf-8", "replace").strip().splitlines()[-1:] or ["nothing was said"]
        failed = {"outcome": "failed", "reason": said[0], "exit_code": process.returncode}
        outcome = failed if process.returncode else {"outcome": "done"}
    except subprocess.TimeoutExpired:
        outcome = {"outcome": "stopped", "reason": f"not done after {limit:.0f} s"}
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):  # it may hang in the driver
                process.communicate(timeout=10)
    return {**outcome, "seconds": round(time.monotonic() - began, 2)}


def leave(options: argparse.Namespace) -> NoReturn:
    """Run a phase and end its process at once: at an ordinary end, threads of the profiler may never be done."""
    code = 0
    try:
        run_phase(options)
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)


def run_phase(options: argparse.Namespace) -> None:
    """In the process of a phase: append its rows as they are found."""
    from pipeline.runtime.threads import limit_spinning

    limit_spinning()
    missing = install([name for name in options.without.split(",") if name])
    if options.run not in HIDDEN:
        prepare(options.device)
        if not any(row["phase"] == "environment" for row in read_rows(options.out)):
            append(options.out, {"phase": "environment", **environment(options.device, missing)})
    phase = {**PHASES, **HIDDEN}[options.run]
    rows: Any = getattr(importlib.import_module(f"gpu_phases.{phase.module}"), phase.function)
    for row in rows(Setting(options.device, is_small(options), options.out)):
        append(options.out, {**row, "phase": options.run})


def prepare(device: str) -> None:
    """Make the settings that the package makes for a device, in revisions that make any."""
    import torch

    import pipeline.runtime.device

    getattr(pipeline.runtime.device, "prepare_device", lambda _device: None)(torch.device(device))


def environment(device: str, missing: list[str]) -> dict[str, Any]:
    """The machine, and libraries that have stand-ins."""
    import torch
    from machine import environment as of_machine

    found: dict[str, Any] = {**of_machine(), "stand_ins": missing}
    if device == "cuda":
        found |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
        found["tf32_convolutions"] = torch.backends.cudnn.allow_tf32
        found["gpu_memory_mb"] = round(torch.cuda.get_device_properties(0).total_memory / 1e6)
    return found


def table(name: str, rows: list[dict[str, Any]]) -> str:
    """The rows of a phase as text: rows with the same keys below each other under one head."""
    outcome = next(row for row in rows if "outcome" in row)
    lines = [f"== {name}: " + ", ".join(f"{value}" for key, value in outcome.items() if key != "phase")]
    groups: dict[tuple[str, ...], list[list[str]]] = {}
    for row in rows:
        if "outcome" not in row:
            cells = {key: "" if value is None else str(value) for key, value in row.items() if key != "phase"}
            groups.setdefault(tuple(cells), []).append(list(cells.values()))
    for keys, group in groups.items():
        widths = [max(map(len, column)) for column in zip(keys, *group, strict=True)]
        lines += [aligned(cells, widths) for cells in (keys, *group)]
    return "\n".join(lines)


def aligned(cells: Iterable[str], widths: Iterable[int]) -> str:
    return "  " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


if __name__ == "__main__":
    main()

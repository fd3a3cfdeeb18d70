"""Whether cost grows as the work does: seconds per pixel from 0.1 to 24 megapixels, per frame from 10 to 1000 frames.

    python scripts/bench/scaling.py --out scaling.json --plot scaling.svg
    python scripts/bench/scaling.py --out scaling.json --megapixels 0.1,0.3 --frames 10,30

Each size is measured in a process of its own: one evaluation of the objective of a warm frame, and a warm frame of
three evaluations. Each clip, of moving frames of 96x64 px, is rendered by `tempera render` with two evaluations for a
warm frame. Seconds per frame are given with the start and the writing of the video (the whole command over its frames)
and without them (from the first stored frame to the last). Results are added to those in --out, so that it can run in
parts, and the plot shows all of them. The last line on stdout is JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from gpu_phases import subjects
from gpu_phases.timing import synchronize
from machine import environment
from resume_start import make_clip

from pipeline.config.settings import OptimizeSettings, WarmSettings
from pipeline.evaluate.plot import check_plot
from pipeline.media.image.png import save_png
from pipeline.runtime.device import DTYPES, choose_precision
from pipeline.runtime.threads import BRIEF, keep_freed_memory
from pipeline.types import FrameBatch

MEGAPIXELS = "0.1,0.3,0.9,2.1,8.3,24"
FRAMES = "10,30,100,300,1000"
FRAME_SIZE = (96, 64)
"""Width and height of the frames of clips, px."""
QUICK = (
    "optimize.cold.evaluations=4",
    "optimize.cold.min_scale_px=64",
    "optimize.warm.evaluations=2",
    "optimize.warm.min_evaluations=1",
)
WARM_EVALUATIONS = 3
ROUNDS = 5
"""Timed runs; of those that take long, two."""
LONG_S = 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="JSON; results of sizes and clips that are not measured now stay")
    add("--plot", type=Path, help=".svg or .png of everything in --out; needs matplotlib")
    add("--megapixels", default=MEGAPIXELS, help="sizes of frames; empty: none")
    add("--frames", default=FRAMES, help="lengths of clips; empty: none")
    add("--encoder", default="compact")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--measure", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure_size(options.measure, options.encoder, options.device)))
        return
    if options.plot:
        check_plot(options.plot)
    known = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    result = {"benchmark": "scaling", "encoder": options.encoder, "device": options.device, **environment()}
    result |= {"sizes": known.get("sizes", []), "clips": known.get("clips", [])}
    for megapixels in map(float, filter(None, options.megapixels.split(","))):
        put(result["sizes"], "megapixels", in_a_process(megapixels, options))
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for frames in map(int, filter(None, options.frames.split(","))):
        put(result["clips"], "frames", render_clip(frames, options.encoder, options.device))
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        draw(result, options.plot)
    print(json.dumps(result))


def put(rows: list[dict[str, Any]], key: str, row: dict[str, Any]) -> None:
    """Enter a row in its place, instead of an older one with the same key."""
    print(json.dumps(row), file=sys.stderr, flush=True)
    rows[:] = sorted([*(old for old in rows if old[key] != row[key]), row], key=lambda each: float(each[key]))


def in_a_process(megapixels: float, options: argparse.Namespace) -> dict[str, Any]:
    """What `measure_size` finds in a process of its own; a process that is killed for its memory is recorded."""
    command = [sys.executable, __file__, "--measure", str(megapixels), "--out", str(options.out)]
    command += ["--encoder", options.encoder, "--device", options.device]
    done = subprocess.run(command, env={**os.environ, **BRIEF}, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return {"megapixels": megapixels, "failed": f"exit code {done.returncode}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_size(megapixels: float, encoder_name: str, device: str) -> dict[str, Any]:
    """Seconds and memory of an evaluation and of a warm frame of about so many megapixels, 16:9."""
    keep_freed_memory()
    size = size_of(megapixels)
    dtype = DTYPES[choose_precision("auto", torch.device(device))]
    encoder = subjects.encoder(encoder_name, device, dtype)
    content = frame(size).to(device)
    before = peak_mb(device)
    evaluation_s = seconds_of(partial(subjects.warm_objective(encoder, content), content), device)
    warm = WarmSettings(evaluations=WARM_EVALUATIONS, min_evaluations=WARM_EVALUATIONS, tolerance=0.0)
    styler = subjects.styler(encoder, OptimizeSettings(warm=warm))
    batch = FrameBatch("warm", content, content, (0,), content, torch.ones_like(content[:, :1]))
    warm_s = seconds_of(partial(styler.stylize, batch), device)
    actual = size[0] * size[1] / 1e6
    return {
        "megapixels": megapixels,
        "size_px": [size[1], size[0]],
        "evaluation_s": round(evaluation_s, 4),
        "evaluation_s_per_megapixel": round(evaluation_s / actual, 4),
        "warm_frame_s": round(warm_s, 4),
        "warm_frame_s_per_megapixel": round(warm_s / actual, 4),
        "before_mb": before,
        "peak_mb": peak_mb(device),
    }


def size_of(megapixels: float) -> tuple[int, int]:
    """(height, width) in px of a frame of 16:9, both even."""
    height = math.sqrt(megapixels * 1e6 * 9 / 16)
    return 2 * round(height / 2), 2 * round(height * 8 / 9)


def frame(size: tuple[int, int]) -> torch.Tensor:
    """A frame (1, 3, H, W) of a texture that repeats itself, because a new one would take longer than the rest."""
    small = subjects.tensor(subjects.texture(360, 640, 0))
    repeats = (1, 1, -(-size[0] // small.shape[2]), -(-size[1] // small.shape[3]))
    return small.repeat(repeats)[..., : size[0], : size[1]].contiguous()


def seconds_of(run: Callable[[], object], device: str) -> float:
    """Median seconds of a run, after one that is not counted."""
    times: list[float] = []
    while len(times) < ROUNDS + 1 and (len(times) < 3 or times[-1] < LONG_S):
        began = time.perf_counter()
        run()
        synchronize(device)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def peak_mb(device: str) -> int:
    """Most memory so far in MB: of the process on the CPU, else what was allocated on the device."""
    if device == "cuda":
        return round(torch.cuda.max_memory_allocated() / 1e6)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def render_clip(frames: int, encoder_name: str, device: str) -> dict[str, Any]:
    """Seconds per frame and memory of `tempera render` for a clip of so many small frames."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_clip(home / "clip.mp4", frames, *FRAME_SIZE)
        save_png(home / "style.png", subjects.texture(128, 128, 99))
        command = [sys.executable, "-m", "pipeline", "render", "clip.mp4", "--style", "style.png", "-o", "v.mp4"]
        command += ["--encoder", encoder_name, "--device", device, "--progress", "json"]
        command += [f"--set={setting}" for setting in QUICK]
        stored: list[float] = []
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("{") and json.loads(line).get("event") == "frame":
                stored.append(time.perf_counter())
        _, status, usage = os.wait4(process.pid, 0)  # its own memory, not the most of all processes so far
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
    if process.returncode:
        return {"frames": frames, "failed": f"exit code {process.returncode}"}
    return {
        "frames": frames,
        "seconds": round(seconds, 3),
        "start_s": round(stored[0] - began, 3),
        "s_per_frame": round((stored[-1] - stored[0]) / (len(stored) - 1), 5),
        "s_per_frame_with_start": round(seconds / frames, 5),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


PANELS = (
    ("sizes", "megapixels", {"evaluation_s_per_megapixel": "evaluation", "warm_frame_s_per_megapixel": "warm frame"}),
    ("clips", "frames", {"s_per_frame": "without the start", "s_per_frame_with_start": "the whole command"}),
    ("sizes", "megapixels", {"peak_mb": ""}),
    ("clips", "frames", {"peak_mb": ""}),
)
"""What is drawn: the rows, what is below each other in them, and the lines with their names."""
TITLES = ("seconds per megapixel", "seconds per frame", "peak memory, MB", "peak memory, MB")
COLORS = ("#0072B2", "#D55E00")


def draw(result: dict[str, Any], path: Path) -> None:
    """Seconds and memory, by megapixels (left) and by frames (right)."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none"}):  # letters as text, not as outlines
        figure = Figure(figsize=(10, 6), layout="constrained")
        for panel, (rows, x, lines), title in zip(figure.subplots(2, 2).flat, PANELS, TITLES, strict=True):
            measured = [row for row in result[rows] if "failed" not in row]
            places = [row[x] for row in measured]
            for (y, name), color in zip(lines.items(), COLORS, strict=False):
                panel.plot(places, [row[y] for row in measured], marker="o", color=color, label=name)
            panel.set(title=title, xlabel=x, xscale="log")
            panel.set_xticks(places, labels=[f"{place:g}" for place in places])
            panel.set_xticks([], minor=True)
            panel.set_ylim(0, 1.1 * max((row[y] for row in measured for y in lines), default=1))
            panel.grid(alpha=0.3)
            if len(lines) > 1:
                panel.legend()
        figure.savefig(path)


if __name__ == "__main__":
    main()

"""Where the time of a warm frame goes, from the content to the stored frame.

    python scripts/bench/stages.py --data $TEMPERA_DATA [--width 1280] [--frames 10] [--threads 2]

A moving camera (a window that slides over a photograph by 2.3, 0.7 px per frame) is rendered as `tempera render` does
it, with every stage wrapped in a clock. Mean over the warm frames after the first two, in ms of wall time on the main
thread: waiting for the next frame, the content target (features of the content), the objective (forward and backward),
the rest of the minimizer and of the styler, and what is left. `beside_ms` is what other threads do meanwhile, in ms of
wall time: waiting for the next content, the warm start (warp and blend), and storing the previous frame (PNG, sync,
rename). `feed_cpu_ms` is the processor time that the feed's thread spends on decoding, motion and comparison. The last
line on stdout is JSON.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.runtime.threads import BRIEF, HUGE_PAGES, share_heap

os.environ.update(BRIEF | HUGE_PAGES)

import cv2
import numpy as np
import torch
from arguments import media_parser
from machine import environment, write_report

import pipeline.execute.prefetch
import pipeline.execute.running_chain
import pipeline.execute.scheduler
import pipeline.optimize.objective
from pipeline.config.catalog import load_style
from pipeline.media.image.arrays import resize
from pipeline.media.image.load import load_rgb
from pipeline.media.image.png import save_png
from pipeline.optimize.objective import Objective
from pipeline.runtime.reporters import make_reporter
from pipeline.store.directory import RenderDirectory
from pipeline.stylers.neural import NeuralStyler
from pipeline.workflows.render import render
from pipeline.workflows.request import RenderRequest

CONTENT = "photo/kodim03.png"
STYLE_IMAGE = "style/vangogh_starry_night_1889.jpg"
STEP_PX = (2.3, 0.7)
SKIPPED = 2
"""Warm frames at the beginning that are not counted."""
MIN_FRAMES = 1 + SKIPPED + 2

clock: dict[str, float] = defaultdict(float)
"""Seconds on the main thread by stage, since the last stored frame."""
beside: dict[str, float] = defaultdict(float)
"""The same on other threads."""


def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its time added to a stage."""

    def run(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            on_main_thread = threading.current_thread() is threading.main_thread()
            (clock if on_main_thread else beside)[name] += time.perf_counter() - began

    return run


def wrap(owner: Any, attribute: str, name: str) -> None:
    setattr(owner, attribute, timed(name, getattr(owner, attribute)))


def main() -> None:
    share_heap()
    parser = media_parser(__doc__)
    add = parser.add_argument
    add("--width", type=int, default=1280, help="px; the height is 9/16 of it")
    add(
        "--frames",
        type=int,
        default=10,
        help=f"at least {MIN_FRAMES}: the first, cold one and {SKIPPED} warm ones are not counted",
    )
    add("--threads", type=int, default=2)
    add("--set", action="append", default=[], dest="sets", help="a setting, key=value")
    options = parser.parse_args()
    if options.frames < MIN_FRAMES:
        parser.error(f"--frames {options.frames}: expected at least {MIN_FRAMES}")
    wrap(pipeline.execute.prefetch.Prefetcher, "next_item", "wait for the next content")
    wrap(pipeline.execute.running_chain.RunningChain, "_warm_start", "warm start")
    wrap(pipeline.execute.scheduler._Scheduler, "wait_for_chains", "wait for the next frame")
    wrap(NeuralStyler, "stylize", "stylize")
    wrap(Objective, "__call__", "objective")
    wrap(pipeline.optimize.objective, "content_targets", "content target")
    wrap(RenderDirectory, "write_frame", "store")
    rows: list[dict[str, float]] = []
    rows_beside: list[dict[str, float]] = []
    last = time.perf_counter()
    append = RenderDirectory.append_stats

    def note(self: RenderDirectory, record: dict[str, Any]) -> None:
        nonlocal last
        append(self, record)
        now = time.perf_counter()
        if record["phase"] == "warm":
            rows.append({**clock, "total": now - last, "evaluations": record["evaluations"]})
            rows_beside.append({**beside})
        clock.clear()
        beside.clear()
        last = now

    RenderDirectory.append_stats = note  # type: ignore[method-assign, assignment]
    feed_s = prefetch_seconds()
    with tempfile.TemporaryDirectory() as scratch:
        render_window(Path(scratch), options)
    kept = rows[SKIPPED:]
    stages = means(kept)
    total, objective = stages["total"], stages["objective"]
    stages["rest of the minimizer"] = stages.pop("stylize") - objective - stages["content target"]
    named = sum(stages[name] for name in stages if name not in ("total", "evaluations"))
    stages["other"] = total - named
    evaluations = stages.pop("evaluations")
    report = {
        "benchmark": "stages",
        "size_px": [options.width, height_of(options.width)],
        "threads": options.threads,
        "frames": len(kept),
        "evaluations": evaluations,
        "ms": {name: round(1000 * seconds, 1) for name, seconds in stages.items()},
        "beside_ms": {name: round(1000 * seconds, 1) for name, seconds in means(rows_beside[SKIPPED:]).items()},
        "objective_fraction": round((objective + stages["content target"]) / total, 3),
        "feed_cpu_ms": round(1000 * sum(feed_s) / max(1, len(feed_s)), 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "environment": {**environment(), "opencv": cv2.__version__, "torch_threads": torch.get_num_threads()},
    }
    for name, value in report["ms"].items():
        print(f"{name:<24}{value:>9.1f} ms {100 * value / (1000 * total):>6.1f} %", file=sys.stderr)
    write_report(report, options.out)


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of every stage."""
    names = sorted({name for row in rows for name in row})
    return {name: statistics.fmean(row.get(name, 0.0) for row in rows) for name in names}


def prefetch_seconds() -> list[float]:
    """A list that will hold the processor seconds which the feed's thread spends on each frame."""
    found: list[float] = []
    offer = pipeline.execute.prefetch.Prefetcher._put
    before: dict[int, float] = {}

    def counted(self: pipeline.execute.prefetch.Prefetcher[Any], item: Any) -> bool:
        now = time.thread_time()
        if item is not None:
            found.append(now - before.get(id(self), 0.0))
        done = offer(self, item)
        before[id(self)] = time.thread_time()
        return done

    pipeline.execute.prefetch.Prefetcher._put = counted  # type: ignore[method-assign]
    return found


def height_of(width: int) -> int:
    return round(width * 9 / 16 / 2) * 2


def render_window(folder: Path, options: argparse.Namespace) -> None:
    """Render the moving window."""
    width, height = options.width, height_of(options.width)
    scene = load_rgb(options.data / CONTENT)
    reach = (width + STEP_PX[0] * options.frames + 2, height + STEP_PX[1] * options.frames + 2)
    scale = max(reach[0] / scene.shape[1], reach[1] / scene.shape[0])
    large = resize(scene, round(scene.shape[1] * scale), round(scene.shape[0] * scale))
    frames = folder / "frames"
    frames.mkdir()
    for index in range(options.frames):
        center = (width / 2 + STEP_PX[0] * index, height / 2 + STEP_PX[1] * index)
        save_png(frames / f"{index:04d}.png", np.asarray(cv2.getRectSubPix(large, (width, height), center), np.uint8))
    config = load_style(
        str(options.data / STYLE_IMAGE),
        ["encoder=compact", f"runtime.threads={options.threads}", *options.sets],
    )
    request = RenderRequest(inputs=(str(frames),), styles=(config,), output=folder / "out.mp4")
    render(request, make_reporter("none"))


if __name__ == "__main__":
    main()

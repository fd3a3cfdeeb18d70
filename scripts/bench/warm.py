"""Warm frames against cold ones: the same frames stylized as a chain and each on its own.

    python scripts/bench/warm.py INPUT --style STYLE [--width 448] [--frames 8]

For every frame of INPUT: the loss of the warm frame over the loss of an independent cold frame, their evaluations and
seconds, and how much neighboring frames differ in both. The last line is JSON with medians.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.config.catalog import load_style
from pipeline.media.image.arrays import fit_size, to_tensor, to_uint8
from pipeline.media.reader.source import probe, read_frames
from pipeline.stylers.resources import find_resources
from pipeline.stylers.table import build_styler
from pipeline.types import FrameBatch, FrameStats, Styler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input")
    parser.add_argument("--style", required=True)
    parser.add_argument("--width", type=int, default=448)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--set", action="append", default=[], dest="sets")
    options = parser.parse_args()
    config = load_style(options.style, options.sets)
    source = probe([options.input], config.input, frames=(0, options.frames))
    size = fit_size(source.width_px, source.height_px, options.width, None)
    frames = read_frames(source, width_px=size[0], height_px=size[1], settings=config.input)
    styler = build_styler(config, find_resources(config))
    rows: list[dict[str, Any]] = []
    colds: list[NDArray[np.uint8]] = []
    chain: list[NDArray[np.uint8]] = []
    for frame in frames:
        content = to_tensor(frame.rgb)[None]
        cold, cold_stats, cold_s = timed(styler, FrameBatch("cold", content, None, (frame.index,)))
        colds.append(cold)
        if not chain:
            chain.append(cold)
            continue
        warm, warm_stats, warm_s = timed(styler, FrameBatch("warm", content, to_tensor(chain[-1])[None], (0,)))
        chain.append(warm)
        rows.append(
            {
                "frame": frame.index,
                "loss_ratio": warm_stats.loss / cold_stats.loss,
                "warm_evaluations": warm_stats.evaluations,
                "cold_evaluations": cold_stats.evaluations,
                "warm_s": warm_s,
                "cold_s": cold_s,
                "warm_change": change(chain[-2:]),
                "cold_change": change(colds[-2:]),
            }
        )
        sys.stderr.write(f"{rows[-1]}\n")
    figures: dict[str, Any] = {key: round(statistics.median(row[key] for row in rows), 4) for key in rows[0]}
    del figures["frame"]
    machine = {"cpu": platform.processor() or platform.machine(), "torch": torch.__version__}
    machine["threads"] = str(torch.get_num_threads())
    worst = round(max(row["loss_ratio"] for row in rows), 4)
    result = {"machine": machine, "size_px": size, "frames": len(rows), "median": figures, "worst_loss_ratio": worst}
    sys.stdout.write(json.dumps(result) + "\n")


def timed(styler: Styler, batch: FrameBatch) -> tuple[NDArray[np.uint8], FrameStats, float]:
    began = time.perf_counter()
    stylized = styler.stylize(batch)
    return to_uint8(stylized.images[0]), stylized.stats[0], round(time.perf_counter() - began, 3)


def change(pair: list[NDArray[np.uint8]]) -> float:
    """Mean absolute difference of two frames, in values of 0 to 255."""
    return round(float(np.abs(pair[1].astype(np.float32) - pair[0]).mean()), 3)


if __name__ == "__main__":
    main()

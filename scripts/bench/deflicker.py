"""Flicker of exposure, before and after it is evened out, and what happens to clips that do not flicker.

    python scripts/bench/deflicker.py --data DATA [--out deflicker.json] [--sheet FOLDER]

Two timelapses whose camera changes exposure and white balance from frame to frame, and clips that must stay as they
are: fades, cuts, people, moving cameras. Three ways: `ours` (`analysis.flicker`), and two usual ones, both with
percentiles (1, 5, 25, 50, 75, 95, 99) of whole frames smoothed over time: `percentiles` of every channel, `luma` of
luma for all channels alike.

Figures, in levels of 255: `flicker_luma` and `flicker_channels`, mean absolute second difference over time of the
frames' means; `difference_along_motion`, mean absolute difference of neighbors aligned along the input's motion;
`trend`, largest distance of the luma's moving averages over 15 frames from the input's; `change`, mean absolute change
of a pixel; `white`, pixels at 255 in percent; `steepest`, the largest step between neighboring levels in any of our
tables (1 is no banding). Ways that change nothing have the input's figures. The last line on stdout is JSON.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from arguments import media_parser
from machine import finish_report
from numpy.typing import NDArray

from pipeline.analysis.cuts import find_cuts, split_shots
from pipeline.analysis.flicker import THRESHOLD, FlickerMeasurement
from pipeline.analysis.flicker_trend import WINDOW
from pipeline.analysis.tone_curve import apply_tone_curve
from pipeline.config.settings import InputSettings
from pipeline.media.reader.source import probe, read_frames
from pipeline.motion.estimate import estimate_motion
from pipeline.types import Shot

RGB = NDArray[np.uint8]
Array = NDArray[Any]

ROOT = Path(__file__).resolve().parents[2]
FLICKERING = ("timelapse/icecube_s60", "timelapse/sunset_rpi")
CALM = (
    "timelapse/drawing_portrait.mp4",
    "video/cockatoo_yuv444_audio.mp4",
    "video/bbb_vp8_cuts_fadein.webm",
    "video/nasa_13013_multistream_cuts.mp4",
    "video/chaplin_bw_audio.mp4",
    "video/webcam_vfr.webm",
    "masks/apple_video/apple.mp4",
)
OTHERS = ("burst/handheld_mug", "burst/monstree_iphone", "video/phone_rot180_vfr_audio.mp4")
"""Neither: white balance that jumps within eight photos; a walk around a tree; a phone that adjusts in small steps."""
WIDTH, FRAMES = 320, 240
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
LUMA = np.array([0.299, 0.587, 0.114])


def read(path: Path) -> list[RGB]:
    """The first frames of a clip."""
    source = probe([path], InputSettings())
    stop = min(FRAMES, source.frame_count)
    return [frame.rgb for frame in read_frames(source, stop=stop, width_px=WIDTH, settings=InputSettings())]


def smooth(series: Array) -> Array:
    """Gaussian average over time (frames, ...) of about the width of our window, with mirrored slope at the ends."""
    offsets = np.arange(-WINDOW, WINDOW + 1)
    weights = np.exp(-0.5 * np.square(offsets / (WINDOW / 5)))
    padded = np.pad(series, [(WINDOW, WINDOW)] + [(0, 0)] * (series.ndim - 1), "reflect", reflect_type="odd")
    return np.asarray(
        sum(weight * padded[k : k + len(series)] for k, weight in enumerate(weights / weights.sum())), float
    )


def by_percentiles(frames: list[RGB], shots: tuple[Shot, ...], *, channels: bool) -> list[RGB]:
    """The usual way: percentiles of whole frames, brought to their smoothed values by piecewise linear tables."""
    result: list[RGB] = []
    levels = np.arange(256.0)
    for shot in shots:
        part = frames[shot.start : shot.stop]
        if len(part) <= WINDOW:
            result += part
            continue
        planes = [rgb if channels else (rgb @ LUMA)[..., None] for rgb in part]
        found = np.array([np.percentile(plane, PERCENTILES, axis=(0, 1)) for plane in planes])
        wanted = smooth(found)
        for rgb, old, new in zip(part, found, wanted, strict=True):
            tables = [
                np.interp(levels, [0, *old[:, c], 255], [0, *new[:, c], 255]) for c in range(3 if channels else 1)
            ]
            table = np.repeat(np.stack(tables, axis=1), 1 if channels else 3, axis=1)
            result.append(np.asarray(cv2.LUT(rgb, np.rint(table.clip(0, 255)).astype(np.uint8)[None])))
    return result


def difference_along_motion(frames: list[RGB], flows: list[tuple[Array, Array]]) -> float:
    """Mean absolute difference of neighbors, aligned along a given motion, where that is confident."""
    height, width = frames[0].shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    found = []
    for previous, current, (flow, confident) in zip(frames, frames[1:], flows, strict=False):
        if not confident.any():
            continue
        moved = cv2.remap(previous, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
        found.append(np.abs(moved.astype(float) - current)[confident].mean())
    return float(np.mean(found)) if found else 0.0


def figures(frames: list[RGB], original: list[RGB], flows: list[tuple[Array, Array]]) -> dict[str, float]:
    """The figures of the docstring."""
    means, before = (np.array([rgb.mean(axis=(0, 1)) for rgb in each]) for each in (frames, original))
    window = np.ones(min(15, len(frames))) / min(15, len(frames))
    trends = [np.convolve(each @ LUMA, window, "valid") for each in (means, before)]
    values = {
        "flicker_luma": np.abs(np.diff(means @ LUMA, 2)).mean(),
        "flicker_channels": np.abs(np.diff(means, 2, axis=0)).mean(),
        "difference_along_motion": difference_along_motion(frames, flows),
        "trend": np.abs(trends[0] - trends[1]).max(),
        "change": np.mean([cv2.absdiff(a, b).mean() for a, b in zip(frames, original, strict=True)]),
        "white": 100 * np.mean([(rgb == 255).mean() for rgb in frames]),
    }
    return {name: round(float(value), 3) for name, value in values.items()}


def sheet(path: Path, frames: list[RGB], result: list[RGB]) -> None:
    """Eight neighbors in the middle: the input above, evened out below."""
    start = max(0, len(frames) // 2 - 4)
    rows = [np.hstack(each[start : start + 8]) for each in (frames, result)]
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def milliseconds(work: Callable[[], object]) -> float:
    """Processor time of one call: the median of five, after one to warm up."""
    times = []
    for _ in range(6):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return round(1000 * float(np.median(times[1:])), 2)


def clip(path: Path, name: str, sheets: Path | None) -> dict[str, Any]:
    """All figures of one clip."""
    frames = read(path)
    cuts = find_cuts(iter(frames), threshold=InputSettings().cut_threshold)
    shots = split_shots(len(frames), cuts)
    flows = []
    for index in range(1, len(frames)):
        motion = estimate_motion(frames[index - 1], frames[index], from_index=index - 1, to_index=index)
        flows.append((motion.backward_flow, (motion.confidence > 0.5) & (index not in cuts)))
    measurement = FlickerMeasurement()
    started = time.process_time()
    for frame in frames:
        measurement.add(frame)
    spent = 1000 * (time.process_time() - started) / len(frames)
    flicker = measurement.flicker(shots, 1.0)
    curves = flicker.curves or ((),) * len(frames)
    ours = [apply_tone_curve(frame, curve) for frame, curve in zip(frames, curves, strict=True)]
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    if sheets and flicker.curves:
        sheet(sheets / f"{Path(name).stem}.png", frames, ours)
    ways = {
        "input": frames,
        "ours": ours,
        "percentiles": by_percentiles(frames, shots, channels=True),
        "luma": by_percentiles(frames, shots, channels=False),
    }
    return {
        "frames": len(frames),
        "flicker_levels": round(flicker.levels, 2),
        "ways": {way: figures(each, frames, flows) for way, each in ways.items()},
        "steepest": max(
            int(np.diff(apply_tone_curve(ramp, curve)[0].astype(int), axis=0)[:-1].max()) for curve in curves
        ),
        "measure_ms_per_frame": round(spent, 1),
    }


def main() -> None:
    """Run everything, print a table and the JSON line."""
    parser = media_parser(__doc__)
    parser.add_argument("--sheet", type=Path, help="folder for sheets of eight neighbors, before and after")
    options = parser.parse_args()
    cv2.setNumThreads(1)

    results: dict[str, dict[str, Any]] = {}
    for name in (*FLICKERING, *CALM, *OTHERS):
        results[name] = found = clip(options.data / name, name, options.sheet)
        print(f"{name}: {found['flicker_levels']} levels", file=sys.stderr)
        for way, values in found["ways"].items():
            cells = "  ".join(f"{key} {value:7.3f}" for key, value in values.items())
            print(f"  {way:12s}{cells}", file=sys.stderr, flush=True)

    large = np.random.default_rng(7).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    curve = (20, 30, 40, 50, 40, 30, 10, 0, -10)
    report = {
        "benchmark": "deflicker",
        "threshold_levels": THRESHOLD,
        "clips": results,
        "correct_ms_720p": milliseconds(lambda: apply_tone_curve(large, curve)),
    }
    finish_report(report, options.out)


if __name__ == "__main__":
    main()

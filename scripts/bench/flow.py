"""Accuracy, warp error and processor time of the methods that estimate motion.

    python scripts/bench/flow.py [--data DIR] [--out flow.json]

`--data` is the folder of real media (default: the environment variable TEMPERA_DATA). One thread.

True flow: `flyingchairs` (512x384, rendered) and `motorcycle` (741x500, a photographed stereo pair, up to 60 px). The
endpoint error in px over all known pixels, its median, the error of the pixels with confidence above 0.5, and their
fraction.

No truth: `marple8` (450x350, a walking camera), `cockatoo` (1280x720, a hand-held camera, 8 pairs) and `sunset`
(1080x450, clouds before a static camera, 8 pairs). The warp error: mean absolute difference in levels between the
previous frame, warped bilinearly, and the current one, where every method is confident; and the fraction where each is.

Methods: dense inverse search by its three presets, `+half` at half the size; `farneback` as OpenCV's examples call it;
`none`, no motion. Milliseconds of processor time for `estimate_motion` of a pair (both ways, and the confidence), of
`is_static`, and of RAFT with random weights, which is as slow as with its own. Last line: JSON.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from arguments import media_parser
from machine import finish_report
from numpy.typing import NDArray

from pipeline.encoders.pretrained import torchvision_module
from pipeline.motion.consistency import flow_confidence, positions
from pipeline.motion.dis import DenseInverseSearch, Preset
from pipeline.motion.estimate import estimate_motion
from pipeline.motion.raft import Raft
from pipeline.motion.static import is_static
from pipeline.types import Motion

Array = NDArray[Any]
Method = Callable[[Array, Array], Motion]

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"448": (448, 252), "720p": (1280, 720), "1080p": (1920, 1080)}


def search(preset: Preset, *, half: bool = False) -> Method:
    """`estimate_motion` by one preset, at full size or at half."""

    estimator = DenseInverseSearch(preset)

    def method(previous: Array, current: Array) -> Motion:
        longer = max(current.shape[:2])
        limit = (longer + 1) // 2 if half else longer
        return estimate_motion(previous, current, from_index=0, to_index=1, estimator=estimator, max_side_px=limit)

    return method


def farneback(previous: Array, current: Array) -> Motion:
    """Farneback 2003 both ways, with our confidence."""
    before, after = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (previous, current))
    empty: Any = None
    backward, forward = (
        np.asarray(cv2.calcOpticalFlowFarneback(start, target, empty, 0.5, 5, 21, 5, 7, 1.5, 0), np.float32)
        for start, target in ((after, before), (before, after))
    )
    return Motion(0, 1, backward, flow_confidence(backward, forward))


def none(_: Array, current: Array) -> Motion:
    """No motion, with full confidence."""
    height, width = current.shape[:2]
    return Motion(0, 1, np.zeros((height, width, 2), np.float32), np.ones((height, width), np.float32))


METHODS: dict[str, Method] = {
    "ultrafast": search("ultrafast"),
    "fast": search("fast"),
    "medium": search("medium"),
    "fast+half": search("fast", half=True),
    "medium+half": search("medium", half=True),
    "farneback": farneback,
    "none": none,
}


def read(path: Path) -> Array:
    """An image file, uint8 (H, W, 3) RGB."""
    image = cv2.imread(str(path))
    if image is None:
        sys.exit(f"{path} is not an image")
    return np.ascontiguousarray(image[..., ::-1])


def read_video(path: Path, count: int) -> list[Array]:
    """The first frames of a video, uint8 (H, W, 3) RGB."""
    capture = cv2.VideoCapture(str(path))
    frames = [capture.read()[1] for _ in range(count)]
    return [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]


def pairs_with_truth(data: Path) -> dict[str, tuple[Array, Array, Array]]:
    """Name -> previous frame, current frame, true backward flow (H, W, 2), nan where it is unknown."""
    chairs, motorcycle = data / "flyingchairs", data / "motorcycle_stereo"
    raw = (chairs / "0000003-gt.flo").read_bytes()
    width, height = np.frombuffer(raw, "<i4", 2, offset=4)
    truth = np.frombuffer(raw, "<f4", 2 * width * height, offset=12).reshape(height, width, 2)
    disparity = np.load(motorcycle / "motorcycle_disp.npz")["arr_0"]
    disparity = np.where(np.isfinite(disparity), disparity, np.nan)
    return {
        "flyingchairs": (read(chairs / "0000003-img1.ppm"), read(chairs / "0000003-img0.ppm"), truth),
        "motorcycle": (
            read(motorcycle / "motorcycle_right.png"),
            read(motorcycle / "motorcycle_left.png"),
            np.stack([-disparity, 0 * disparity], axis=2),
        ),
    }


def against_truth(motion: Motion, truth: Array) -> dict[str, float]:
    """Endpoint errors in px."""
    known = np.isfinite(truth[..., 0])
    error = np.hypot(*(motion.backward_flow - truth)[known].T)
    confident = motion.confidence[known] > 0.5
    return {
        "error_px": round(float(error.mean()), 3),
        "median_px": round(float(np.median(error)), 3),
        "confident_error_px": round(float(error[confident].mean()), 3),
        "confident_fraction": round(float(confident.mean()), 3),
    }


def warp_errors(pairs: list[tuple[Array, Array]]) -> dict[str, dict[str, float]]:
    """Of every method, where all are confident; the mean over the pairs."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
    for previous, current in pairs:
        motions = {name: method(previous, current) for name, method in METHODS.items()}
        common = np.min([motion.confidence for motion in motions.values()], axis=0) > 0.5
        for name, motion in motions.items():
            moved = cv2.remap(previous, *positions(motion.backward_flow), cv2.INTER_LINEAR)
            difference = np.abs(moved.astype(np.float32) - current)[common].mean()
            found[name].append((float(difference), float((motion.confidence > 0.5).mean())))
    return {
        name: {"warp_error": round(float(error), 3), "confident_fraction": round(float(confident), 3)}
        for name, (error, confident) in ((name, np.mean(values, axis=0)) for name, values in found.items())
    }


def milliseconds(work: Callable[[], object], repeats: int = 7) -> dict[str, float]:
    """Processor time: the median and the spread (largest less smallest), after one run to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(1000 * (time.process_time() - start))
    return {"median": round(float(np.median(times)), 1), "spread": round(max(times) - min(times), 1)}


def timings(frames: list[Array]) -> dict[str, dict[str, dict[str, float]]]:
    """Milliseconds of every method at every size."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = torchvision_module("models.optical_flow").raft_small()
    raft = Raft("raft_small", "random", network, torch.device("cpu"))
    found: dict[str, dict[str, dict[str, float]]] = {}
    for size, shape in SIZES.items():
        previous, current = (cv2.resize(frame, shape, interpolation=cv2.INTER_AREA) for frame in frames[:2])
        found[size] = {
            name: milliseconds(lambda method=method, a=previous, b=current: method(a, b))  # type: ignore[misc]
            for name, method in METHODS.items()
            if name != "none"
        }
        found[size]["is_static"] = milliseconds(lambda a=previous, b=current: is_static(a, b))  # type: ignore[misc]
        found[size]["raft_small"] = milliseconds(
            lambda a=previous, b=current: estimate_motion(a, b, from_index=0, to_index=1, estimator=raft),  # type: ignore[misc]
            repeats=3,
        )
        print(size, {name: value["median"] for name, value in found[size].items()}, "ms", file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Run everything, print tables and the JSON line."""
    parser = media_parser(__doc__)
    options = parser.parse_args()
    cv2.setNumThreads(1)

    truths: dict[str, dict[str, dict[str, float]]] = {}
    for pair, (previous, current, truth) in pairs_with_truth(options.data / "flow").items():
        truths[pair] = {name: against_truth(method(previous, current), truth) for name, method in METHODS.items()}
        for name, figures in truths[pair].items():
            print(f"{pair:14s}{name:12s}{figures}", file=sys.stderr, flush=True)

    cockatoo = read_video(options.data / "video" / "cockatoo_yuv444_audio.mp4", 57)
    marple = [read(path) for path in sorted((options.data / "flow" / "marple8").glob("*.ppm"))]
    sunset = [read(path) for path in sorted((options.data / "timelapse" / "sunset_rpi").glob("*.jpg"))]
    clips = {
        "marple8": list(pairwise(marple)),
        "cockatoo": list(pairwise(cockatoo))[::7],
        "sunset": list(pairwise(sunset))[::10],
    }
    warps: dict[str, dict[str, dict[str, float]]] = {}
    for clip, pairs in clips.items():
        warps[clip] = warp_errors(pairs)
        for name, figures in warps[clip].items():
            print(f"{clip:14s}{name:12s}{figures}", file=sys.stderr, flush=True)

    report = {
        "benchmark": "flow",
        "truth": truths,
        "warp": warps,
        "processor_ms": timings(cockatoo),
    }
    finish_report(report, options.out, torch=torch.__version__)


if __name__ == "__main__":
    main()

"""Loss by two hundred warps of an image: kernels and strategies against the exactly moved image.

    python scripts/bench/warp.py [--image PATH ...] [--steps 200] [--out warp.json]

An image is moved in small known steps, every frame from the frame before, as in a long render without any
optimization. Motions: `pan` (0.27, 0.13 px per frame), `slow` (0.03, 0.01 px), `turn` (0.05 degrees and 1.0003
zoom), `tripod` (no motion; the flow is smooth noise of 0.05 px, as an estimator returns it for a static camera).

The truth is the first image moved once by the composed motion, from a copy enlarged four times by its spectrum.
Figures after 1, 10, 50 and 200 steps: sharpness (mean squared Laplacian over that of the truth) and PSNR (dB).

Kernels: OpenCV's `linear`, `cubic` and `lanczos` (positions in steps of 1/32 px); `spline` (cubic B-spline);
`double_cubic` (doubled by a 24-tap half-band filter, then a cubic B-spline); `double` (`pipeline.motion.warp.warp`).
Strategies: plain names store 8-bit frames; `+float` never rounds; `+q32` rounds positions to 1/32 px; `+snap` moves
nothing below 0.1 px; `+anchor` warps from the last of every ten frames by composed flow; `+reinject` restores the local
energy of fine detail; `carry` copies whole pixels and accumulates the sub-pixel remainder. The last line is JSON.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from machine import finish_report
from numpy.typing import NDArray

from pipeline.motion.warp import HALF_BAND_TAPS, KAISER_BETA, warp

Array = NDArray[Any]
Kernel = Callable[[Array, Array], Array]

ROOT = Path(__file__).resolve().parents[2]
SIDE_PX, MARGIN_PX, PAD_PX = 256, 64, 64
CHECKPOINTS = (1, 10, 50, 200)
MOTIONS = ("pan", "slow", "turn", "tripod")
REFLECT = cv2.BORDER_REFLECT_101
ROWS = 32


def positions(flow: Array) -> tuple[Array, Array]:
    """Positions x, y (H, W) in the previous frame."""
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x + flow[..., 0], y + flow[..., 1]


def opencv(interpolation: int) -> Kernel:
    """One of OpenCV's own kernels."""
    return lambda image, flow: np.asarray(cv2.remap(image, *positions(flow), interpolation, borderMode=REFLECT))


def prefilter() -> Array:
    """The inverse of the sampled cubic B-spline (pole sqrt(3) - 2)."""
    taps = np.sqrt(3) * (np.sqrt(3) - 2) ** np.abs(np.arange(-13, 14))
    return np.asarray(taps / taps.sum(), np.float32)


def cubic_spline(coefficients: Array, x: Array, y: Array) -> Array:
    """A cubic B-spline at positions x, y, by four bilinear lookups."""
    out = np.zeros((*x.shape, 3), np.float32)
    for start in range(0, len(x), ROWS):
        axes = []
        for position in (x[start : start + ROWS], y[start : start + ROWS]):
            below = np.floor(position)
            t = (position - below).astype(np.float32)
            w0, w1, w3 = (1 - t) ** 3 / 6, 2 / 3 - t**2 + t**3 / 2, t**3 / 6
            low = w0 + w1
            high = 1 - low
            axes.append(((low, below + w1 / low - 1), (high, below + w3 / high + 1)))
        for row_weight, row in axes[1]:
            for column_weight, column in axes[0]:
                found = cv2.remap(
                    coefficients,
                    column.astype(np.float32),
                    row.astype(np.float32),
                    cv2.INTER_LINEAR,
                    borderMode=cv2.BORDER_REPLICATE,
                )
                weight = np.repeat((row_weight * column_weight).astype(np.float32)[..., None], 3, axis=2)
                cv2.accumulateProduct(found, weight, out[start : start + ROWS])
    return out


def spline(image: Array, flow: Array) -> Array:
    """Cubic B-spline interpolation of the image itself."""
    taps = prefilter()
    return cubic_spline(cv2.sepFilter2D(image, cv2.CV_32F, taps, taps, borderType=REFLECT), *positions(flow))


def doubled(image: Array) -> Array:
    """The image at twice its size by the half-band filter of `pipeline.motion.warp.warp`."""
    offsets = np.arange(HALF_BAND_TAPS) - (HALF_BAND_TAPS - 1) / 2
    between = np.sinc(offsets) * np.kaiser(HALF_BAND_TAPS, KAISER_BETA)
    phases = (np.ones(1, np.float32), np.append(0, between / between.sum()).astype(np.float32))
    fine = np.empty((2 * image.shape[0], 2 * image.shape[1], 3), np.float32)
    for row, vertical in enumerate(phases):
        for column, horizontal in enumerate(phases):
            fine[row::2, column::2] = cv2.sepFilter2D(image, cv2.CV_32F, horizontal, vertical, borderType=REFLECT)
    return fine


def double_cubic(image: Array, flow: Array) -> Array:
    """Doubled, then a cubic B-spline."""
    taps, (x, y) = prefilter(), positions(flow)
    return cubic_spline(cv2.sepFilter2D(doubled(image), cv2.CV_32F, taps, taps, borderType=REFLECT), 2 * x, 2 * y)


def double(image: Array, flow: Array) -> Array:
    """The kernel of the package."""
    return warp(image.astype(np.float32), flow.astype(np.float32))


KERNELS: dict[str, Kernel] = {
    "linear": opencv(cv2.INTER_LINEAR),
    "cubic": opencv(cv2.INTER_CUBIC),
    "lanczos": opencv(cv2.INTER_LANCZOS4),
    "spline": spline,
    "double_cubic": double_cubic,
    "double": double,
}
RUNS = (
    *KERNELS,
    "double+float",
    "double+q32",
    "double+snap",
    "double+anchor",
    "lanczos+reinject",
    "double+reinject",
    "carry",
)


def reinjected(kernel: Kernel, image: Array, flow: Array) -> Array:
    """Warped, with the fine detail amplified (at most 1.3 times) to the local energy that it had before."""

    def energy(detail: Array) -> Array:
        return np.asarray(cv2.GaussianBlur(np.square(detail).sum(axis=2), (0, 0), 8))

    moved = kernel(image, flow)
    detail = moved - cv2.GaussianBlur(moved, (0, 0), 1)
    before = energy(image - cv2.GaussianBlur(image, (0, 0), 1))
    wanted = cv2.remap(before, *positions(flow), cv2.INTER_LINEAR, borderMode=REFLECT)
    gain = np.clip(np.sqrt((wanted + 1) / (energy(detail) + 1)), 1, 1.3)
    return np.asarray(moved + (gain - 1)[..., None] * detail, np.float32)


def step_of(motion: str, random: np.random.Generator) -> tuple[Array, Array]:
    """One step: the affine map (3, 3) from the current frame to the previous one, and flow noise (H, W, 2)."""
    affine, noise = np.eye(3), np.zeros((SIDE_PX, SIDE_PX, 2), np.float32)
    if motion == "pan":
        affine[:2, 2] = -0.27, -0.13
    elif motion == "slow":
        affine[:2, 2] = -0.03, -0.01
    elif motion == "turn":
        angle, scale = np.deg2rad(0.05), 1 / 1.0003
        affine[:2, :2] = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    else:
        noise = np.asarray(cv2.GaussianBlur(random.normal(size=noise.shape).astype(np.float32), (0, 0), 6))
        noise *= 0.05 / noise.std()
    return affine, noise


def flow_of(affine: Array, side_px: int = SIDE_PX) -> Array:
    """The flow (H, W, 2) of an affine map about the center."""
    grid = np.arange(side_px) - (side_px - 1) / 2
    x, y = np.meshgrid(grid, grid)
    moved = np.stack([affine[i, 0] * x + affine[i, 1] * y + affine[i, 2] for i in (0, 1)], axis=2)
    return np.asarray(moved - np.stack([x, y], axis=2), np.float32)


class Truth:
    """The first image, enlarged four times by its spectrum, to be moved once by any motion."""

    def __init__(self, image: Array) -> None:
        padded = cv2.copyMakeBorder(image, PAD_PX, PAD_PX, PAD_PX, PAD_PX, REFLECT)
        side = len(padded)
        spectrum = np.zeros((4 * side, 4 * side, 3), complex)
        start = (4 * side - side) // 2
        spectrum[start : start + side, start : start + side] = np.fft.fftshift(
            np.fft.fft2(padded, axes=(0, 1)), axes=(0, 1)
        )
        fine = np.fft.ifft2(np.fft.ifftshift(spectrum, axes=(0, 1)), axes=(0, 1)).real * 16
        taps = prefilter()
        self.coefficients = cv2.sepFilter2D(fine.astype(np.float32), cv2.CV_32F, taps, taps, borderType=REFLECT)

    def moved(self, affine: Array) -> Array:
        """The image after a motion, never rounded."""
        x, y = positions(flow_of(affine))
        return cubic_spline(self.coefficients, 4 * (x + PAD_PX), 4 * (y + PAD_PX))


def inner(image: Array) -> Array:
    """The middle, which the border does not influence."""
    return image[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]


def sharpness(image: Array) -> float:
    """Mean squared Laplacian of the middle."""
    return float(np.square(inner(np.asarray(cv2.Laplacian(image, cv2.CV_32F)))).mean())


def carried(image: Array, flow: Array, remainder: Array) -> tuple[Array, Array]:
    """Whole pixels moved, and the offset (H, W, 2) between what each pixel shows and what it should show."""
    x, y = positions(flow)
    expected = np.asarray(cv2.remap(remainder, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE))
    column, row = np.rint(x - expected[..., 0]), np.rint(y - expected[..., 1])
    found = np.asarray(cv2.remap(remainder, column, row, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE))
    moved = np.asarray(cv2.remap(image, column, row, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE))
    return moved, np.stack([column + found[..., 0] - x, row + found[..., 1] - y], axis=2)


def run(image: Array, truth: Truth, motion: str, name: str, steps: int) -> list[dict[str, float]]:
    """Figures of one kernel or strategy at the checkpoints."""
    base, _, strategy = name.partition("+")
    random = np.random.default_rng(7)
    frame = anchor = image
    total, since, remainder = np.eye(3), np.eye(3), np.zeros((SIDE_PX, SIDE_PX, 2), np.float32)
    figures = []
    for index in range(1, steps + 1):
        affine, noise = step_of(motion, random)
        total, since = total @ affine, since @ affine
        flow = flow_of(affine) + noise
        if strategy == "q32":
            flow = np.round(flow * 32) / 32
        elif strategy == "snap":
            flow = np.where((np.abs(flow) < 0.1).all(axis=2, keepdims=True), 0, flow)
        if base == "carry":
            frame, remainder = carried(frame, flow, remainder)
        elif strategy == "anchor":
            frame = KERNELS[base](anchor, flow_of(since) + noise)
        elif strategy == "reinject":
            frame = reinjected(KERNELS[base], frame, flow)
        else:
            frame = KERNELS[base](frame, flow)
        if strategy != "float":
            frame = np.rint(frame).clip(0, 255)
        frame = np.asarray(frame, np.float32)
        if strategy == "anchor" and index % 10 == 0:
            anchor, since = frame, np.eye(3)
        if index in CHECKPOINTS:
            wanted = truth.moved(total)
            error = float(np.square(inner(frame - wanted)).mean())
            figures.append(
                {"sharpness": sharpness(frame) / sharpness(wanted), "psnr_db": 10 * np.log10(255**2 / error)}
            )
    return figures


def milliseconds(kernel: Kernel) -> float:
    """Processor time of one 1280x720 warp on one thread: the median of five, after one to warm up."""
    random = np.random.default_rng(7)
    image = random.integers(0, 256, (720, 1280, 3)).astype(np.float32)
    flow = cv2.GaussianBlur(random.normal(size=(720, 1280, 2)).astype(np.float32) * 20, (0, 0), 15)
    times = []
    for _ in range(6):
        start = time.process_time()
        kernel(image, flow)
        times.append(time.process_time() - start)
    return round(1000 * float(np.median(times[1:])), 1)


def main() -> None:
    """Run everything, print a table per motion and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    images = ROOT / "configs" / "images"
    parser.add_argument("--image", type=Path, nargs="*", default=[images / "swirl.jpg", images / "pointillist.jpg"])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)

    sources = []
    for path in options.image:
        whole = cv2.imread(str(path))
        if whole is None or min(whole.shape[:2]) < SIDE_PX:
            sys.exit(f"{path} is not an image of at least {SIDE_PX} px")
        top, left = ((size - SIDE_PX) // 2 for size in whole.shape[:2])
        sources.append(whole[top : top + SIDE_PX, left : left + SIDE_PX].astype(np.float32))
    truths = [Truth(image) for image in sources]

    results: dict[str, dict[str, list[dict[str, float]]]] = {}
    reached = [step for step in CHECKPOINTS if step <= options.steps]
    for motion in MOTIONS:
        results[motion] = {}
        print(f"{motion:18s}" + "".join(f"{step:>15d}" for step in reached) + "   sharpness / PSNR dB", file=sys.stderr)
        for name in RUNS:
            runs = [run(p, truth, motion, name, options.steps) for p, truth in zip(sources, truths, strict=True)]
            mean = [
                {key: round(float(np.mean([one[i][key] for one in runs])), 3) for key in ("sharpness", "psnr_db")}
                for i in range(len(reached))
            ]
            results[motion][name] = mean
            cells = "".join(f"{at['sharpness']:8.3f} /{at['psnr_db']:5.1f}" for at in mean)
            print(f"{name:18s}{cells}", file=sys.stderr, flush=True)

    report = {
        "benchmark": "warp",
        "images": [path.name for path in options.image],
        "steps": reached,
        "motions": results,
        "processor_ms_720p": {name: milliseconds(kernel) for name, kernel in KERNELS.items()},
    }
    finish_report(report, options.out)


if __name__ == "__main__":
    main()

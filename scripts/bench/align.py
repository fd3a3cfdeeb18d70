"""Alignment of bursts: accuracy where the motion is known, sharpness of real bursts, and how much shake is taken out.

    python scripts/bench/align.py --data DATA [--out align.json] [--pictures FOLDER]

`accuracy`: a photograph of 1080x720 px, moved by known motions of each model (turns of up to 2 degrees, shifts of 15
px, 3 percent of scale), with noise of 6 levels, encoded values times 0.6 to 1.2, and an object of a fifth of the frame
that moves through; `median_px` and `worst_px` over a grid of points and all photos but the anchor, and the model that
was chosen. `bursts`: real ones; `correlations` of the photos with the anchor after the alignment (a refused burst: the
largest but the anchor's), and the variance of the Laplacian of the mean of all photos, aligned and not, over the same
part of the scene, and of one photo there (noise makes that larger). `shake`: videos, root mean square distance of the
camera's path from a smooth one, in px of frames of 640 px, of the input and of the output at a strength. Seconds are of
the whole alignment. The last line on stdout is JSON.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from arguments import media_parser
from machine import finish_report
from numpy.typing import NDArray

from pipeline.analysis.burst import MEASURED_SIDE_PX, Burst, align_burst
from pipeline.analysis.registration import MODELS
from pipeline.analysis.stabilization import measured_shake_px
from pipeline.config.settings import InputSettings
from pipeline.errors import InputError
from pipeline.media.image.arrays import size_within
from pipeline.media.image.load import load_rgb
from pipeline.media.image.png import encode_png
from pipeline.media.reader.source import probe, read_frames
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.types import Source
from pipeline.workflows.input.alignment import aligned, grouped

RGB = NDArray[np.uint8]
Matrix = NDArray[np.float64]

PHOTO = "photo/frozen_shore.avif"
BURSTS = {"burst/handheld_mug": "mean", "burst/pcb_focus": "focus", "burst/monstree_iphone": "mean"}
VIDEOS = ("masks/apple_video/apple.mp4", "video/phone_rot180_vfr_audio.mp4", "video/webcam_vfr.webm")
STRENGTHS = (0.5, 1.0)
WIDTH, HEIGHT = 1080, 720
GAINS = (1.0, 0.6, 0.8, 1.2, 0.9, 0.7)


def motion(model: str, rng: np.random.Generator) -> Matrix:
    """A random motion of a model, in px."""
    shift = rng.uniform(-15, 15, 2)
    turn, scale = np.deg2rad(rng.uniform(-2, 2)), 1 + rng.uniform(-0.03, 0.03)
    a, b = (1.0, 0.0) if model == "translation" else (scale * np.cos(turn), scale * np.sin(turn))
    matrix = np.array([[a, -b, shift[0]], [b, a, shift[1]], [0, 0, 1]])
    if model in ("affine", "homography"):
        matrix = matrix @ np.array([[1.01, 0.004, 0], [0, 0.995, 0], [0, 0, 1]])
    if model == "homography":
        matrix[2, :2] = rng.uniform(-2e-5, 2e-5, 2)
    return matrix


def accuracy(photo: RGB, model: str) -> dict[str, Any]:
    """Error of a burst whose motion is known."""
    rng = np.random.default_rng(11)
    motions = [np.eye(3), *(motion(model, rng) for _ in GAINS[1:])]
    middle = np.array([[1, 0, (photo.shape[1] - WIDTH) / 2], [0, 1, (photo.shape[0] - HEIGHT) / 2], [0, 0, 1]])
    grays: list[RGB] = []
    for index, (matrix, gain) in enumerate(zip(motions, GAINS, strict=True)):
        flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
        image = np.asarray(
            cv2.warpPerspective(photo, middle @ np.linalg.inv(matrix), (WIDTH, HEIGHT), flags=flags), float
        )
        image[250:466, 80 + 120 * index : 296 + 120 * index] = photo[:216, :216]
        noisy = image * gain + rng.normal(0, 6, image.shape)
        grays.append(np.asarray(cv2.cvtColor(np.rint(noisy).clip(0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)))
    began = time.perf_counter()
    found = align_burst(len(grays), reader(grays))
    seconds = time.perf_counter() - began
    x, y = np.meshgrid(np.linspace(0, WIDTH - 1, 9), np.linspace(0, HEIGHT - 1, 7))
    points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    errors: list[float] = []
    for index, own in enumerate(found.matrices):
        if index != found.anchor and own is not None:
            ends = [each @ points for each in (own, motions[index] @ np.linalg.inv(motions[found.anchor]))]
            a, b = (end[:2] / end[2] for end in ends)
            errors += np.hypot(*(a - b)).tolist()
    return {
        "chosen": found.model,
        "aligned": sum(own is not None for own in found.matrices),
        "median_px": round(float(np.median(errors)), 4),
        "worst_px": round(max(errors), 4),
        "seconds": round(seconds, 1),
    }


def reader(grays: Sequence[RGB]) -> Any:
    """Reads photos that are in memory."""

    def read(indices: Sequence[int]) -> Iterator[RGB]:
        return iter([grays[index] for index in indices])

    return read


def burst(path: Path, how: str, pictures: Path | None) -> dict[str, Any]:
    """Sharpness of a real burst, fused with and without alignment."""
    source = probe([path], InputSettings(), digest=False)
    size = size_within(source.width_px, source.height_px, MEASURED_SIDE_PX)
    photos = [frame.rgb for frame in frames(source, size)]
    measured: Burst = align_burst(len(photos), reader([gray(rgb) for rgb in photos]))
    others = [value for index, value in enumerate(measured.correlations) if index != measured.anchor]
    result: dict[str, Any] = {"photos": len(photos), "model": measured.model, "anchor": measured.anchor}
    result["correlations"] = [min(others), max(others)]
    results = {}
    for align in ("auto", "none"):
        settings = InputSettings.model_validate({"fuse": how, "align": align})
        began = time.perf_counter()
        try:
            made = aligned(grouped(source, settings), settings, SilentReporter(), Cancellation())
        except InputError as error:
            return result | {"refused": str(error).partition(": ")[2]}
        result[f"seconds_{align}"] = round(time.perf_counter() - began, 1)
        (frame,) = read_frames(made, settings=settings)
        results[align] = frame.rgb
        if pictures:
            pictures.mkdir(parents=True, exist_ok=True)
            (pictures / f"{path.name}_{how}_{align}.png").write_bytes(encode_png(frame.rgb))
    height, width = results["auto"].shape[:2]
    crop = f"{width}x{height} of {source.width_px}x{source.height_px}"
    one = next(iter(frames(source, (source.width_px, source.height_px)))).rgb
    sharp = {"fused_aligned": results["auto"], "fused_unaligned": results["none"], "one_photo": one}
    return result | {"crop": crop} | {name: round(sharpness(rgb), 1) for name, rgb in sharp.items()}


def sharpness(rgb: RGB) -> float:
    """Variance of the Laplacian of the middle of a picture."""
    height, width = rgb.shape[:2]
    middle = gray(rgb)[height // 8 : height - height // 8, width // 8 : width - width // 8]
    return float(cv2.Laplacian(middle, cv2.CV_64F).var())


def shake(path: Path) -> dict[str, Any]:
    """Shake of a video before and after."""
    source = probe([path], InputSettings(), digest=False)
    rate = source.frame_count / source.duration_s
    result: dict[str, Any] = {"frames": source.frame_count}
    for strength in (0.0, *STRENGTHS):
        settings = InputSettings(stabilize=strength)
        began = time.perf_counter()
        made = aligned(source, settings, SilentReporter(), Cancellation())
        seconds = time.perf_counter() - began
        size = size_within(made.width_px, made.height_px, 640 * made.width_px // source.width_px)
        found = {"shake_px": round(measured_shake_px((gray(frame.rgb) for frame in frames(made, size)), rate), 2)}
        if strength:
            found |= {"kept_width": round(made.width_px / source.width_px, 3), "seconds": round(seconds, 1)}
        result[str(strength)] = found
    return result


def frames(source: Source, size: tuple[int, int]) -> Any:
    """The frames of a source at a size."""
    return read_frames(source, width_px=size[0], height_px=size[1], settings=InputSettings())


def gray(rgb: RGB) -> RGB:
    """Luma of a frame."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def main() -> None:
    """See the docstring of the file."""
    parser = media_parser(__doc__)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    photo = load_rgb(options.data / PHOTO)
    report: dict[str, Any] = {"benchmark": "align", "accuracy": {}, "bursts": {}, "shake": {}}
    for model in MODELS:
        report["accuracy"][model] = accuracy(photo, model)
        print(model, report["accuracy"][model], file=sys.stderr, flush=True)
    for name, how in BURSTS.items():
        report["bursts"][name] = burst(options.data / name, how, options.pictures)
        print(name, report["bursts"][name], file=sys.stderr, flush=True)
    for name in VIDEOS:
        report["shake"][name] = shake(options.data / name)
        print(name, report["shake"][name], file=sys.stderr, flush=True)
    finish_report(report, options.out)


if __name__ == "__main__":
    main()

"""The bundled encoder against its teacher, side by side in one process: features, images, time, memory, precision.

    python scripts/bench/encoder.py --teacher vgg19_16x_se.safetensors --data ../shared/data --out OUT

`transfer` stylizes every pair (content, style image) coarse to fine with each network, and judges both results by the
teacher's objective: Wasserstein style, relu1_1..relu5_1 weighted 256:64:16:4:1, plus 0.004 times content at relu4_2. A
ratio of 1 means that the student's result is as good. `control` is the teacher's own second result, from another seed
of the noise: how far apart equally good results are.

None of the images was trained on (see pipeline/weights/compact.md). OUT gets one PNG per pair (content, teacher,
student), and sheet.png. The last line on stdout is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.runtime.threads import BRIEF

os.environ.update(BRIEF)

import numpy as np
import torch
import torch.nn.functional as F
from machine import environment
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from pipeline.config.settings import StylizeSettings
from pipeline.config.style import StyleImage, StyleSettings
from pipeline.encoders.compact import PUBLIC_LAYERS, read_header
from pipeline.encoders.fetch import weights_path
from pipeline.encoders.load import load_encoder
from pipeline.encoders.network import Encoder
from pipeline.optimize.moments import moments
from pipeline.optimize.objective import Objective, style_target
from pipeline.runtime.threads import keep_freed_memory
from pipeline.stylers.neural import NeuralStyler
from pipeline.stylers.scales import resize
from pipeline.types import FrameBatch

OBJECTIVE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")
CONTENT_WEIGHT = 0.004
SEED, CONTROL_SEED = 7, 8
CONTENTS = {
    "town": "photo/tubingen.jpg",
    "cat": "photo/chelsea.png",
    "night": "photo/rocket.jpg",
    "hats": "photo/kodim03.png",
    "coffee": "photo/coffee.png",
    "mountain": "photo/denali.webp",
    "drawing": "train/photos_open/drawing_c7ff166a_024.jpg",
    "portrait": "train/photos_bsds/302003.jpg",
    "old man": "train/photos_bsds/260081.jpg",
    "moon": "train/photos_bsds/238011.jpg",
    "tiger": "train/photos_bsds/108004.jpg",
    "church": "train/photos_bsds/118035.jpg",
    "sunset": "timelapse/sunset_rpi/frame-105.jpg",
}
STYLE_IMAGES = {
    "starry night": "style/vangogh_starry_night_1889.jpg",
    "great wave": "style/hokusai_great_wave_c1831.jpg",
    "udnie": "style/picabia_udnie_1913.jpg",
    "scream": "style/munch_the_scream_1893.jpg",
    "shipwreck": "style/turner_shipwreck_of_the_minotaur_c1810.jpg",
    "te fare": "style/gauguin_te_fare_1892.jpg",
}
PAIRS = (
    ("town", "starry night"), ("cat", "great wave"), ("night", "scream"), ("hats", "udnie"), ("coffee", "te fare"),
    ("mountain", "shipwreck"), ("drawing", "great wave"), ("portrait", "udnie"), ("old man", "scream"),
    ("moon", "starry night"), ("tiger", "te fare"), ("church", "shipwreck"), ("sunset", "great wave"),
    ("town", "udnie"),
)  # fmt: skip
"""Not used in training: neither image of any pair."""


class PublishedTeacher:
    """The 16x compressed VGG-19 as published: 1x1 preprocessing, a mirror pad before every convolution, max pooling."""

    ORDER = (
        "conv11", "conv12", "", "conv21", "conv22", "", "conv31", "conv32", "conv33", "conv34", "",
        "conv41", "conv42", "conv43", "conv44", "", "conv51",
    )  # fmt: skip
    min_side_px = 32

    def __init__(self, path: Path, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.weights = {
            name: value.to(dtype).contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value.to(dtype)
            for name, value in load_file(path).items()
        }
        self.layers = tuple(f"relu{name[4]}_{name[5]}" for name in self.ORDER if name)

    def __call__(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        x = images.to(self.dtype, memory_format=torch.channels_last)
        x = F.conv2d(x, self.weights["conv0.weight"], self.weights["conv0.bias"])
        for name in self.ORDER:
            if not name:
                x = F.max_pool2d(x, 2)
                continue
            padded = F.pad(x, (1,) * 4, mode="reflect")
            x = F.relu_(F.conv2d(padded, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]))
            layer = f"relu{name[4]}_{name[5]}"
            if layer in layers:
                found[layer] = x
            if len(found) == len(set(layers)):
                break
        return found


def load(network: str, teacher: Path, weights: Path | None, dtype: torch.dtype) -> Encoder:
    """The encoder called "teacher" or "student"."""
    if network != "student":
        return Encoder(network, "", dtype, torch.device("cpu"), PublishedTeacher(teacher, dtype))
    return load_encoder("compact", weights=weights, dtype=dtype)


def read_rgb(path: Path, side: int | None = None) -> Any:
    with Image.open(path) as file:
        image = file.convert("RGB")
    if side is not None:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.array(image)


def as_tensor(rgb: Any) -> Tensor:
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255


def as_rgb(images: Tensor) -> Any:
    return (images[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()


def settings() -> StylizeSettings:
    return StylizeSettings(style=StyleSettings(images=(StyleImage(path=Path("style image")),)))


def stylize(encoder: Encoder, content: Any, style_image: Any, seed: int) -> Tensor:
    """The default cold frame of the product."""
    styler = NeuralStyler(settings(), [style_image], encoder, device=torch.device("cpu"))
    return styler.stylize(FrameBatch("cold", as_tensor(content), None, (seed,))).images


def objective_for(encoder: Encoder, content: Any, style_image: Any) -> Objective:
    losses = settings().losses
    pixels = as_tensor(content)
    height, width = pixels.shape[-2:]
    factor = min(1.0, max(height, width) / max(style_image.shape[:2]))
    size = (round(style_image.shape[0] * factor), round(style_image.shape[1] * factor))
    target = style_target(encoder, losses, resize(as_tensor(style_image), size), 100.0)
    return Objective.of(encoder, losses, pixels, (target,))


def judge(objective: Objective, images: Tensor) -> dict[str, float]:
    """Dimensionless terms of an image, and the total that the ratios are made of."""
    content, style, variation, *_ = objective(images).terms[0].tolist()
    return {"content": content, "style": style, "tv": variation, "total": CONTENT_WEIGHT * content + style}


def feature_errors(student: Encoder, teacher: Encoder, weights: Path, images: Sequence[Any]) -> dict[str, Any]:
    """Relative errors of features and of second moments (Frobenius), mean over images, away from the borders."""
    with safe_open(weights, framework="pt") as file:
        channels = read_header(file.metadata()).get("teacher_channels", {})
    result: dict[str, Any] = {}
    for layer in PUBLIC_LAYERS:
        if layer not in channels:
            continue
        errors, gram_errors = [], []
        for image in images:
            with torch.no_grad():
                mine = student(as_tensor(image), [layer])[layer]
                theirs = teacher(as_tensor(image), [layer])[layer][:, channels[layer]]
            margin = min(5, min(mine.shape[-2:]) // 4)
            mine, theirs = (f[..., margin:-margin, margin:-margin].contiguous() for f in (mine, theirs))
            errors.append(float((mine - theirs).norm() / theirs.norm()))
            my_gram, their_gram = moments(mine).second, moments(theirs).second
            gram_errors.append(float((my_gram - their_gram).norm() / their_gram.norm()))
        result[layer] = {"feature": round(statistics.mean(errors), 4), "gram": round(statistics.mean(gram_errors), 4)}
    return result


def transfer(options: argparse.Namespace) -> dict[str, Any]:
    """Ratios of the student's results to the teacher's under the teacher's objective, and the PNGs to look at."""
    dtype = torch.bfloat16
    encoders = {name: load(name, options.teacher, options.weights, dtype) for name in ("teacher", "student")}
    judging = load("teacher", options.teacher, None, torch.float32)
    rows, strips = [], []
    for content_name, style_name in PAIRS[: options.pairs]:
        content = read_rgb(options.data / CONTENTS[content_name], options.side)
        style_image = read_rgb(options.data / STYLE_IMAGES[style_name])
        objective = objective_for(judging, content, style_image)
        made = {name: stylize(encoder, content, style_image, SEED) for name, encoder in encoders.items()}
        if options.control:
            made["control"] = stylize(encoders["teacher"], content, style_image, CONTROL_SEED)
        terms = {name: judge(objective, images) for name, images in made.items()}
        row: dict[str, Any] = {"pair": f"{content_name} x {style_name}"}
        for name in made.keys() - {"teacher"}:
            row[name] = {key: round(terms[name][key] / terms["teacher"][key], 4) for key in terms[name]}
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
        strip = np.concatenate([content, as_rgb(made["teacher"]), as_rgb(made["student"])], axis=1)
        strips.append(Image.fromarray(strip))
        strips[-1].save(options.out / f"{content_name} x {style_name}.png".replace(" ", "_"))
    save_sheet(strips, options.out / "sheet.png")
    summary: dict[str, Any] = {"pairs": rows, "side_px": options.side}
    for name in ("student", "control") if options.control else ("student",):
        for key in ("total", "style", "content", "tv"):
            values = [row[name][key] for row in rows]
            summary[f"{name}_{key}"] = {"median": round(statistics.median(values), 4), "worst": max(values)}
    return summary


def save_sheet(strips: Sequence[Image.Image], path: Path) -> None:
    sheet = Image.new("RGB", (max(s.width for s in strips), sum(s.height + 4 for s in strips)))
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height + 4
    sheet.save(path)


def measure_time(options: argparse.Namespace, size: str, dtype_name: str) -> None:
    """In a process of its own, with memory kept as the command line keeps it: one pass forward and back to the image.

    Networks take turns; wall clock and processor time. Prints JSON.
    """
    keep_freed_memory()
    width, height = map(int, size.split("x"))
    dtype = getattr(torch, dtype_name)
    encoders = {name: load(name, options.teacher, options.weights, dtype) for name in ("teacher", "student")}
    images = torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    cotangents = {
        name: [torch.randn_like(f) for f in encoder(images, OBJECTIVE_LAYERS).values()]
        for name, encoder in encoders.items()
    }
    wall: dict[str, list[float]] = {name: [] for name in encoders}
    processor: dict[str, list[float]] = {name: [] for name in encoders}
    for _ in range(options.rounds + 3):
        for name, encoder in encoders.items():
            started, busy = time.perf_counter(), time.process_time()
            features = encoder(images, OBJECTIVE_LAYERS)
            torch.autograd.grad(list(features.values()), images, cotangents[name])
            wall[name].append(time.perf_counter() - started)
            processor[name].append(time.process_time() - busy)
    result: dict[str, Any] = {}
    for kind, seconds in (("wall", wall), ("processor", processor)):
        quartiles = {name: statistics.quantiles(values[3:], n=4) for name, values in seconds.items()}
        result[kind] = {
            name: {"median_ms": round(1e3 * q[1], 1), "quartiles_ms": [round(1e3 * q[0], 1), round(1e3 * q[2], 1)]}
            for name, q in quartiles.items()
        }
        result[kind]["ratio"] = round(quartiles["student"][1] / quartiles["teacher"][1], 3)
    print(json.dumps(result))


def measure_memory(options: argparse.Namespace, network: str, size: str, dtype_name: str) -> None:
    """In a process of its own: peak resident memory of one evaluation, and what was there before it; prints JSON."""
    width, height = map(int, size.split("x"))
    encoder = load(network, options.teacher, options.weights, getattr(torch, dtype_name))
    images = torch.rand((1, 3, height, width)).requires_grad_(True)
    status = Path("/proc/self/status")
    before = _resident_mb(status)
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")  # the high-water mark starts again from here: importing torch is not what we measure
    for _ in range(2):
        features = encoder(images, OBJECTIVE_LAYERS)
        torch.autograd.grad([f.sum() for f in features.values()], images)
        del features
    peak = (
        _resident_mb(status, "VmHWM") if status.exists() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )
    print(json.dumps({"before_mb": round(before), "peak_mb": round(peak)}))


def _resident_mb(status: Path, key: str = "VmRSS") -> float:
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024


def in_a_process(options: argparse.Namespace, *measurement: str) -> dict[str, Any]:
    """What `--time-of` or `--memory-of` prints."""
    command = [sys.executable, __file__, "--teacher", str(options.teacher), "--data", str(options.data)]
    command += ["--out", str(options.out), "--weights", str(options.weights), "--rounds", str(options.rounds)]
    done = subprocess.run([*command, *measurement], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare_precisions(options: argparse.Namespace) -> dict[str, Any]:
    """The student in float32 and bfloat16: losses of the same image, and the result of each."""
    encoders = {
        name: load_encoder("compact", weights=options.weights, dtype=getattr(torch, name)) for name in PRECISIONS
    }
    judging = load("teacher", options.teacher, None, torch.float32)
    rows = []
    for content_name, style_name in PAIRS[: min(2, options.pairs)]:
        content = read_rgb(options.data / CONTENTS[content_name], options.side)
        style_image = read_rgb(options.data / STYLE_IMAGES[style_name])
        made = {name: stylize(encoder, content, style_image, SEED) for name, encoder in encoders.items()}
        same = {
            name: judge(objective_for(encoder, content, style_image), made["float32"])
            for name, encoder in encoders.items()
        }
        judged = {name: judge(objective_for(judging, content, style_image), images) for name, images in made.items()}
        strip = np.concatenate([content, as_rgb(made["float32"]), as_rgb(made["bfloat16"])], axis=1)
        Image.fromarray(strip).save(options.out / f"precision_{content_name}.png")
        rows.append(
            {
                "pair": f"{content_name} x {style_name}",
                "same_image": {k: round(same["bfloat16"][k] / same["float32"][k], 4) for k in same["float32"]},
                "stylized": {k: round(judged["bfloat16"][k] / judged["float32"][k], 4) for k in judged["float32"]},
                "mean_absolute_difference_of_255": round(
                    255 * float((made["float32"] - made["bfloat16"]).abs().mean()), 2
                ),
            }
        )
    return {"pairs": rows}


PRECISIONS = ("float32", "bfloat16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    data = os.environ.get("TEMPERA_DATA")
    add("--teacher", type=Path, required=True, help="vgg19_16x_se.safetensors")
    add("--weights", type=Path, default=weights_path("compact"), help="the student; by default the one that ships")
    add("--data", type=Path, default=data, required=data is None, help="folder of the developer data (TEMPERA_DATA)")
    add("--out", type=Path, required=True, help="folder for the images")
    add("--parts", default="features,transfer,precision,time,memory")
    add("--pairs", type=int, default=len(PAIRS), help="how many of the pairs to stylize")
    add("--side", type=int, default=384, help="longer side of the stylized images, px")
    add("--rounds", type=int, default=21, help="timed evaluations of each network")
    add("--control", action=argparse.BooleanOptionalAction, default=True)
    add("--time-of", nargs=2, metavar=("SIZE", "DTYPE"), help=argparse.SUPPRESS)
    add("--memory-of", nargs=3, metavar=("NETWORK", "SIZE", "DTYPE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        measure_memory(options, *options.memory_of)
        return
    if options.time_of:
        measure_time(options, *options.time_of)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    parts = options.parts.split(",")
    result: dict[str, Any] = {"environment": environment()}
    if "features" in parts:
        student, teacher = (load(n, options.teacher, options.weights, torch.float32) for n in ("student", "teacher"))
        images = [read_rgb(options.data / path, options.side) for path in (*CONTENTS.values(), *STYLE_IMAGES.values())]
        result["features"] = feature_errors(student, teacher, options.weights, images)
    if "transfer" in parts:
        result["transfer"] = transfer(options)
    if "precision" in parts:
        result["precision"] = compare_precisions(options)
    for part in ("time", "memory"):
        for size in ("512x384", "1280x720") if part in parts else ():
            for dtype_name in PRECISIONS:
                key = f"{part} {size} {dtype_name}"
                if part == "time":
                    result[key] = in_a_process(options, "--time-of", size, dtype_name)
                else:
                    result[key] = {
                        name: in_a_process(options, "--memory-of", name, size, dtype_name)
                        for name in ("teacher", "student")
                    }
                print(key, json.dumps(result[key]), file=sys.stderr, flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

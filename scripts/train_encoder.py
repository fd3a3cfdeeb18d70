"""Distills the bundled encoder from a teacher, on folders of images.

    python scripts/train_encoder.py --teacher vgg19_16x_se.safetensors --photos P --styles Q --out RUN --steps 9000

The student starts as its teacher without the channels that never fire (`--init teacher`) or from random weights, and
learns the teacher's pre-activations, second moments, and reaction to small steps, on crops of the images, on
generated images, and on half-stylized images that the student itself makes during the training (distill_data.py).

The run is seeded, and can be stopped and started again with the same command: it continues from RUN/checkpoint.pt, on
the CPU to the same bytes as if it had never stopped. RUN/compact.safetensors is the result (the average of the weights
over the last steps), RUN/log.jsonl has one line per evaluation. The last line on stdout is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
import torch.nn.functional as F
from distill_data import Iterates, Source, read_images
from distill_teacher import (
    LAYERS,
    Statistics,
    Teacher,
    architecture_for,
    choose_channels,
    inherit,
    load_teacher,
    measure,
    untouched,
)
from torch import Tensor, nn

from pipeline.encoders.compact import PUBLIC_LAYERS, CompactNetwork, save_compact
from pipeline.encoders.load import frozen as freeze
from pipeline.encoders.network import Encoder
from pipeline.encoders.steps import Pooling

LAYER_WEIGHTS = {"relu4_2": 2.0, "relu1_2": 0.5, "relu2_2": 0.5, "relu3_2": 0.5}
"""Of the loss, where not 1: the content layer is learned worst; the others are not in the default objective."""
AVERAGE_DECAY = 0.998
WARM_UP_STEPS = 100
CALM_FACTOR = 0.01
MARGINS = {"1": 1, "2": 2, "3": 3, "4": 3, "5": 2}
"""Features along a crop's border that are not compared, by stage: there student and teacher pad at different positions,
which the student should not try to learn."""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--teacher", type=Path, required=True, help="the compressed VGG-19 or torchvision's vgg19")
    add("--photos", type=Path, action="append", default=[], help="folder of photos (may be repeated)")
    add("--styles", type=Path, action="append", default=[], help="folder of style images (may be repeated)")
    add("--exclude", action="append", default=[], help="pattern of file names to leave out (may be repeated)")
    add("--evaluate", type=Path, action="append", default=[], help="folder of images that are only evaluated on")
    add("--longest", type=int, default=640, help="images are shrunk to this many px")
    add("--out", type=Path, required=True, help="folder of the run: checkpoint, log and result")
    add("--init", choices=("teacher", "random"), default="teacher")
    add("--reductions", default="max,max,max,max", help="max or average after each of the first four stages")
    add("--width", action="append", default=[], help="layer=channels at most, as in relu4_4=96 (may be repeated)")
    add("--steps", type=int, default=9000)
    add("--batch", type=int, default=5, help="pairs of crops in a step")
    add("--crop", type=int, default=128, help="side of a crop, px")
    add("--learning-rate", type=float, default=4e-3, help="relative to the size of each tensor")
    add("--iterate-fraction", type=float, default=0.45, help="fraction of half-stylized crops")
    add("--iterate-every", type=int, default=30, help="steps between two stylizations")
    add("--iterate-side", type=int, default=176, help="side of half-stylized images, px")
    add("--statistics-batches", type=int, default=60, help="batches for the channel statistics")
    add("--evaluate-every", type=int, default=500)
    add("--checkpoint-every", type=int, default=250)
    add("--stop-at", type=int, default=None, help="stop after this step as if interrupted")
    add("--device", default="cpu")
    add("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    add("--seed", type=int, default=0)
    return parser.parse_args(arguments)


class Recorder:
    """Collects pre-activations of the public layers from a student in training mode, without their borders."""

    def __init__(self, student: CompactNetwork) -> None:
        self.student = student
        self.raw: dict[str, Tensor] = {}
        for layer in PUBLIC_LAYERS:
            student.get_submodule(layer.replace("relu", "conv")).register_forward_hook(self._hook(layer))

    def _hook(self, layer: str) -> Any:
        def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self.raw[layer] = output

        return keep

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        sizes = {name: found.shape[-2:] for name, found in self.student(images, PUBLIC_LAYERS).items()}
        result = {}
        for name, raw in self.raw.items():
            height, width = sizes[name]
            top, left = (raw.shape[-2] - height) // 2, (raw.shape[-1] - width) // 2
            result[name] = inner(name, raw[..., top : top + height, left : left + width]).float()
        self.raw = {}
        return result


def inner(layer: str, features: Tensor) -> Tensor:
    """Features (B, C, h, w) without the border where padding shows; all of them where nothing would be left."""
    margin = MARGINS[layer[4]]
    if min(features.shape[-2:]) <= 2 * margin:
        return features
    return features[..., margin:-margin, margin:-margin]


def _second_moments(features: Tensor) -> Tensor:
    rows = features.flatten(2)
    return rows @ rows.mT / rows.shape[2]


def layer_errors(mine: Tensor, theirs: Tensor, statistics: Statistics) -> dict[str, Tensor]:
    """Relative squared errors of one layer's pre-activations, (2n, C, h, w) each; sample n + i is a step from i.

    `before`: standardized per channel; `after`: behind ReLU, over the layer's energy; `moments`: of second moments
    behind ReLU, standardized, Frobenius; `step`: of the change that the small steps make.
    """
    deviation = statistics.deviation[:, None, None]
    difference = (mine - theirs) / deviation
    count = len(mine) // 2
    change = (theirs[count:] - theirs[:count]) / deviation
    scale = statistics.energy.sqrt()[:, None, None] + 1e-6
    my_relu, their_relu = F.relu(mine), F.relu(theirs)
    my_moments, their_moments = _second_moments(my_relu / scale), _second_moments(their_relu / scale)
    moment_error = (my_moments - their_moments).square().sum((1, 2)) / (their_moments.square().sum((1, 2)) + 1e-6)
    return {
        "before": difference.square().mean(),
        "after": (my_relu - their_relu).square().mean() / statistics.energy.mean(),
        "moments": moment_error.mean(),
        "step": (difference[count:] - difference[:count]).square().mean() / (change.square().mean() + 1e-6),
    }


def total_loss(errors: dict[str, dict[str, Tensor]]) -> Tensor:
    terms = [
        LAYER_WEIGHTS.get(layer, 1.0)
        * (0.5 * found["before"] + found["after"] + found["moments"].clamp_max(4) + 0.5 * found["step"])
        for layer, found in errors.items()
    ]
    return torch.stack(terms).sum()


@dataclass
class Run:
    """Everything that a training run holds; what changes from step to step is in `state`."""

    arguments: argparse.Namespace
    teacher: Teacher
    kept: dict[str, Tensor]
    statistics: dict[str, Statistics]
    student: CompactNetwork
    average: CompactNetwork
    optimizer: torch.optim.Adam
    source: Source
    generator: torch.Generator
    step: int = 0

    def learning_rate(self) -> float:
        """Linear warm-up, then half a cosine down to a hundredth."""
        arguments = self.arguments
        warm = min(1.0, (self.step + 1) / WARM_UP_STEPS)
        decay = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.step / max(1, arguments.steps)))
        return float(arguments.learning_rate * warm * decay)

    def targets(self, images: Tensor) -> dict[str, Tensor]:
        raw = self.teacher(images, PUBLIC_LAYERS)
        return {name: inner(name, raw[name])[:, self.kept[name]].float() for name in PUBLIC_LAYERS}

    def train_step(self, recorder: Recorder) -> float:
        arguments = self.arguments
        device = torch.device(arguments.device)
        if arguments.iterate_fraction > 0 and self.step % arguments.iterate_every == 0:
            self.source.iterates.refresh(frozen(self.average, arguments), self.generator)
        images = self.source.batch(self.generator, arguments.batch, arguments.crop).to(device)
        targets = self.targets(images)
        half = arguments.precision == "bfloat16"
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            mine = recorder(images)
        loss = total_loss({name: layer_errors(mine[name], targets[name], self.statistics[name]) for name in targets})
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate() * group["size"]
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        decay = min(AVERAGE_DECAY, self.step / (self.step + 10))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.student.parameters(), strict=True):
                slow.lerp_(fast, 1 - decay)
        return float(loss.detach())

    def state(self) -> dict[str, Any]:
        return {
            "identity": identity(self.arguments),
            "step": self.step,
            "student": self.student.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "pool": self.source.iterates.pool,
        }

    def restore(self, state: dict[str, Any]) -> None:
        if state["identity"] != identity(self.arguments):
            raise SystemExit(f"{self.arguments.out}: a run with other settings; name another --out, or delete it")
        self.step = state["step"]
        self.student.load_state_dict(state["student"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.source.iterates.pool = state["pool"]


def identity(arguments: argparse.Namespace) -> str:
    """Digest of the settings that decide the result (not where it runs, nor how often it is looked at)."""
    free = {"out", "device", "evaluate", "evaluate_every", "checkpoint_every", "stop_at"}
    chosen = {key: str(value) for key, value in vars(arguments).items() if key not in free}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()


def frozen(network: CompactNetwork, arguments: argparse.Namespace) -> Encoder:
    """The network as an encoder, to stylize with."""
    dtype = torch.bfloat16 if arguments.precision == "bfloat16" else torch.float32
    return freeze("student", "", network, torch.device(arguments.device), dtype)


def prepare(arguments: argparse.Namespace) -> Run:
    """Load teacher and images, choose the channels, build the student."""
    device = torch.device(arguments.device)
    dtype = torch.bfloat16 if arguments.precision == "bfloat16" else torch.float32
    generator = torch.Generator().manual_seed(arguments.seed)
    images = read_images(arguments.photos, arguments.exclude, arguments.longest, is_style=False)
    images += read_images(arguments.styles, arguments.exclude, arguments.longest, is_style=True)
    if arguments.iterate_fraction > 0 and len({image.is_style for image in images}) < 2:
        raise SystemExit("half-stylized images need --photos and --styles; or give --iterate-fraction 0")
    print(f"{len(images)} images", file=sys.stderr)
    source = Source(images, Iterates(images, arguments.iterate_side, 320), arguments.iterate_fraction)
    full = load_teacher(arguments.teacher)
    measured = full.to(device, torch.float32)
    batches = (
        source.batch(generator, 4, arguments.crop).to(device) for _ in range(max(1, arguments.statistics_batches))
    )
    statistics = measure(measured, batches)
    widths = {name: int(count) for name, _, count in (text.partition("=") for text in arguments.width)}
    if not set(widths) <= set(LAYERS):
        raise SystemExit(f"--width: the layers are {', '.join(LAYERS)}")
    kept = choose_channels(statistics, widths)
    reductions: list[Pooling] = arguments.reductions.split(",")
    if len(reductions) != 4 or not set(reductions) <= set(get_args(Pooling)):
        raise SystemExit(f"--reductions: expected four of {', '.join(get_args(Pooling))}, separated by commas")
    torch.manual_seed(arguments.seed)
    student = CompactNetwork(architecture_for(kept, reductions))
    if arguments.init == "teacher":
        inherit(student, full, kept)
    average = CompactNetwork(student.architecture)
    average.load_state_dict(student.state_dict())
    student.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    student.train()
    average.to(device).requires_grad_(False)
    chosen = {
        name: Statistics(s.mean[kept[name]], s.deviation[kept[name]], s.energy[kept[name]])
        for name, s in statistics.items()
    }
    # Weights differ in size by a factor of 500 from the first layer to the last: steps are relative to each tensor.
    # Layers that equal the teacher's already move least: everything else stands on them.
    calm = untouched(statistics, kept, reductions) if arguments.init == "teacher" else set[str]()
    groups = []
    for name, parameter in student.named_parameters():
        size = max(1e-3, float(parameter.detach().square().mean().sqrt()))
        factor = CALM_FACTOR if name.partition(".")[0].replace("conv", "relu") in calm else 1.0
        groups.append({"params": [parameter], "size": size * factor})
    optimizer = torch.optim.Adam(groups, lr=arguments.learning_rate, betas=(0.9, 0.99))
    teacher = full.to(device, dtype)
    return Run(arguments, teacher, kept, chosen, student, average, optimizer, source, generator)


@torch.no_grad()
def evaluate(run: Run, batches: Sequence[Tensor]) -> dict[str, float]:
    """Relative feature error (root) per layer of the averaged student on fixed batches, behind ReLU."""
    copy = CompactNetwork(run.average.architecture)
    copy.load_state_dict(run.average.state_dict())
    recorder = Recorder(copy.to(run.arguments.device).train())
    totals = dict.fromkeys(PUBLIC_LAYERS, 0.0)
    for images in batches:
        moved = images.to(run.arguments.device)
        targets = run.targets(moved)
        for name, mine in recorder(moved).items():
            theirs = F.relu(targets[name])
            totals[name] += float((F.relu(mine) - theirs).square().sum() / theirs.square().sum()) / len(batches)
    return {name: round(math.sqrt(total), 5) for name, total in totals.items()}


def write_atomically(path: Path, write: Any) -> None:
    temporary = path.with_suffix(".tmp")
    write(temporary)
    os.replace(temporary, path)  # noqa: PTH105 - the one that is documented to be atomic


def train(arguments: argparse.Namespace) -> Path:
    """Run the training to its end (or `--stop-at`), and return the path of the exported weights."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    checkpoint: Path = arguments.out / "checkpoint.pt"
    result: Path = arguments.out / "compact.safetensors"
    run = prepare(arguments)
    if checkpoint.is_file():
        run.restore(torch.load(checkpoint, map_location=arguments.device, weights_only=True))
        print(f"continuing at step {run.step}", file=sys.stderr)
    unseen = read_images(arguments.evaluate, [], arguments.longest, is_style=False)
    evaluation_generator = torch.Generator().manual_seed(1)
    evaluation_source = Source(unseen, Iterates([], arguments.crop, 1), 0.0)
    batches = [evaluation_source.batch(evaluation_generator, 4, arguments.crop) for _ in range(8)]
    recorder = Recorder(run.student)
    started, first = time.monotonic(), run.step
    recent: list[float] = []
    end = arguments.steps if arguments.stop_at is None else min(arguments.stop_at, arguments.steps)
    while run.step < end:
        recent.append(run.train_step(recorder))
        if not math.isfinite(recent[-1]):
            raise SystemExit(f"the loss is {recent[-1]} at step {run.step}; try a smaller --learning-rate")
        if run.step % arguments.checkpoint_every == 0 or run.step == end:
            write_atomically(checkpoint, lambda path: torch.save(run.state(), path))
        if run.step % arguments.evaluate_every == 0 or run.step == end:
            seconds = time.monotonic() - started
            line = {
                "step": run.step,
                "loss": round(sum(recent) / len(recent), 5),
                "errors": evaluate(run, batches),
                "seconds_left": round(seconds / (run.step - first) * (arguments.steps - run.step)),
            }
            recent = []
            print(json.dumps(line), file=sys.stderr, flush=True)
            with (arguments.out / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
    notes = {"teacher_channels": {name: indices.tolist() for name, indices in run.kept.items()}}
    write_atomically(result, lambda path: save_compact(run.average, path, notes=notes))
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    path = train(options)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(json.dumps({"weights": str(path), "bytes": path.stat().st_size, "sha256": digest}))


if __name__ == "__main__":
    main()

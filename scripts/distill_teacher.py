"""Teachers for scripts/train_encoder.py, and what a student inherits from one.

A teacher is VGG-19 as far as relu5_1: either the 16x compressed network of Wang et al. 2020 (keys `conv11.weight`), or
torchvision's `vgg19` state dict from a local file (keys `features.0.weight`). A student starts as its teacher with the
channels removed that never fire, or with only the most active ones kept. A
module of train_encoder.py; it is not run by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from pipeline.encoders.compact import MEAN, Architecture, CompactNetwork
from pipeline.encoders.steps import Pooling

STAGES = (2, 2, 4, 4, 1)
"""Convolutions by stage, as far as relu5_1."""
CONVOLUTIONS = tuple((stage, index) for stage, count in enumerate(STAGES) for index in range(count))
LAYERS = tuple(f"relu{stage + 1}_{index + 1}" for stage, index in CONVOLUTIONS)
TORCHVISION_INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)
"""Indices of these convolutions in torchvision's `vgg19().features`."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
GAINS = {"max": 1.0, "average": 1.5}
"""How much less another pooling hands on than the teacher's maximum, roughly: where training starts."""


@dataclass(frozen=True)
class Teacher:
    """VGG-19 to relu5_1: one (weight, bias) per convolution; the first takes sRGB in [0, 1].

    `mirrored`: a mirror pad before every convolution (the compressed network), else zeros inside it (torchvision).
    """

    convolutions: tuple[tuple[Tensor, Tensor], ...]
    mirrored: bool
    pad_value: Tensor
    """(1, 3, 1, 1): what zeros behind the normalization are in sRGB."""

    @torch.no_grad()
    def __call__(self, images: Tensor, layers: Sequence[str] = LAYERS) -> dict[str, Tensor]:
        """Pre-activations (B, C, h, w) of `images` (B, 3, H, W) sRGB in [0, 1], in the weights' precision."""
        found: dict[str, Tensor] = {}
        # The normalization is folded into the first convolution, so its padding is the color that it maps to zero.
        x = F.pad(images - self.pad_value.to(images), (1,) * 4, mode="reflect" if self.mirrored else "constant")
        x = x.to(self.convolutions[0][0].dtype, memory_format=torch.channels_last)
        for position, ((stage, index), (weight, bias)) in enumerate(zip(CONVOLUTIONS, self.convolutions, strict=True)):
            if index == 0 and stage:
                x = F.max_pool2d(x, 2)
            if position:
                x = F.pad(x, (1,) * 4, mode="reflect" if self.mirrored else "constant")
            y = F.conv2d(x, weight, bias)
            name = LAYERS[position]
            if name in layers:
                found[name] = y
            if len(found) == len(layers):
                break
            x = F.relu(y)
        return found

    def to(self, device: torch.device, dtype: torch.dtype) -> Teacher:
        moved = tuple(
            (weight.to(device, dtype, memory_format=torch.channels_last), bias.to(device, dtype))
            for weight, bias in self.convolutions
        )
        return Teacher(moved, self.mirrored, self.pad_value.to(device))


def load_teacher(path: Path) -> Teacher:
    """Read a teacher from .safetensors or .pth (tensors only, no code). Raises ValueError if it is neither network."""
    if path.suffix == ".safetensors":
        state = load_file(path)
    else:
        state = torch.load(path, map_location="cpu", weights_only=True)
    if "conv11.weight" in state:
        return _compressed(state)
    if "features.0.weight" in state:
        return _torchvision(state)
    raise ValueError(f"{path}: neither the 16x compressed VGG-19 nor torchvision's vgg19")


def _compressed(state: Mapping[str, Tensor]) -> Teacher:
    """Its preprocessing `conv0` (1x1) is linear: folded into conv11, around the color that it maps to zero."""
    matrix, bias = state["conv0.weight"][:, :, 0, 0].double(), state["conv0.bias"].double()
    center = torch.linalg.solve(matrix, -bias).float()
    convolutions = []
    for stage, index in CONVOLUTIONS:
        name = f"conv{stage + 1}{index + 1}"
        weight, offset = state[f"{name}.weight"], state[f"{name}.bias"]
        if name == "conv11":
            weight = torch.einsum("omhw,mi->oihw", weight.double(), matrix).float()
        convolutions.append((weight, offset))
    return Teacher(tuple(convolutions), mirrored=True, pad_value=center[None, :, None, None])


def _torchvision(state: Mapping[str, Tensor]) -> Teacher:
    convolutions = []
    for index in TORCHVISION_INDICES:
        weight, bias = state[f"features.{index}.weight"].float(), state[f"features.{index}.bias"].float()
        if index == 0:
            weight = weight / torch.tensor(IMAGENET_STD)[:, None, None]
        convolutions.append((weight, bias))
    center = torch.tensor(IMAGENET_MEAN)[None, :, None, None]
    return Teacher(tuple(convolutions), mirrored=False, pad_value=center)


@dataclass(frozen=True)
class Statistics:
    """Of one layer's pre-activations over many images: mean, standard deviation, and mean square after ReLU, (C,)."""

    mean: Tensor
    deviation: Tensor
    energy: Tensor


def measure(teacher: Teacher, batches: Iterable[Tensor]) -> dict[str, Statistics]:
    """Statistics of every layer of the teacher over batches of images (B, 3, H, W) sRGB in [0, 1]."""
    sums: dict[str, list[Tensor]] = {}
    count = 0
    for images in batches:
        for name, features in teacher(images).items():
            y = features.double()
            values = [y.mean((0, 2, 3)), y.square().mean((0, 2, 3)), F.relu(y).square().mean((0, 2, 3))]
            sums[name] = [a + b for a, b in zip(sums[name], values, strict=True)] if name in sums else values
        count += 1
    result = {}
    for name, (mean, square, energy) in sums.items():
        center = mean / count
        deviation = (square / count - center.square()).clamp_min(1e-12).sqrt()
        result[name] = Statistics(center.float(), deviation.float(), (energy / count).float())
    return result


def choose_channels(statistics: Mapping[str, Statistics], most: Mapping[str, int]) -> dict[str, Tensor]:
    """Indices of the teacher's channels that a student keeps, sorted: those that fire, at most `most[layer]` of them.

    A channel with less than a millionth of its layer's mean energy does not fire.
    """
    kept = {}
    for name in LAYERS:
        energy = statistics[name].energy
        live = int((energy > 1e-6 * energy.mean()).sum())
        number = min(live, most.get(name, live))
        kept[name] = energy.topk(number).indices.sort().values
    return kept


def untouched(
    statistics: Mapping[str, Statistics], kept: Mapping[str, Tensor], reductions: Sequence[Pooling]
) -> set[str]:
    """Layers in which an inheriting student equals its teacher: nothing that fires is missing, pooling is the same."""
    result: set[str] = set()
    for (stage, index), name in zip(CONVOLUTIONS, LAYERS, strict=True):
        if index == 0 and stage > 0 and reductions[stage - 1] != "max":
            break
        if len(kept[name]) < len(choose_channels(statistics, {})[name]):
            break
        result.add(name)
    return result


def architecture_for(kept: Mapping[str, Tensor], reductions: Sequence[Pooling]) -> Architecture:
    """The student's architecture that has exactly the kept channels."""
    widths = [tuple(len(kept[f"relu{s + 1}_{i + 1}"]) for i in range(count)) for s, count in enumerate(STAGES)]
    return Architecture(tuple(widths), tuple(reductions))


@torch.no_grad()
def inherit(student: CompactNetwork, teacher: Teacher, kept: Mapping[str, Tensor]) -> None:
    """Copy the kept channels of the teacher into the student: wherever both have the same convolution.

    With "max" reductions and all live channels kept, the student then equals its teacher except along the borders.
    """
    previous = torch.arange(3)
    mean = torch.tensor(MEAN)
    for position, ((stage, index), name) in enumerate(zip(CONVOLUTIONS, LAYERS, strict=True)):
        weight, bias = (tensor.cpu().float() for tensor in teacher.convolutions[position])
        if position == 0:
            shift = (mean - teacher.pad_value.cpu().flatten())[None, :, None, None]
            bias = bias + (weight * shift).sum((1, 2, 3))
        chosen = kept[name].cpu()
        target = student.get_submodule(name.replace("relu", "conv"))
        assert isinstance(target, torch.nn.Conv2d)
        reduction = student.architecture.reductions[stage - 1] if index == 0 and stage > 0 else "max"
        target.weight.copy_(GAINS[reduction] * weight[chosen][:, previous])
        target.bias.copy_(bias[chosen])  # type: ignore[union-attr]
        previous = chosen

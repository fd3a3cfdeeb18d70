"""A feature network as a list of steps, and how far each of its layers sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Pooling = Literal["max", "average"]


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """A convolution of 3 x 3 followed by ReLU, whose result is the layer called `layer`.

    `weight` is (C, C_in, 3, 3), `bias` (C,); `reverse` (C_in, C, 3, 3) is the weight turned by 180 degrees, with which
    gradients go back. `channels` of the C are the layer's, the others are zeros that make the arithmetic faster. The
    input is padded by `padding` zeros. `margin` px on every side of the result are only there for later convolutions
    and are no part of the layer.
    """

    layer: str
    weight: Tensor
    bias: Tensor
    reverse: Tensor
    channels: int
    padding: int = 0
    margin: int = 0


def layer_stride(layer: str) -> int:
    """How many px of the image lie between two positions of a layer: 1 for `relu1_1`, 8 for `relu4_2`."""
    return 1 << (int(layer.removeprefix("relu").partition("_")[0]) - 1)


def convolution(layer: str, weight: Tensor, bias: Tensor, *, padding: int = 0, margin: int = 0) -> Convolution:
    """A convolution with all its channels."""
    return Convolution(layer, weight, bias, _reverse(weight), len(bias), padding, margin)


def _reverse(weight: Tensor) -> Tensor:
    return weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True)
class Mirror:
    """Padding by `margin` px on every side: mirrored, or the edge repeated where there is too little to mirror."""

    margin: int


@dataclass(frozen=True, slots=True)
class Pool:
    """Pooling of 2 x 2 px; an odd last row or column is dropped."""

    kind: Pooling


Step = Convolution | Mirror | Pool


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a network after `mean`, 3 values in [0, 1], was subtracted from the image.

    `layers` are the names that losses may ask for, shallow to deep; `min_side_px` is the smallest image.
    """

    mean: tuple[float, float, float]
    steps: tuple[Step, ...]
    layers: tuple[str, ...]
    min_side_px: int

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return next(step.weight.dtype for step in self.steps if isinstance(step, Convolution))

    def until(self, layers: Sequence[str]) -> tuple[Step, ...]:
        """The steps up to the deepest of these layers."""
        last = max(i for i, step in enumerate(self.steps) if isinstance(step, Convolution) and step.layer in layers)
        return self.steps[: last + 1]

    def reach_px(self, layers: Sequence[str]) -> int:
        """How many px of the image beyond its own square a feature of these layers depends on, at most."""
        stride, reach = 1, 0
        for step in self.until(layers):
            if isinstance(step, Pool):
                stride *= 2
            elif isinstance(step, Convolution):
                reach += stride
        return reach

    def bytes_per_px(self, layers: Sequence[str]) -> float:
        """Bytes of feature maps, for each px of the image, that the gradient of these layers needs."""
        maps = [step for step in self.until(layers) if isinstance(step, Convolution)]
        return sum(it.weight.element_size() * len(it.bias) / layer_stride(it.layer) ** 2 for it in maps)

    def to(self, device: torch.device, dtype: torch.dtype, channel_multiple: int = 1) -> Steps:
        """The same on a device and in a precision, channels padded with zeros to a multiple."""
        steps: list[Step] = []
        inputs = 0
        for step in self.steps:
            if isinstance(step, Convolution):
                outputs = -step.channels % channel_multiple
                weight = F.pad(step.weight, (0, 0, 0, 0, 0, inputs, 0, outputs)).to(device, dtype)
                weight = weight.contiguous(memory_format=torch.channels_last)
                bias = F.pad(step.bias, (0, outputs)).to(device, dtype)
                steps.append(replace(step, weight=weight, bias=bias, reverse=_reverse(weight)))
                inputs = outputs
            else:
                steps.append(step)
        return replace(self, steps=tuple(steps))

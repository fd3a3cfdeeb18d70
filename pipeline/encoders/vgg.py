"""VGG-19 and VGG-16 (Simonyan and Zisserman 2014): torchvision's definition and weights, layers named as in the paper.

torchvision is imported only when one of these networks is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.encoders.passes import centered
from pipeline.encoders.pretrained import read_state, torchvision_module
from pipeline.encoders.steps import Pool, Pooling, Step, Steps, convolution
from pipeline.errors import MissingPartError
from pipeline.runtime.hashing import file_digest
from pipeline.runtime.presence import is_file

CONFIGURATIONS = {"vgg19": "E", "vgg16": "D"}
"""Letters of the networks in the paper's table 1, which torchvision uses too."""
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


class VggNetwork(nn.Module):
    """The convolutions of a VGG, each followed by ReLU; images are normalized with ImageNet's mean and deviation."""

    def __init__(self, features: nn.Sequential, pooling: Pooling | None = None) -> None:
        """`features` is torchvision's `vgg.features`; `pooling` None keeps its maximum."""
        super().__init__()
        self.features = features
        self.pooling: Pooling = pooling or "max"
        numbered = _numbered(features)
        self.layers = tuple(f"relu{block}_{index}" for block, index, _ in numbered)
        self.min_side_px = 2 ** (numbered[-1][0] - 1)

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Features at `layers`; `images` is float32 (B, 3, H, W) sRGB in [0, 1]."""
        wanted, found = set(layers), dict[str, Tensor]()
        if not wanted:
            return found
        deviation = images.new_tensor(DEVIATION)[:, None, None]
        convolutions = _numbered(self.features)
        x = centered(images, MEAN, torch.float32) / deviation
        x = x.to(convolutions[0][2].weight.dtype)
        for block, index, module in convolutions:
            if index == 1 and block > 1:
                x = F.avg_pool2d(x, 2) if self.pooling == "average" else F.max_pool2d(x, 2)
            x = torch.relu(module(x))
            name = f"relu{block}_{index}"
            if name in wanted:
                found[name] = x
            if len(found) == len(wanted):
                break
        return found

    def steps(self) -> Steps:
        """The same computation as a list of steps; the first convolution divides by the deviation."""
        steps: list[Step] = []
        for block, index, module in _numbered(self.features):
            if index == 1 and block > 1:
                steps.append(Pool(self.pooling))
            assert module.bias is not None
            weight, bias = module.weight.detach(), module.bias.detach()
            if not steps:
                weight = weight / weight.new_tensor(DEVIATION)[:, None, None]
            steps.append(convolution(f"relu{block}_{index}", weight, bias, padding=1))
        return Steps(MEAN, tuple(steps), self.layers, self.min_side_px)


def _numbered(features: nn.Sequential) -> list[tuple[int, int, nn.Conv2d]]:
    """Every convolution with its block and its position in it, both from 1: a pooling layer ends a block."""
    block, index, found = 1, 0, []
    for module in features:
        if isinstance(module, nn.MaxPool2d):
            block, index = block + 1, 0
        elif isinstance(module, nn.Conv2d):
            index += 1
            found.append((block, index, module))
    return found


def load(name: str, path: Path, pooling: Pooling | None) -> tuple[VggNetwork, str]:
    """The network and the SHA-256 of its file. Raises what `load_vgg` raises."""
    return load_vgg(name, path, pooling), file_digest(path)


def load_vgg(name: str, path: Path, pooling: Pooling | None = None) -> VggNetwork:
    """Build a VGG from torchvision's state dict, .pth or .safetensors; the classifier may be missing.

    Raises MissingPartError if the file is missing, damaged, of another network, or a pickle with code in it.
    """
    hint = f"`tempera weights fetch {name}` gets torchvision's file; or use --encoder compact, which ships with tempera"
    if not is_file(path):
        raise MissingPartError(f"the weights of the encoder {name!r} are not at {path}", hint=hint)
    state = read_state(name, path, hint)
    module = torchvision_module("models.vgg")
    with torch.device("meta"):
        features: nn.Sequential = module.make_layers(module.cfgs[CONFIGURATIONS[name]], batch_norm=False)
    expected = features.state_dict()
    given = {
        key.removeprefix("features."): value for key, value in state.items() if re.match(r"features\.\d+\.\w+$", key)
    }
    problems = [
        f"features.{key}: expected {list(tensor.shape)}, found {list(given[key].shape) if key in given else 'nothing'}"
        for key, tensor in expected.items()
        if key not in given or given[key].shape != tensor.shape
    ]
    problems += [f"features.{key}: not part of {name}" for key in given if key not in expected]
    if problems:
        raise MissingPartError(f"{path} does not hold the weights of {name}: {problems[0]}", hint=hint)
    features.load_state_dict({key: value.float().contiguous() for key, value in given.items()}, assign=True)
    return VggNetwork(features, pooling)

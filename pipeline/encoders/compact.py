"""Our own feature network: VGG-19's layers at a fraction of its cost, small enough to ship inside the package.

What makes it cheap (measured by scripts/bench/encoder.py):

- Channels that never fire in its teacher are left out.
- Convolutions are unpadded. The image and each pooled map are padded once, mirrored, by as much as the next two
  convolutions take away: a mirror pad before every convolution is a quarter of the teacher's time, and zero padding
  would be visible along the borders of the result.
- The input is centered in float32 before it becomes half precision, because bfloat16 is more precise near zero.

The architecture is stored in the header of the weights file, so a retrained network of other widths loads with the same
code. Trained by scripts/train_encoder.py; see pipeline/weights/compact.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.encoders.passes import centered, mirrored
from pipeline.encoders.steps import Mirror, Pool, Pooling, Step, Steps, convolution
from pipeline.errors import MissingPartError
from pipeline.runtime.hashing import file_digest
from pipeline.runtime.presence import is_file

HEADER = "tempera-compact-1"
"""Key of the file's one metadata entry, a JSON object: several entries would be written in a random order."""
PUBLIC_LAYERS = (
    "relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu4_1", "relu4_2", "relu5_1",
)  # fmt: skip
"""The layers that losses may ask for. Deeper convolutions of stages 3 and 4 exist in some architectures only."""
MEAN = (0.485, 0.456, 0.406)
"""Subtracted from the image: ImageNet's mean color."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Channels of every convolution by stage, and how the image is reduced between stages.

    `reductions[s]`, "max" or "average", is the pooling that leads from stage s to stage s + 1.
    """

    widths: tuple[tuple[int, ...], ...]
    reductions: tuple[Pooling, ...]

    @classmethod
    def from_data(cls, raw: dict[str, Any]) -> Architecture:
        """The architecture of a weights file. Raises ValueError, TypeError or KeyError if it is not valid."""
        found = cls(
            widths=tuple(tuple(int(width) for width in stage) for stage in raw["widths"]),
            reductions=tuple(cast(Pooling, str(kind)) for kind in raw["reductions"]),
        )
        if len(found.widths) != 5 or len(found.reductions) != 4:
            raise ValueError("expected five stages and four reductions")
        if not set(found.reductions) <= set(get_args(Pooling)) or not all(found.widths):
            raise ValueError("unknown reduction or empty stage")
        if any(not 0 < width <= 4096 for stage in found.widths for width in stage):
            raise ValueError("widths out of range")
        return found

    def layer(self, stage: int, index: int) -> str:
        """VGG's name of a convolution's output, both numbers from 0."""
        return f"relu{stage + 1}_{index + 1}"

    def with_pooling(self, pooling: Pooling | None) -> Architecture:
        """The same with one pooling between all stages; None keeps them."""
        return self if pooling is None else replace(self, reductions=(pooling,) * len(self.reductions))


class CompactNetwork(nn.Module):
    """Convolutions named `conv1_1` and so on, each followed by ReLU.

    The frozen network that stylizes is made of `steps`. A forward hook on a convolution sees pre-activations, with the
    margin that later convolutions of the same group take away.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.min_side_px = 2 ** (len(architecture.widths) - 1)
        self.all_layers: list[str] = []
        channels = 3
        for stage, widths in enumerate(architecture.widths):
            for index, width in enumerate(widths):
                self.add_module(f"conv{stage + 1}_{index + 1}", nn.Conv2d(channels, width, 3))
                self.all_layers.append(architecture.layer(stage, index))
                channels = width
        self.layers = tuple(name for name in PUBLIC_LAYERS if name in self.all_layers)

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Features at `layers`, any of `all_layers`. `images` is float32 (B, 3, H, W) sRGB in [0, 1]."""
        wanted, found = set(layers), dict[str, Tensor]()
        x = centered(images, MEAN, self._conv("conv1_1").weight.dtype)
        for stage, widths in enumerate(self.architecture.widths):
            for index in range(len(widths)):
                if index % 2 == 0:
                    margin = min(2, len(widths) - index)
                    x = mirrored(x, margin)
                margin -= 1
                name = self.architecture.layer(stage, index)
                x = F.relu(self._conv(f"conv{stage + 1}_{index + 1}")(x))
                if name in wanted:
                    found[name] = x[:, :, margin:-margin, margin:-margin] if margin else x
                if len(found) == len(wanted):
                    return found
            if stage < len(self.architecture.reductions):
                average = self.architecture.reductions[stage] == "average"
                x = F.avg_pool2d(x, 2) if average else F.max_pool2d(x, 2)
        return found

    def steps(self) -> Steps:
        """The same computation as a list of steps, with the weights as they are now."""
        steps: list[Step] = []
        for stage, widths in enumerate(self.architecture.widths):
            for index in range(len(widths)):
                if index % 2 == 0:
                    margin = min(2, len(widths) - index)
                    steps.append(Mirror(margin))
                margin -= 1
                module = self._conv(f"conv{stage + 1}_{index + 1}")
                assert module.bias is not None
                weight, bias = module.weight.detach(), module.bias.detach()
                steps.append(convolution(self.architecture.layer(stage, index), weight, bias, margin=margin))
            if stage < len(self.architecture.reductions):
                steps.append(Pool(self.architecture.reductions[stage]))
        return Steps(MEAN, tuple(steps), self.layers, self.min_side_px)

    def _conv(self, name: str) -> nn.Conv2d:
        module = self.get_submodule(name)
        assert isinstance(module, nn.Conv2d)
        return module


def save_compact(
    network: CompactNetwork,
    path: Path,
    dtype: torch.dtype = torch.float16,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write the weights and the architecture as safetensors, always the same bytes; `notes` (JSON) go beside it."""
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in network.state_dict().items()}
    header = {**(notes or {}), "architecture": asdict(network.architecture)}
    save_file(tensors, path, metadata={HEADER: json.dumps(header, sort_keys=True)})


def is_compact(path: Path) -> bool:
    """Whether the header of a file says that it holds weights of this network."""
    try:
        with safe_open(path, framework="pt") as file:
            return HEADER in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def load(name: str, path: Path, pooling: Pooling | None) -> tuple[CompactNetwork, str]:  # noqa: ARG001 - all load alike
    """The network and the SHA-256 of its file. Raises what `load_compact` raises."""
    return load_compact(path, pooling), file_digest(path)


def load_compact(path: Path, pooling: Pooling | None = None) -> CompactNetwork:
    """Read a file of `save_compact`. Raises MissingPartError if it is missing, damaged or something else."""
    hint = "reinstall tempera, or name another file with --weights"
    if not is_file(path):
        raise MissingPartError(f"the weights of the encoder 'compact' are not at {path}", hint=hint)
    try:
        with safe_open(path, framework="pt") as file:
            architecture = read_header(file.metadata())["architecture"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        network = CompactNetwork(Architecture.from_data(architecture).with_pooling(pooling))
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise MissingPartError(f"{path} is no weights file of the encoder 'compact': {reason}", hint=hint) from error
    return network


def read_header(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """What `save_compact` wrote beside the tensors. Raises ValueError if there is nothing."""
    if metadata is None or HEADER not in metadata:
        raise ValueError(f"it has no entry {HEADER!r}")
    header = json.loads(metadata[HEADER])
    if not isinstance(header, dict):
        raise TypeError("its header is not an object")
    return header

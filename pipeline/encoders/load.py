"""`load_encoder`: from the name of a feature network to a frozen callable that maps images to named feature maps."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import torch

from pipeline.encoders.compact import CompactNetwork, is_compact
from pipeline.encoders.fetch import fetch, weights_path
from pipeline.encoders.network import Encoder
from pipeline.encoders.registry import AUTO, ENCODERS, encoder_names
from pipeline.encoders.steps import Pooling
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.encoders.vgg import VggNetwork


def load_encoder(
    name: str,
    *,
    weights: Path | str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    pooling: Pooling | None = None,
) -> Encoder:
    """Load a feature network, frozen, on a device, computing in `dtype` (float32 or bfloat16).

    `name` is one of the registry's. Weights that are not installed are downloaded. "auto" is vgg19 if its weights
    are installed, else compact, and never downloads; with `weights` it is whichever of the two the file holds.
    `weights` is a local file to use instead: for compact .safetensors, for VGG torchvision's .pth, or .safetensors
    with the same names. `pooling` replaces the network's own; None keeps it.

    Raises ConfigError for an unknown name or pooling, MissingPartError for weights that are missing or damaged.
    """
    if name != AUTO and name not in ENCODERS:
        raise ConfigError(f"there is no encoder {name!r}", hint=f"the encoders are {', '.join(encoder_names())}")
    if pooling is not None and pooling not in get_args(Pooling):
        raise ConfigError(f"there is no pooling {pooling!r}", hint=f"the poolings are {', '.join(get_args(Pooling))}")
    path = None if weights is None else Path(weights)
    if name == AUTO:
        candidate = path or weights_path("vgg19")
        name = "vgg19" if candidate.is_file() and not is_compact(candidate) else "compact"
    entry = ENCODERS[name]
    if path is None and entry.weights is not None:
        path = fetch(name) if entry.weights.torchvision else weights_path(name)
    network, digest = import_module(f"pipeline.encoders.{entry.module}").load(name, path, pooling)
    return frozen(name, digest, network, torch.device(device), dtype)


def frozen(
    name: str, digest: str, network: CompactNetwork | VggNetwork, device: torch.device, dtype: torch.dtype
) -> Encoder:
    """An encoder with the weights that a network has now."""
    # Tensor cores take channels in groups of 8.
    steps = network.steps().to(device, dtype, channel_multiple=8 if device.type == "cuda" else 1)
    return Encoder(name, digest, dtype, device, steps)

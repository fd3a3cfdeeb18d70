"""Feature networks: `load_encoder` gives a frozen callable that maps pictures to named feature maps.

`compact` (ours, ships with the package), `vgg19` and `vgg16` (torchvision's, downloaded once), and `tiny` (random, for
tests). Layers are named as in the VGG papers (`relu4_2`), never numbered.
"""

from __future__ import annotations

from pathlib import Path

import torch

from pipeline.encoders.compact import POOLINGS, CompactNetwork, is_compact, load_compact, make_tiny
from pipeline.encoders.fetch import Progress, fetch, verify, weights_path
from pipeline.encoders.network import Encoder, Pooling
from pipeline.encoders.vgg import VggNetwork, load_vgg
from pipeline.errors import ConfigError
from pipeline.runtime.hashing import file_digest

__all__ = ["NAMES", "Encoder", "Pooling", "Progress", "fetch", "load_encoder", "verify", "weights_path"]

NAMES = ("auto", "compact", "vgg19", "vgg16", "tiny")


def load_encoder(
    name: str,
    *,
    weights: Path | str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    pooling: Pooling | None = None,
    progress: Progress | None = None,
) -> Encoder:
    """Load a feature network, frozen, on a device, computing in `dtype` (float32 or bfloat16).

    `name`: "compact"; "vgg19" or "vgg16", whose weights are downloaded when they are not at hand (`progress` is called
    with the bytes done and the bytes in all); "tiny", a seeded random network of a few channels for unit tests; "auto",
    vgg19 if its weights are already here, else compact, never a download (with `weights`, whichever of the two the file
    holds). `weights` is a local file to use instead: for
    compact .safetensors, for VGG torchvision's .pth or .safetensors with the same names. `pooling` replaces the
    network's own; None keeps it.

    Raises ConfigError for an unknown name or pooling, MissingPartError for weights that are not there or damaged.
    """
    if name not in NAMES:
        raise ConfigError(f"there is no encoder {name!r}", hint=f"the encoders are {', '.join(NAMES)}")
    if pooling is not None and pooling not in POOLINGS:
        raise ConfigError(f"there is no pooling {pooling!r}", hint=f"the poolings are {', '.join(POOLINGS)}")
    if name == "auto":
        path = weights_path("vgg19") if weights is None else Path(weights)
        name = "vgg19" if path.is_file() and not is_compact(path) else "compact"
    module: CompactNetwork | VggNetwork
    if name == "tiny":
        if weights is not None:
            raise ConfigError("the encoder 'tiny' has no weights file", hint="use compact, vgg19 or vgg16")
        module, digest = make_tiny(pooling)
    else:
        path = Path(weights) if weights is not None else weights_path(name)
        if name == "compact":
            module = load_compact(path, pooling)
        else:
            if weights is None:
                path = fetch(name, progress=progress)
            module = load_vgg(name, path, pooling)
        digest = file_digest(path)
    chosen = torch.device(device)
    module.eval().requires_grad_(False)
    module.to(device=chosen, dtype=dtype)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Encoder(name, digest, dtype, chosen, module)

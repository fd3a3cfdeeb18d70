"""A random network of a few channels, always the same: for tests only."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from pipeline.encoders.compact import Architecture, CompactNetwork
from pipeline.encoders.steps import Pooling
from pipeline.errors import ConfigError

TINY = Architecture(((4, 4), (6, 6), (8, 8), (8, 8), (8,)), ("max", "average", "max", "average"))


def load(name: str, path: Path | None, pooling: Pooling | None) -> tuple[CompactNetwork, str]:
    """The network and the SHA-256 of its tensors. Raises ConfigError if a weights file is given."""
    if path is not None:
        raise ConfigError(f"the encoder {name!r} has no weights file", hint="leave out --weights")
    network = CompactNetwork(TINY.with_pooling(pooling))
    generator = torch.Generator().manual_seed(20)
    digest = hashlib.sha256(repr(network.architecture).encode())
    with torch.no_grad():
        for _, parameter in sorted(network.named_parameters()):
            if parameter.dim() == 1:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
            else:
                scale = (2 / parameter[0].numel()) ** 0.5
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
            digest.update(parameter.numpy().tobytes())
    return network, digest.hexdigest()

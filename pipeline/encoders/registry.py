"""Every network that Tempera can load, in one table: its name, the file that loads it, and its weights.

All lists of names are read from here: the setting `encoder`, the options and errors of the command line, the download
of weights. Imports no torch, so that names can be listed quickly.

A new encoder is one file of this room with a function `load(name, path, pooling)`, and one entry in `ENCODERS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Weights:
    """A weights file: its name, and the SHA-256 of its content, or how that begins, in hexadecimal.

    `torchvision` says where torchvision has its address: the module, the enumeration, the member. Empty: the file is
    part of this package.
    """

    file_name: str
    sha256: str
    torchvision: tuple[str, str, str] | tuple[()] = ()


@dataclass(frozen=True, slots=True)
class EncoderEntry:
    """An encoder: the file of this room that loads it, and its weights (None: it needs none).

    `listed` is False for an encoder that only tests use: its name is accepted, but no list shows it.
    """

    module: str
    weights: Weights | None
    listed: bool = True


ENCODERS: Final = {
    "compact": EncoderEntry(
        "compact",
        Weights("compact.safetensors", "feb42f43a3d02b43f8efb43f7dde263d15d8685a16f5d6f4779f8af60684fa06"),
    ),
    "vgg19": EncoderEntry(
        "vgg", Weights("vgg19-dcbb9e9d.pth", "dcbb9e9d", ("models.vgg", "VGG19_Weights", "IMAGENET1K_V1"))
    ),
    "vgg16": EncoderEntry(
        "vgg", Weights("vgg16-397923af.pth", "397923af", ("models.vgg", "VGG16_Weights", "IMAGENET1K_V1"))
    ),
    "tiny": EncoderEntry("tiny", None, listed=False),
}

FLOW_NETWORKS: Final = {
    "raft_small": Weights(
        "raft_small_C_T_V2-01064c6d.pth", "01064c6d", ("models.optical_flow", "Raft_Small_Weights", "C_T_V2")
    ),
    "raft_large": Weights(
        "raft_large_C_T_SKHT_V2-ff5fadd5.pth", "ff5fadd5", ("models.optical_flow", "Raft_Large_Weights", "C_T_SKHT_V2")
    ),
}
"""Networks that find motion; `pipeline.motion.raft` loads them."""

AUTO: Final = "auto"
"""Stands for vgg19 if its weights are installed, else for compact."""

WEIGHTS: Final = {
    **{name: entry.weights for name, entry in ENCODERS.items() if entry.weights is not None},
    **FLOW_NETWORKS,
}
"""The weights of every network that has a file."""


def encoder_names() -> tuple[str, ...]:
    """The names that a user may choose from, `auto` first."""
    return (AUTO, *(name for name, entry in ENCODERS.items() if entry.listed))

"""What torchvision gives us: its definitions of networks, the addresses of their weights, and files of such weights."""

from __future__ import annotations

import importlib
import pickle
import warnings
from pathlib import Path
from types import ModuleType

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipeline.errors import MissingPartError

WEIGHTS = {
    "vgg19": ("models.vgg", "VGG19_Weights", "IMAGENET1K_V1"),
    "vgg16": ("models.vgg", "VGG16_Weights", "IMAGENET1K_V1"),
    "raft_small": ("models.optical_flow", "Raft_Small_Weights", "C_T_V2"),
    "raft_large": ("models.optical_flow", "Raft_Large_Weights", "C_T_SKHT_V2"),
}
"""For every network: its module in torchvision, the enumeration of its weights, and the ones that we take."""

_schemas: list[torch.library.Library] = []


def torchvision_module(name: str) -> ModuleType:
    """A module of torchvision, such as "models.vgg". Raises MissingPartError if torchvision cannot be imported.

    Its wheels are built for CUDA builds of torch; with a CPU build their C++ operators do not load and the import dies
    on two that are only mentioned. Declaring these makes everything that we use work.
    """
    try:
        if not _schemas and not hasattr(torch.ops.torchvision, "nms"):
            library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
            arguments = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            for operator in ("nms", "qnms"):
                library.define(operator + arguments)  # type: ignore[no-untyped-call]
            _schemas.append(library)
        return importlib.import_module(f"torchvision.{name}")
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise MissingPartError(
            f"torchvision, which defines VGG and RAFT, cannot be imported: {reason}",
            hint="install the torchvision that belongs to your torch, or do without it: --encoder compact, "
            "--set motion.method=dis",
        ) from error


def weights_url(name: str) -> str:
    """Where torchvision keeps its weights of a network of `WEIGHTS`."""
    module, enumeration, member = WEIGHTS[name]
    return str(getattr(torchvision_module(module), enumeration)[member].url)


def read_state(name: str, path: Path, hint: str) -> dict[str, Tensor]:
    """The named tensors of a weights file; code in a pickle is never run."""
    try:
        if path.suffix == ".safetensors":
            state: object = load_file(path)
        else:
            with warnings.catch_warnings(action="ignore"):  # torch on pickles that it did not write
                state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError,
        AttributeError, IndexError,
    ) as error:  # fmt: skip
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # torch would advise to run what is in it
            reason = "expected tensors only, found something else"
        raise MissingPartError(f"{path} is no weights file of {name}: {reason}", hint=hint) from error
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise MissingPartError(f"{path} is no weights file of {name}: expected named tensors only", hint=hint)
    return state

"""torchvision's definitions of networks, the addresses of their weights, and the reading of such weights files."""

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

from pipeline.encoders.registry import WEIGHTS
from pipeline.errors import MissingPartError

_schemas: list[torch.library.Library] = []


def torchvision_module(name: str) -> ModuleType:
    """A module of torchvision, such as "models.vgg". Raises MissingPartError if torchvision cannot be imported.

    Its wheels are built for CUDA builds of torch; with a CPU build their C++ operators do not load, and the import
    fails on two that it mentions. Declaring these two makes everything that we use work.
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
    """The address of torchvision's weights of a network of the registry."""
    module, enumeration, member = WEIGHTS[name].torchvision  # type: ignore[misc]
    return str(getattr(torchvision_module(module), enumeration)[member].url)


def read_state(name: str, path: Path, hint: str) -> dict[str, Tensor]:
    """The named tensors of a weights file; code in a pickle is never run."""
    try:
        if path.suffix == ".safetensors":
            state: object = load_file(path)
        else:
            with warnings.catch_warnings(action="ignore"):  # about pickles that torch did not write
                state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError,
        AttributeError, IndexError,
    ) as error:  # fmt: skip
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # torch would suggest to run the code in it
            reason = "expected tensors only, found something else"
        raise MissingPartError(f"{path} is no weights file of {name}: {reason}", hint=hint) from error
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise MissingPartError(f"{path} is no weights file of {name}: expected named tensors only", hint=hint)
    return state

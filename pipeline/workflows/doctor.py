"""Checking the installation: torch, device, codecs, encoders, optional parts.

What is optional is said in one line: `works, ...`, or `missing; ` and the one command that installs it.
"""

from __future__ import annotations

import platform
import shutil
from typing import Any, Final

from pipeline.version import __version__

_MISSING: Final = "missing; "


def examine() -> dict[str, Any]:
    """Name and finding of every part, in the order in which they are printed; `missing` has the remedies by name."""
    from importlib.metadata import version

    import cv2
    import torch

    from pipeline.config.catalog import shipped_styles
    from pipeline.encoders.fetch import weights_path
    from pipeline.encoders.registry import ENCODERS, FLOW_NETWORKS
    from pipeline.media.writer.target import describe_codecs
    from pipeline.runtime.device import choose_device, choose_precision

    device = choose_device("auto")
    facts: dict[str, Any] = {
        "tempera": __version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "GPU": _gpu(device.type),
        "precision": choose_precision("auto", device),
        "video": f"PyAV {version('av')}",
        "opencv": cv2.__version__,
        "codecs": describe_codecs(),
        "encoder compact": _try_compact(),
    }
    downloaded = {
        name: "encoder" for name, entry in ENCODERS.items() if entry.weights is not None and entry.weights.torchvision
    } | dict.fromkeys(FLOW_NETWORKS, "motion")
    for name, part in downloaded.items():
        here = weights_path(name).is_file()
        facts[f"{part} {name}"] = "works, weights installed" if here else f"{_MISSING}tempera weights fetch {name}"
    facts["raw photos"] = _optional("rawpy", "raw")
    facts["HEIC photos"] = _optional("pillow-heif", "heif")
    facts["plots"] = _optional("matplotlib", "plot")
    facts["styles"] = ", ".join(shipped_styles()) or "none found: the installation is incomplete"
    said = {name: text for name, text in facts.items() if isinstance(text, str) and text.startswith(_MISSING)}
    facts["missing"] = {name: text.removeprefix(_MISSING) for name, text in said.items()}
    return facts


def _optional(package: str, extra: str) -> str:
    """The version of an optional package, or how to install it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"works, {package} {version(package)}"
    except PackageNotFoundError:
        return f"{_MISSING}pip install 'tempera[{extra}]'"


def _gpu(device: str) -> str:
    """Whether there is an accelerator that torch sees, or one that only another build of torch would see."""
    import torch

    if device != "cpu":
        return f"works, {device}"
    if shutil.which("nvidia-smi") is None:
        return "none here"
    if torch.version.cuda is None:
        return f"{_MISSING}this torch is built without CUDA; install the build that https://pytorch.org names for it"
    return f"{_MISSING}torch {torch.__version__} does not see it; update the driver, or install another build of torch"


def _try_compact() -> str:
    """Load the bundled encoder and take one gradient through it."""
    import torch

    from pipeline.encoders.load import load_encoder
    from pipeline.errors import TemperaError

    try:
        encoder = load_encoder("compact")
    except TemperaError as error:
        return f"fails: {error.message}"
    pixels = torch.full((1, 3, 64, 64), 0.5, requires_grad=True)
    features = encoder(pixels, ("relu4_2",))["relu4_2"]
    features.square().mean().backward()  # type: ignore[no-untyped-call]
    good = pixels.grad is not None and bool(torch.isfinite(pixels.grad).all())
    return f"works, weights {encoder.digest[:12]}" if good else "fails: its gradient is not finite"

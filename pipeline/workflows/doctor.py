"""Checking the installation: torch, device, codecs, encoders, optional parts."""

from __future__ import annotations

import platform
from typing import Any

from pipeline.version import __version__


def examine() -> dict[str, Any]:
    """Name and finding of every part, in the order in which they are printed."""
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
        facts[f"{part} {name}"] = (
            "weights installed" if here else f"no weights; `tempera weights fetch {name}` loads them"
        )
    facts["raw photos"] = _optional("rawpy", "raw")
    facts["HEIC photos"] = _optional("pillow-heif", "heif")
    facts["styles"] = ", ".join(shipped_styles()) or "none found: the installation is incomplete"
    return facts


def _optional(package: str, extra: str) -> str:
    """The version of an optional package, or how to install it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"absent; pip install 'tempera[{extra}]'"


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

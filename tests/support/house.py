"""The rooms of the package, and which of them use which library."""

from __future__ import annotations

from pathlib import Path

HOUSE = Path(__file__).parents[2] / "pipeline"

FLOORS = (
    "version",
    "errors",
    "types",
    "runtime",
    "encoders",
    "config",
    "media",
    "postprocess",
    "motion",
    "analysis",
    "masks",
    "optimize",
    "plan",
    "store",
    "stylers",
    "evaluate",
    "explain",
    "execute",
    "sample",
    "workflows",
    "api",
    "cli",
    "__main__",
)
"""The rooms from the ground up: a file imports only from rooms that stand before its own."""

ROOMS_OF_LIBRARY = {
    "av": {"media"},
    "rich": {"cli", "runtime"},
    "typer": {"cli", "__main__"},
    "click": {"cli", "__main__"},
    "torchvision": {"encoders", "motion"},  # RAFT is the optional part of motion
    "ray": {"distribute"},
    "yaml": {"config"},
    "safetensors": {"encoders"},
    "matplotlib": {"evaluate", "explain"},
    "rawpy": {"media"},
    "pillow_heif": {"media"},
}

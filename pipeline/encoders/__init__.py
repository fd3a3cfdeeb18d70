"""Feature networks and their weights: `load_encoder` gives a frozen callable from images to named feature maps.

Everything is loaded on first use: names can be asked for without loading torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.encoders.load import load_encoder

__all__ = ["load_encoder"]


def __getattr__(name: str) -> Any:
    if name != "load_encoder":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipeline.encoders.load import load_encoder

    return load_encoder

"""Tempera: painted video from timelapses and bursts, by optimization.

    import pipeline

    pipeline.stylize("photo.jpg", style="swirl").save("photo-swirl.png")

    for frame in pipeline.stylize_clip("clip.mp4", style="oil", width_px=640):
        ...  # uint8 (H, W, 3) sRGB

    pipeline.render("clip.mp4", style="swirl", output="clip-swirl.mp4", progress=print)

Everything is loaded on first use, so that importing is quick.
"""

from __future__ import annotations

from pipeline.version import __version__

TYPE_CHECKING = False  # as type checkers read it; the module typing takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any

    from pipeline.api import export, load_style, render, resume, stylize, stylize_clip
    from pipeline.config.settings import Config
    from pipeline.errors import TemperaError
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import FrameProgress

_HOMES = {
    "export": "pipeline.api",
    "load_style": "pipeline.api",
    "render": "pipeline.api",
    "resume": "pipeline.api",
    "stylize": "pipeline.api",
    "stylize_clip": "pipeline.api",
    "Cancellation": "pipeline.runtime.cancellation",
    "Config": "pipeline.config.settings",
    "FrameProgress": "pipeline.runtime.progress",
    "TemperaError": "pipeline.errors",
}
"""Where each public name is defined."""

__all__ = [
    "Cancellation",
    "Config",
    "FrameProgress",
    "TemperaError",
    "__version__",
    "export",
    "load_style",
    "render",
    "resume",
    "stylize",
    "stylize_clip",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

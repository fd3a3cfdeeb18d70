"""What a render is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from pipeline.config.settings import Config
from pipeline.types import FrameSlice


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """The input, the styles and the options of a render.

    `styles` are complete configs with names and absolute paths. `frames` is a half-open slice of the input's frames,
    `fps` the rate at which they are shown or chosen. `width_px` and `height_px` fit the frames into that size.
    """

    inputs: tuple[str, ...]
    styles: tuple[Config, ...]
    output: Path | None = None
    width_px: int | None = None
    height_px: int | None = None
    frames: FrameSlice | None = None
    fps: Fraction | None = None
    weights: Path | None = None
    workdir: Path | None = None
    fresh: bool = False

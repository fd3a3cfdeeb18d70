"""The settings of the style images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import ANIMATED, Settings, Weight


class StyleImage(Settings):
    """One style image."""

    path: Path = Field(description="Image file, relative to the config file.")
    weight: Annotated[Weight, ANIMATED] = Field(
        100.0, description="Weight of this image's style loss; content has weight 1."
    )
    scale: float | None = Field(None, gt=0, le=8, description="Overrides `style.scale` for this image.")


class StyleSettings(Settings):
    """The style images, and how large their strokes become."""

    images: tuple[StyleImage, ...] = Field(min_length=1, description="One or more style images with their weights.")
    scale: float = Field(
        1.0,
        gt=0,
        le=8,
        description="Size of the style images relative to the frame: larger gives larger strokes.",
    )
    blend: Literal["losses", "statistics"] = Field(
        "losses",
        description="Several style images. losses: every frame is drawn to each of them, by weight; statistics: to one "
        "texture between them, so that a change of the weights is a change of the texture.",
    )

"""The settings of a mask: a soft map of each frame, of what a region or a layer covers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from pipeline.config.section import Settings
from pipeline.config.text import Color

Level = Annotated[float, Field(ge=0, le=1)]
Degrees = Annotated[float, Field(ge=0, le=360)]
FrameIndex = Annotated[int, Field(ge=0)]
SOURCES = ("image", "frames", "painted", "luminance", "hue", "sky")
"""The settings of which a mask has exactly one."""


class MaskSettings(Settings):
    """A soft mask of every frame: 1 inside, 0 outside. It comes from exactly one of the first six settings."""

    image: Path | None = Field(None, description="A picture that holds for every frame: white inside, black outside.")
    frames: Path | None = Field(None, description="A folder of pictures or a video with one mask for each frame.")
    painted: dict[FrameIndex, Path] | None = Field(
        None,
        min_length=1,
        description="Pictures of single frames, by frame index; in between they are carried along the flow.",
    )
    luminance: tuple[Level, Level] | None = Field(
        None, description="Lightness of the content from black, 0, to white, 1: what lies in this range is inside."
    )
    hue: tuple[Degrees, Degrees] | None = Field(
        None,
        description="Hues of the content in degrees (red 0, yellow 60, green 120, blue 240); from 330 to 30 is red.",
    )
    sky: bool = Field(False, description="The sky: what is smooth, bright and reaches the top of the frame.")
    color: Color | None = Field(
        None, description="For pictures with several regions: the color of this one, such as '#ff0000'."
    )
    softness: float = Field(0.1, ge=0, le=1, description="How gradually a luminance or hue range ends; 0: at once.")
    invert: bool = Field(False, description="Exchange inside and outside.")
    feather: float = Field(
        0.004, ge=0, le=0.5, description="Blur of the edge: standard deviation, of the longer side of the frame."
    )

    @model_validator(mode="after")
    def _one_source(self) -> MaskSettings:
        given = [name for name in SOURCES if getattr(self, name) not in (None, False)]
        if len(given) != 1:
            raise ValueError(
                f"a mask has exactly one of {', '.join(SOURCES)}; this one has {', '.join(given) or 'none'}"
            )
        if self.luminance is not None and self.luminance[0] >= self.luminance[1]:
            raise ValueError("luminance is a range from darker to brighter, such as [0.6, 1]")
        if self.color is not None and given[0] in ("luminance", "hue", "sky"):
            raise ValueError(f"color is for pictures with several regions, not for {given[0]}")
        return self

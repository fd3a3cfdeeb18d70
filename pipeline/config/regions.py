"""The settings of regions: parts of a frame that have a style of their own, or keep the pixels of the content."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from pipeline.config.masks import MaskSettings
from pipeline.config.section import ANIMATED, Settings, Weight
from pipeline.config.style import StyleSettings


class RegionSettings(Settings):
    """One region: where it is, and how it is stylized."""

    name: str = Field(
        "", max_length=64, description="What the region is called, for people and for curves that follow its area."
    )
    mask: MaskSettings = Field(description="Where the region is.")
    style: StyleSettings | None = Field(
        None, description="Its style images and their scale, as in `style`; without them it keeps the photo's pixels."
    )
    content_weight: Annotated[Weight, ANIMATED] = Field(
        1.0, description="Factor on `losses.content.weight` inside the region."
    )
    luma_only: bool = Field(
        False, description="As `color.luma_only`, inside the region alone: it keeps its hue and chroma."
    )

    @field_validator("style")
    @classmethod
    def _some_weight(cls, style: StyleSettings | None) -> StyleSettings | None:
        if style is not None and not any(image.weight for image in style.images):
            raise ValueError("at least one image needs a weight above 0")
        return style

    @model_validator(mode="after")
    def _weight_of_something(self) -> RegionSettings:
        given = "content_weight" if self.content_weight != 1 else "luma_only" if self.luma_only else None
        if self.style is None and given:
            raise ValueError(f"{given} acts on a style, and a region without one keeps the photo's pixels")
        return self

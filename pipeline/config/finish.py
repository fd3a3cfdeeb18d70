"""The settings of the finish, which is applied to stored frames when the video is written."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config.section import ANIMATED, Settings


class FinishSettings(Settings):
    """Applied to stored frames when the video is written: `tempera export` changes it without stylizing again."""

    follow_level: Annotated[float, ANIMATED] = Field(
        1.0,
        ge=0,
        le=1,
        description="1: the video is darker, lighter or poorer in contrast where the input is, so that a fade ends in "
        "black, night is darker than noon, and fog is calm; 0: every frame has the light and contrast of the style.",
    )
    match_light: Annotated[float, ANIMATED] = Field(
        0.0,
        ge=0,
        le=1,
        description="1: broad light and shade are those of the content; 0: those of the stylized frame.",
    )
    preserve_color: Annotated[float, ANIMATED] = Field(
        0.0, ge=0, le=1, description="1: the colors of the content; 0: those of the style images."
    )
    sharpen: Annotated[float, ANIMATED] = Field(0.0, ge=0, le=3, description="Strength of unsharp masking.")
    grain: Annotated[float, ANIMATED] = Field(
        0.0, ge=0, le=0.2, description="Standard deviation of film grain, in pixel values."
    )

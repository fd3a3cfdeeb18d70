"""The settings of the finish, which is applied to stored frames when the video is written."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config.color import METHOD_HELP, TransferMethod
from pipeline.config.grade import GradeSettings
from pipeline.config.looks import DITHER_HELP, Dither
from pipeline.config.section import ANIMATED, Settings


class DetailSettings(Settings):
    """Detail of the content that is brought back, by its size."""

    fine: Annotated[float, ANIMATED] = Field(
        0.0, ge=0, le=2, description="Detail of some pixels: leaves, hair, window bars."
    )
    medium: Annotated[float, ANIMATED] = Field(
        0.0, ge=0, le=2, description="Detail of about a hundredth of the frame: branches, windows."
    )
    coarse: Annotated[float, ANIMATED] = Field(
        0.0, ge=0, le=2, description="Detail of some hundredths: the folds of a mountain, a face."
    )


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
    match_color: Annotated[float, ANIMATED] = Field(
        0.0,
        ge=0,
        le=1,
        description="1: the stylized shot as a whole has the distribution of colors of its content; 0: of the style.",
    )
    color_method: TransferMethod = Field("gaussian", description=f"How `match_color` works. {METHOD_HELP}")
    palette: int = Field(
        0, ge=0, le=256, description="Reduce the finished frames of a shot to so many colors of its own; 0: do not."
    )
    dither: Dither = Field("none", description=f"For `palette`. {DITHER_HELP}")
    detail: DetailSettings = Field(default_factory=DetailSettings)
    sharpen: Annotated[float, ANIMATED] = Field(0.0, ge=0, le=3, description="Strength of unsharp masking.")
    grade: GradeSettings = Field(default_factory=GradeSettings)
    grain: Annotated[float, ANIMATED] = Field(
        0.0, ge=0, le=0.2, description="Standard deviation of film grain, in pixel values."
    )

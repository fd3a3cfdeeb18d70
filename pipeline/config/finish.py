"""The settings of the finish, which is applied to stored frames when the video is written."""

from __future__ import annotations

from pydantic import Field

from pipeline.config.grade import GradeSettings
from pipeline.config.section import Settings


class DetailSettings(Settings):
    """Detail of the content that is brought back, by its size."""

    fine: float = Field(0.0, ge=0, le=2, description="Detail of some pixels: leaves, hair, window bars.")
    medium: float = Field(0.0, ge=0, le=2, description="Detail of about a hundredth of the frame: branches, windows.")
    coarse: float = Field(0.0, ge=0, le=2, description="Detail of some hundredths: the folds of a mountain, a face.")


class FinishSettings(Settings):
    """Applied to stored frames when the video is written: `tempera export` changes it without stylizing again."""

    follow_level: float = Field(
        1.0,
        ge=0,
        le=1,
        description="1: the video is darker, lighter or poorer in contrast where the input is, so that a fade ends in "
        "black, night is darker than noon, and fog is calm; 0: every frame has the light and contrast of the style.",
    )
    match_light: float = Field(
        0.0,
        ge=0,
        le=1,
        description="1: broad light and shade are those of the content; 0: those of the stylized frame.",
    )
    preserve_color: float = Field(
        0.0, ge=0, le=1, description="1: the colors of the content; 0: those of the style images."
    )
    detail: DetailSettings = Field(default_factory=DetailSettings)
    sharpen: float = Field(0.0, ge=0, le=3, description="Strength of unsharp masking.")
    grade: GradeSettings = Field(default_factory=GradeSettings)
    grain: float = Field(0.0, ge=0, le=0.2, description="Standard deviation of film grain, in pixel values.")

"""The settings of the grade: white balance, contrast, curves, saturation, a LUT and a vignette."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.config.section import ANIMATED, Settings

Level = Annotated[float, Field(ge=0, le=1)]


def _rising(points: tuple[tuple[Level, Level], ...]) -> tuple[tuple[Level, Level], ...]:
    """The points of a curve. Raises ValueError if there is one alone, or if they do not go from dark to light."""
    if len(points) == 1:
        raise ValueError("a curve has at least two points")
    if any(right[0] - left[0] < 1e-4 for left, right in pairwise(points)):
        raise ValueError("the first numbers of the points rise, each by at least 0.0001")
    return points


Curve = Annotated[tuple[tuple[Level, Level], ...], Field(max_length=64), AfterValidator(_rising)]


class CurveSettings(Settings):
    """Curves through points [before, after], from black, 0, to white, 1; without points a curve changes nothing."""

    luma: Curve = Field((), description="Brightness; hues stay.")
    red: Curve = Field((), description="The red channel.")
    green: Curve = Field((), description="The green channel.")
    blue: Curve = Field((), description="The blue channel.")


class GradeSettings(Settings):
    """Colors and tones, in this order: white balance, contrast, curves, saturation, look-up table, vignette."""

    gray_point: str | None = Field(
        None,
        pattern=r"^#[0-9a-fA-F]{6}$",
        examples=["#8a8f99"],
        description="A color of the frame that becomes gray, such as '#8a8f99'.",
    )
    temperature: Annotated[float, ANIMATED] = Field(
        0.0, ge=-1, le=1, description="White balance: above 0 warmer, below 0 colder."
    )
    tint: Annotated[float, ANIMATED] = Field(
        0.0, ge=-1, le=1, description="White balance: above 0 more magenta, below 0 more green."
    )
    contrast: Annotated[float, ANIMATED] = Field(1.0, ge=0, le=4, description="Contrast around the pivot; 1: as it is.")
    pivot: Annotated[float, ANIMATED] = Field(
        0.5, ge=0.05, le=0.95, description="The gray that keeps its value when contrast changes."
    )
    curves: CurveSettings = Field(default_factory=CurveSettings)
    saturation: Annotated[float, ANIMATED] = Field(
        1.0, ge=0, le=4, description="Colorfulness at the same lightness; 0: gray, 1: as it is."
    )
    lut: Path | None = Field(None, description="A .cube file with a look-up table of colors, 1D or 3D.")
    lut_amount: Annotated[float, ANIMATED] = Field(
        1.0, ge=0, le=1, description="How much of the look-up table's effect is applied."
    )
    vignette: Annotated[float, ANIMATED] = Field(
        0.0, ge=0, le=1, description="Darkening toward the corners; 1: they are black."
    )

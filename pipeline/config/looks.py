"""The settings of the looks without a network: palette and superpixels."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from pipeline.config.section import Settings

Dither = Literal["none", "ordered", "blue_noise"]
DITHER_HELP: Final = (
    "Mix two colors of the palette where one does not fit: in a regular pattern (ordered) or an irregular one "
    "(blue_noise), which stays in its place on the screen."
)


class PaletteSettings(Settings):
    """The palette styler, and the palette as a step before the styler."""

    colors: int = Field(12, ge=2, le=256, description="Number of colors.")
    source: Literal["style", "content"] = Field(
        "style", description="Where they come from: the style images, or the content of the whole shot."
    )
    drift: bool = Field(False, description="The colors of the content move slowly through the shot.")
    dither: Dither = Field("none", description=DITHER_HELP)


class SuperpixelSettings(Settings):
    """The superpixel styler, and superpixels as a step before the styler."""

    cells: int = Field(900, ge=4, le=100000, description="Approximate number of cells.")
    borders: Literal["lines", "none"] = Field("lines", description="Dark lines between the cells, or none.")
    border_width: float = Field(
        1 / 12, gt=0, le=0.5, description="Width of the lines, of the width of a cell; at least 2 px."
    )
    color: Literal["style", "mean"] = Field(
        "style", description="Color of a cell: from the style images, or the mean of its content."
    )

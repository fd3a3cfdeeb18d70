"""The settings of colors before stylizing: which image takes its colors from which, over the whole shot."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from pipeline.config.section import Settings

TransferMethod = Literal["gaussian", "histogram"]
METHOD_HELP: Final = (
    "gaussian: mean and covariance of the colors, a linear map; histogram: their whole distribution in Oklab."
)


class ColorSettings(Settings):
    """Colors before stylizing. The colors of the content are those of the whole shot, so that they do not flicker."""

    match: Literal["none", "style_to_content", "content_to_style"] = Field(
        "none",
        description="style_to_content: the style images get the colors of the shot, so that frames keep its colors "
        "under the strokes of the style; content_to_style: the shot gets the colors of the style images.",
    )
    method: TransferMethod = Field("gaussian", description=METHOD_HELP)
    by_region: bool = Field(
        False,
        description="Match every region of the style by itself: its style images and what it covers in the shot, and "
        "so for what is in no region.",
    )
    luma_only: bool = Field(
        False, description="Stylize lightness alone; every frame keeps the hue and chroma of its content."
    )

"""The settings of size and crop: which part of finished frames an output shows, and in how many pixels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import ANIMATED, Settings
from pipeline.config.text import NUMBER_AS_TEXT, Color, Form

Size = Annotated[
    str,
    Form(r"^(|\d{1,5}|\d{1,5}x\d{1,5}|x\d{1,5})$", "a size such as 1920x1080, 1920 (the width) or x1080 (the height)"),
    NUMBER_AS_TEXT,
]
Aspect = Annotated[
    str,
    Form(r"^(none|[1-9]\d{0,3}(\.\d{1,3})?:[1-9]\d{0,3}(\.\d{1,3})?)$", "an aspect such as 9:16 or 2.39:1, or none"),
]


class FramingSettings(Settings):
    """Cuts and scales finished frames; `tempera export` changes it without stylizing again."""

    size: Size = Field(
        "",
        description="Pixels of the output: 3840x2160, or 3840 (the width) or x2160 (the height) alone, with the other "
        "side by the aspect. Empty: as it was stylized.",
    )
    crop: Aspect = Field(
        "none",
        description="The largest part of the frames with this aspect: 9:16, 4:5, 1:1, 16:9, 2.39:1, or another; none: "
        "all of them.",
    )
    crop_x: Annotated[float, ANIMATED] = Field(
        0.5,
        ge=0,
        le=1,
        description="Where that part is: at the left edge (0), in the middle (0.5), at the right edge (1). A curve is "
        "a pan, whose points stand at frames and times of the output.",
    )
    crop_y: Annotated[float, ANIMATED] = Field(
        0.5, ge=0, le=1, description="Where that part is: at the top edge (0) to the bottom edge (1); or a curve."
    )
    fit: Literal["strict", "cover", "contain"] = Field(
        "strict",
        description="Where `size` has another aspect than the frames: refuse it (strict), crop them as `crop` does "
        "(cover), or show all of them between bars (contain).",
    )
    pad: Color = Field("#000000", description="Color of the bars, such as '#202020'.")

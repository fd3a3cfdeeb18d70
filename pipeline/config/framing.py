"""The settings of size and crop: which part of finished frames an output shows, and in how many pixels."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pipeline.config.section import ANIMATED, Settings


def _as_text(value: Any) -> Any:
    """YAML reads the size 3840 as a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class FramingSettings(Settings):
    """Cuts and scales finished frames; `tempera export` changes it without stylizing again."""

    size: Annotated[str, BeforeValidator(_as_text)] = Field(
        "",
        pattern=r"^(|\d{1,5}|\d{1,5}x\d{1,5}|x\d{1,5})$",
        examples=["3840x2160", "3840", "x2160"],
        description="Pixels of the output: 3840x2160, or 3840 (the width) or x2160 (the height) alone, with the other "
        "side by the aspect. Empty: as it was stylized.",
    )
    crop: str = Field(
        "none",
        pattern=r"^(none|[1-9]\d{0,3}(\.\d{1,3})?:[1-9]\d{0,3}(\.\d{1,3})?)$",
        examples=["9:16", "2.39:1", "none"],
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
    pad: str = Field("#000000", pattern=r"^#[0-9a-fA-F]{6}$", examples=["#202020"], description="Color of the bars.")

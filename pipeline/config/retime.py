"""The settings of time and view: when finished frames are shown, what lies between them, and which part is seen."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import ANIMATED, Settings

Between = Literal["auto", "none", "hold", "blend", "flow"]
Loop = Literal["auto", "none", "boomerang", "seamless"]


class TimeSettings(Settings):
    """When the finished frames are shown; `tempera export` changes it without stylizing again."""

    fps: float = Field(
        0.0,
        ge=0,
        le=240,
        allow_inf_nan=False,
        description="Frames per second of the output, evenly spaced; 0: the frames at their own times, or 24 and more "
        "where in-betweens are made.",
    )
    between: Between = Field(
        "auto",
        description="What is shown between two frames: none (the nearest of them), hold (the one before), blend (a "
        "crossfade), flow (both moved along the motion of the content). auto: flow where `fps` is above the rate of "
        "the input or the speed changes, else none.",
    )
    speed: Annotated[float, ANIMATED] = Field(
        1.0, ge=0.01, le=100, description="2: twice as fast; a curve by time is a speed ramp."
    )
    duration_s: float = Field(
        0.0,
        ge=0,
        le=86400,
        allow_inf_nan=False,
        description="Stretch or shorten one pass through the clip to so many seconds; 0: do not. For one photo, how "
        "long it is shown.",
    )
    ease_in_s: float = Field(
        0.0, ge=0, le=3600, allow_inf_nan=False, description="Seconds over which the motion gathers speed."
    )
    ease_out_s: float = Field(
        0.0, ge=0, le=3600, allow_inf_nan=False, description="Seconds over which the motion comes to rest."
    )
    hold_first_s: float = Field(
        0.0, ge=0, le=3600, allow_inf_nan=False, description="Seconds for which the first frame stays longer."
    )
    hold_last_s: float = Field(
        0.0, ge=0, le=3600, allow_inf_nan=False, description="Seconds for which the last frame stays longer."
    )
    reverse: bool = Field(False, description="Show the frames from the last to the first.")
    loop: Loop = Field(
        "auto",
        description="boomerang: forth and back; seamless: the last frame leads into the first; none: once through. "
        "auto: a burst of 3 to 23 photos of one shot as .gif or .webp is a boomerang of 25 frames per second, "
        "everything else none.",
    )
    seam_s: float = Field(
        0.0,
        ge=0,
        le=60,
        allow_inf_nan=False,
        description="For `loop: seamless`: seconds from the last frame to the first; 0: as long as the last one stays.",
    )
    seam_frames: int = Field(
        8,
        ge=0,
        le=240,
        description="With `loop: seamless` so many last frames, at most half of all, turn into the first one, moved "
        "along the motion of the content.",
    )
    repeat: int = Field(1, ge=1, le=1000, description="Show everything so many times, in one file.")


class ViewSettings(Settings):
    """The part of the finished frames that is shown, at full size: curves make a slow pan or zoom.

    The points of these curves stand at frames and times of the output.
    """

    zoom: Annotated[float, ANIMATED] = Field(
        1.0, ge=1, le=16, description="1: the whole frame; 2: half its width and height, enlarged."
    )
    x: Annotated[float, ANIMATED] = Field(
        0.5,
        ge=0,
        le=1,
        description="Center of the part from the left edge (0) to the right one (1), as far as it goes.",
    )
    y: Annotated[float, ANIMATED] = Field(
        0.5,
        ge=0,
        le=1,
        description="Center of the part from the top edge (0) to the bottom one (1), as far as it goes.",
    )

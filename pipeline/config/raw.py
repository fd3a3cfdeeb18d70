"""The settings of the section `input.raw`: how raw files of cameras are developed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import Settings

Multiplier = Annotated[float, Field(gt=0, le=64, allow_inf_nan=False)]


class RawSettings(Settings):
    """Development of raw files. White balance, black and white level are one for all photos, so nothing flickers."""

    prefer: Literal["jpeg", "raw"] = Field(
        "jpeg", description="Which of two photos of one name is read where a raw file stands beside a developed image."
    )
    white_balance: Literal["first", "camera", "daylight"] | tuple[Multiplier, Multiplier, Multiplier, Multiplier] = (
        Field(
            "first",
            description="first: what the camera chose for the first photo, in all; camera: for each photo its own; "
            "daylight; or multipliers of red, green, blue, green.",
        )
    )
    exposure_ev: float = Field(0.0, ge=-5, le=5, description="Exposure compensation in stops, the same in all photos.")
    highlights: Literal["clip", "blend", "reconstruct"] = Field(
        "clip",
        description="Where a channel is overexposed: white (clip), blended with the clipped (blend), or rebuilt from "
        "the other channels (reconstruct). The latter two leave room above white, so the picture is darker.",
    )

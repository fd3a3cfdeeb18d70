"""Settings of the section `input`: aligning and leveling photos, steadying the camera, several photos as one frame."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import Settings


class AlignmentSettings(Settings):
    """How frames of the input are brought onto each other. It is measured once and stands in the plan."""

    align: Literal["auto", "burst", "translation", "similarity", "affine", "homography", "none"] = Field(
        "auto",
        description="Bring photos onto one of them. auto: only photos that are fused; burst: all, by the simplest "
        "motion that fits; the name of a motion: all, by that one; none: never.",
    )
    edges: Literal["crop", "fill"] = Field(
        "crop", description="What not all aligned frames show: cut it off (crop), or mirror what is there (fill)."
    )
    stabilize: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How much of the shake of a moving camera is taken out; 1: it stands still where the crop allows.",
    )
    level: Literal["none", "exposure", "full"] = Field(
        "none",
        description="Bring the photos of a burst to the exposure of one of them, or to its white balance too (full).",
    )
    fuse: Literal["none", "mean", "exposure", "focus"] = Field(
        "none",
        description="Make one frame of several photos: their mean, without noise; the best exposed of each; or the "
        "sharpest of each.",
    )
    fuse_group: Literal["all"] | Annotated[int, Field(ge=1, le=999)] = Field(
        "all", description="How many photos in a row become one frame; all: the whole input becomes one picture."
    )

"""The settings of animated pictures (GIF, WebP, APNG, AVIF) and of images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import Settings

Quality = Literal["auto"] | Annotated[int, Field(ge=1, le=100)]
TableDither = Literal["none", "ordered", "blue_noise", "error"]


class AnimationSettings(Settings):
    """How .gif, .webp, .apng and .avif are written."""

    plays: int = Field(0, ge=0, le=65_535, description="How often the animation is shown; 0: for ever.")
    quality: Quality = Field(
        "auto",
        description="1 to 100. In gif, how little a pixel must change to be written again; in webp and avif, the "
        "quality of the codec; 100 is lossless in webp. auto: 100 less `output.crf`. apng is always lossless.",
    )
    colors: int = Field(256, ge=2, le=256, description="Colors of a gif at most.")
    dither: TableDither = Field(
        "blue_noise",
        description="How a gif shows colors between those of its table. none: bands; ordered: a regular pattern; "
        "blue_noise: fine grain; both stand still. error: error diffusion, the finest, but it moves where light does.",
    )


class ImageSettings(Settings):
    """How single and numbered images are written."""

    quality: Quality = Field(
        "auto",
        description="Of jpg, webp and avif, 1 to 100; 100 is lossless in webp. auto: 100 less half of `output.crf`.",
    )
    chroma: Literal[444, 420] = Field(
        444, description="Color of jpg and avif in full resolution (444), or halved both ways (420): smaller files."
    )

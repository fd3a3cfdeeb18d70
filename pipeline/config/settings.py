"""The style config: every setting, its range, its default and its help text, in one place.

The models are the JSON Schema (`tempera schema`), the help and the validation. What changes pixels and what does not
live in different models: `StylizeSettings` (with `InputSettings`) is the identity of a render and goes whole into its
digest; `OutputSettings`, `FinishSettings` and `RuntimeSettings` are not in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from pipeline.config.align import AlignmentSettings
from pipeline.config.color import ColorSettings
from pipeline.config.finish import FinishSettings
from pipeline.config.looks import PaletteSettings, SuperpixelSettings
from pipeline.config.losses import CURVATURE_PAIRS, LossSettings
from pipeline.config.names import one_of
from pipeline.config.raw import RawSettings
from pipeline.config.regions import RegionSettings
from pipeline.config.section import ANIMATED, Settings, curves_of
from pipeline.config.style import StyleSettings
from pipeline.config.text import Color, Name
from pipeline.config.video import VideoSettings
from pipeline.encoders.registry import ENCODERS, encoder_names


def _known_encoder(name: str) -> str:
    """Also an encoder that the registry does not list, as tests use it."""
    return name if name in ENCODERS else one_of(name, encoder_names())


EncoderName = Annotated[
    str, AfterValidator(_known_encoder), WithJsonSchema({"type": "string", "enum": list(encoder_names())})
]


class ColdSettings(Settings):
    """Cold frames, such as the first of a shot: stylized from coarse to fine."""

    min_scale_px: int = Field(128, ge=32, le=4096, description="Longer side of the coarsest scale.")
    scale_step: float = Field(1.4142135623730951, ge=1.05, le=4.0, description="Growth from scale to scale.")
    evaluations: int = Field(32, ge=1, le=10000, description="Evaluations of the objective at every scale.")
    noise: Annotated[float, ANIMATED] = Field(
        0.15,
        ge=0,
        le=2,
        description="Standard deviation of the noise added when a scale starts: fresh strokes.",
    )
    init: Literal["content", "noise"] | Path = Field(
        "content", description="Start from the content, from noise, or from the image with this path."
    )


class WarmSettings(Settings):
    """Warm frames, all others: they start from the warped previous frame."""

    evaluations: Annotated[int, ANIMATED] = Field(
        10,
        ge=1,
        le=10000,
        description="Evaluations of the objective at most; where much of the frame is new, up to `cold.evaluations`.",
    )
    min_evaluations: int = Field(5, ge=1, le=10000, description="Evaluations of the objective at least.")
    tolerance: float = Field(
        0.005,
        ge=0,
        le=1,
        description="A warm frame is done when an evaluation lowers the loss by less than this fraction.",
    )


class OptimizeSettings(Settings):
    """How the objective is minimized."""

    minimizer: Literal["lbfgs", "adam"] = Field("lbfgs", description="Safeguarded L-BFGS, or Adam.")
    history: int = Field(
        0,
        ge=0,
        le=100,
        description="Curvature pairs that L-BFGS keeps; 0: as many as help, 6, or 12 with the style loss gram.",
    )
    learning_rate: float = Field(0.02, gt=0, le=1, description="Step size of Adam, in pixel values.")
    cold: ColdSettings = Field(default_factory=ColdSettings)
    warm: WarmSettings = Field(default_factory=WarmSettings)
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Precision of the features; statistics and losses are always float32."
    )


class MotionSettings(Settings):
    """How strokes follow the motion from frame to frame."""

    method: Literal["auto", "dis", "raft_small", "raft_large", "none"] = Field(
        "auto",
        description="auto: dense inverse search, and no flow for static frames; dis: always search; raft_small, "
        "raft_large: a network, needs its weights; none: strokes stay where they are.",
    )
    preset: Literal["ultrafast", "fast", "medium"] = Field(
        "medium", description="Accuracy of the dense inverse search; more takes longer."
    )
    boil: Annotated[float, ANIMATED] = Field(
        0.0, ge=0, le=1, description="0: strokes move with what they show; 1: fresh strokes in every frame."
    )
    hold: int = Field(1, ge=1, le=24, description="Stylize every so many frames and repeat them; 2 is on twos.")
    segment_frames: Literal["auto"] | Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        "auto",
        description="Split longer shots into segments of this length that are stylized in parallel; 0: never. "
        "auto: 0 on the CPU, 24 to 100 on an accelerator, by the number of frames and styles.",
    )

    loop: bool = Field(
        False,
        description="The last frames of a clip of one shot approach the first one, so that its strokes lead from the "
        "end to the beginning; for content that does so itself, and shown by `output.time.loop: seamless`.",
    )

    @property
    def every_frame_cold(self) -> bool:
        """Whether no frame starts from an earlier one."""
        return self.boil == 1 and "boil" not in self.own_curves


class StylizeSettings(Settings):
    """The identity of a style: everything about it that changes pixels."""

    styler: Literal["neural", "palette", "superpixel"] = Field(
        "neural",
        description="neural: style transfer; palette: flat shapes in the colors of the style images; "
        "superpixel: a mosaic of leaded glass.",
    )
    style: StyleSettings
    regions: tuple[RegionSettings, ...] = Field(
        (),
        max_length=16,
        description="Parts of the frame with styles of their own; later ones lie over earlier ones, and `style` holds "
        "everywhere else.",
    )
    encoder: EncoderName = Field(
        "auto", description="Feature network. auto: vgg19 if its weights are installed, else compact."
    )
    pooling: Literal["native", "max", "average"] = Field("native", description="Pooling of the feature network.")
    losses: LossSettings = Field(default_factory=LossSettings)
    optimize: OptimizeSettings = Field(default_factory=OptimizeSettings)
    motion: MotionSettings = Field(default_factory=MotionSettings)
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Seed of all random numbers; another one gives other strokes.")
    palette: PaletteSettings = Field(default_factory=PaletteSettings)
    superpixel: SuperpixelSettings = Field(default_factory=SuperpixelSettings)
    color: ColorSettings = Field(default_factory=ColorSettings)
    pre: Literal["none", "palette", "superpixel"] = Field(
        "none", description="Simplify the content before it is stylized: few colors, or cells of one color."
    )

    @property
    def curvature_pairs(self) -> int:
        """The curvature pairs that L-BFGS keeps."""
        return self.optimize.history or CURVATURE_PAIRS[self.losses.style.loss]

    @property
    def uses_shot_colors(self) -> bool:
        """Whether frames depend on the colors of the content of their whole shot."""
        palette = "palette" in (self.styler, self.pre) and self.palette.source == "content"
        return palette or self.color.match != "none"

    @property
    def uses_region_colors(self) -> bool:
        """Whether they depend on the colors of what each region covers."""
        return self.color.by_region and self.color.match != "none" and bool(self.regions)


class InputSettings(AlignmentSettings):
    """How the input is read. It changes pixels, so it belongs to the identity of a render."""

    fit: Literal["strict", "cover", "contain"] = Field(
        "strict",
        description="Photos of another size: refuse them (strict), crop them (cover) or letterbox them (contain). So "
        "too where `--width` and `--height` have another aspect than the input: strict refuses that, cover crops every "
        "frame, contain stylizes all of it and puts the bars into the output only.",
    )
    order: Literal["auto", "name", "time", "listed"] = Field(
        "auto",
        description="Order of photos; auto: capture time where all photos have it, else the time in their names where "
        "all have one, else natural name order; a list that is not alphabetical stays as it is.",
    )
    camera: str = Field(
        "", max_length=256, description="Only the photos of the camera with this name, or this part of it; empty: all."
    )
    duplicates: Literal["auto", "drop", "keep"] = Field(
        "auto",
        description="A photo that is there twice: leave out the copy (drop), or show both (keep). auto: drop, except "
        "photos whose names differ in a number only.",
    )
    gaps: Literal["keep", "hold", "interpolate"] = Field(
        "keep",
        description="Where photos are missing: go on with the next one (keep), show the one before as long as the gap "
        "lasts (hold), or fill that time with in-betweens (interpolate).",
    )
    cuts: Literal["auto", "none"] = Field("auto", description="Find hard cuts, or treat the input as one shot.")
    cut_threshold: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Smallest change between two frames that can be a cut; lower finds more.",
    )
    deflicker: float = Field(
        1.0,
        ge=0,
        le=1,
        description="How much of the flicker of exposure is removed from the content; 0: none.",
    )
    on_damaged: Literal["stop", "hold", "skip"] = Field(
        "stop",
        description="A frame of the input that cannot be decoded: stop there, repeat the previous one (hold), "
        "or leave it out (skip).",
    )
    raw: RawSettings = Field(default_factory=RawSettings)
    stream: int | None = Field(
        None, ge=0, description="Number of the stream of a video file to read; by default the one that players show."
    )
    deinterlace: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Video frames that hold two moments in alternate lines: keep the first moment and interpolate "
        "the other lines. auto: where the video marks frames as interlaced.",
    )
    background: Color = Field(
        "#ffffff",
        description="Color behind the transparent parts of a video, such as '#102030'; behind those of photos and "
        "animations is white.",
    )
    rate: Literal["drop", "blend"] = Field(
        "drop",
        description="Frames of a video that `--fps` has no place for: leave them out (drop), or average them with the "
        "one before in linear light, as a longer exposure would (blend).",
    )


class OutputSettings(VideoSettings):
    """How the video is written; can be changed at any time."""

    finish: FinishSettings = Field(default_factory=FinishSettings)


class RuntimeSettings(Settings):
    """How the work is done; can be changed at any time and never changes the result."""

    batch_size: int = Field(
        0, ge=0, le=4096, description="Frames in a batch at most; 0: 1 on the CPU, by free memory on an accelerator."
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where to compute.")
    threads: int = Field(0, ge=0, le=1024, description="CPU threads; 0: chosen by torch.")
    prefetch: int = Field(
        2, ge=0, le=256, description="Frames that are decoded, and their motion estimated, in advance."
    )
    save_every: int = Field(
        0,
        ge=0,
        le=10000,
        description="Keep the picture of every cold frame after each so many evaluations, for `tempera explain`; "
        "0: never.",
    )


class Config(StylizeSettings):
    """A style config as written in YAML."""

    schema_version: Literal[1] = Field(1, alias="schema", description="Version of this format.")
    name: Name = Field("", description="Short name; by default that of the file.")
    description: str = Field("", description="One sentence about the style, shown by `tempera styles`.")
    input: InputSettings = Field(default_factory=InputSettings)
    output: OutputSettings = Field(default_factory=OutputSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)

    @model_validator(mode="after")
    def _some_weight(self) -> Config:
        if not any(image.weight for image in self.style.images):
            raise ValueError("style.images: at least one image needs a weight above 0")
        if self.regions and self.styler != "neural":
            raise ValueError(f"regions: only the styler neural has them, not {self.styler}")
        return self

    @model_validator(mode="after")
    def _known_regions(self) -> Config:
        names = [region.name for region in self.regions]
        for key, curve in curves_of(self).items():
            if curve.follow == "mask" and names.count(curve.region) != 1:
                known = ", ".join(name or "one without a name" for name in names) or "none"
                several = ", which must have different names" if curve.region in names else ""
                raise ValueError(
                    f"{key} follows the region {curve.region!r}, and the regions of the style are: {known}{several}"
                )
        return self

    @model_validator(mode="after")
    def _fixed_colors(self) -> Config:
        if self.color.by_region and not self.regions:
            raise ValueError(
                "color.by_region: the style has no regions, which only the styler neural can have; add some or leave "
                "it out"
            )
        styles = [self.style, *(region.style for region in self.regions if self.color.by_region and region.style)]
        animated = any(image.own_curves for style in styles for image in style.images)
        if animated and self.color.match == "content_to_style":
            raise ValueError("color.match: content_to_style needs style.images whose weights are no curves")
        return self


IDENTITY_SECTIONS = tuple(StylizeSettings.model_fields)
"""Top-level keys of a config that belong to the identity of a render, beside `input`."""

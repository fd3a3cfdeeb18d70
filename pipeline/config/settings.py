"""The style config: every setting, its range, its default and its help text, in one place.

The models are the JSON Schema (`tempera schema`), the help and the validation. What changes pixels and what does not
live in different models: `StylizeSettings` (with `InputSettings`) is the identity of a render and goes whole into its
digest; `OutputSettings`, `FinishSettings` and `RuntimeSettings` are not in it.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

LayerName = str
Weight = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
LAYERS = tuple(
    f"relu{block}_{conv}" for block, convs in enumerate((2, 2, 4, 4, 4), start=1) for conv in range(1, convs + 1)
)


class Settings(BaseModel):
    """Base of every section: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class StyleImage(Settings):
    """One painting."""

    path: Path = Field(description="Picture file, relative to the config file.")
    weight: Weight = Field(100.0, description="Weight of this painting's style loss; content has weight 1.")
    scale: float | None = Field(None, gt=0, le=8, description="Overrides `style.scale` for this painting.")


class StyleSettings(Settings):
    """The paintings, and how large their strokes are."""

    images: tuple[StyleImage, ...] = Field(min_length=1, description="One or more paintings with their weights.")
    scale: float = Field(
        1.0,
        gt=0,
        le=8,
        description="Size of the painting relative to the frame: larger gives larger strokes.",
    )


class ContentLoss(Settings):
    """What keeps the photo recognizable."""

    weight: Weight = Field(1.0, description="Weight of the content loss.")
    layers: dict[LayerName, Weight] = Field(
        default={"relu4_2": 1.0}, description="Layers and their weights, normalized to a sum of 1."
    )
    scale_weights: tuple[Weight, ...] = Field(
        (0.2, 0.4, 0.7, 1.0),
        min_length=1,
        max_length=64,
        description="Content weight at the first, second, ... scale of a cold frame, relative to the last: "
        "less at the coarse scales gives larger swirls.",
    )


class StyleLoss(Settings):
    """What makes it look like the painting."""

    loss: Literal["wasserstein", "gram"] = Field(
        "wasserstein",
        description="wasserstein: distance of the features' Gaussians; gram: distance of Gram matrices (Gatys 2015).",
    )
    layers: dict[LayerName, Weight] = Field(
        default={"relu1_1": 256.0, "relu2_1": 64.0, "relu3_1": 16.0, "relu4_1": 4.0, "relu5_1": 1.0},
        description="Layers and their weights, normalized to a sum of 1.",
    )


class TotalVariation(Settings):
    """What removes speckle."""

    weight: Weight = Field(0.5, description="Weight of total variation.")


class TemporalLoss(Settings):
    """What holds a warm frame to the moved earlier ones."""

    weight: Weight = Field(3.0, description="Weight of the temporal loss, where the motion is reliable.")
    long_term: tuple[Annotated[int, Field(ge=2, le=64)], ...] = Field(
        (5,),
        max_length=4,
        description="Frames to look back to, beside the previous one: what was hidden comes back in the paint it had.",
    )


class LossSettings(Settings):
    """Weights and layers of the objective. Every term is dimensionless: the same weights mean the same picture."""

    content: ContentLoss = Field(default_factory=ContentLoss)
    style: StyleLoss = Field(default_factory=StyleLoss)
    tv: TotalVariation = Field(default_factory=TotalVariation)
    temporal: TemporalLoss = Field(default_factory=TemporalLoss)

    @field_validator("content", "style")
    @classmethod
    def _known_layers(cls, section: ContentLoss | StyleLoss) -> ContentLoss | StyleLoss:
        for name in section.layers:
            if name not in LAYERS:
                raise ValueError(f"unknown layer {name!r}{nearest(name, LAYERS)}")
        if not section.layers or not any(section.layers.values()):
            raise ValueError("at least one layer needs a weight above 0")
        return section


class ColdSettings(Settings):
    """The first frame of a chain: from coarse to fine."""

    min_scale_px: int = Field(128, ge=32, le=4096, description="Longer side of the coarsest scale.")
    scale_step: float = Field(1.4142135623730951, ge=1.05, le=4.0, description="Growth from scale to scale.")
    evaluations: int = Field(32, ge=1, le=10000, description="Evaluations of the objective at every scale.")
    noise: float = Field(
        0.15,
        ge=0,
        le=2,
        description="Standard deviation of the noise added when a scale starts: fresh strokes.",
    )
    init: Literal["content", "noise"] | Path = Field(
        "content", description="Start from the photo, from noise, or from the picture with this path."
    )


class WarmSettings(Settings):
    """Every other frame: from the previous one."""

    evaluations: int = Field(
        10, ge=1, le=10000, description="Evaluations of the objective for a warm frame at most; more where much is new."
    )
    min_evaluations: int = Field(5, ge=1, le=10000, description="And at least.")
    tolerance: float = Field(
        0.005,
        ge=0,
        le=1,
        description="A warm frame is done when an evaluation lowers the loss by less than this share.",
    )


class OptimizeSettings(Settings):
    """How the pixels are found."""

    minimizer: Literal["lbfgs", "adam"] = Field("lbfgs", description="Safeguarded L-BFGS, or Adam.")
    history: int = Field(12, ge=1, le=100, description="Curvature pairs that L-BFGS keeps.")
    learning_rate: float = Field(0.02, gt=0, le=1, description="Step size of Adam, in pixel values.")
    cold: ColdSettings = Field(default_factory=ColdSettings)
    warm: WarmSettings = Field(default_factory=WarmSettings)
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Precision of the features; statistics and losses are always float32."
    )


class MotionSettings(Settings):
    """How the paint moves from frame to frame."""

    method: Literal["auto", "dis", "raft_small", "raft_large", "none"] = Field(
        "auto",
        description="auto: dense inverse search, and no motion where nothing moves; dis: always search; raft_small, "
        "raft_large: a network, needs its weights; none: the paint stays where it is.",
    )
    preset: Literal["ultrafast", "fast", "medium"] = Field("medium", description="Care of the dense inverse search.")
    boil: float = Field(
        0.0, ge=0, le=1, description="0: the paint sticks to what it shows; 1: fresh strokes in every frame."
    )
    hold: int = Field(1, ge=1, le=24, description="Paint every so many frames and hold them; 2 is on twos.")
    segment_frames: Literal["auto"] | Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        "auto",
        description="Split longer shots into parts of this length that are painted side by side; 0: never. "
        "auto: 0 on the CPU, 48 on an accelerator.",
    )


class StylizeSettings(Settings):
    """Everything about a style that changes pixels."""

    styler: Literal["neural", "palette", "superpixel"] = Field("neural", description="Who paints.")
    style: StyleSettings
    encoder: Literal["auto", "compact", "vgg19", "vgg16", "tiny"] = Field(
        "auto", description="Feature network. auto: vgg19 if its weights are at hand, else compact."
    )
    pooling: Literal["native", "max", "average"] = Field("native", description="Pooling of the feature network.")
    losses: LossSettings = Field(default_factory=LossSettings)
    optimize: OptimizeSettings = Field(default_factory=OptimizeSettings)
    motion: MotionSettings = Field(default_factory=MotionSettings)
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Another seed paints other strokes.")
    palette_colors: int = Field(12, ge=2, le=256, description="Colors of the palette styler.")
    superpixel_count: int = Field(900, ge=4, le=100000, description="Cells of the superpixel styler.")


class InputSettings(Settings):
    """How the input is read; changes pixels, so it belongs to the identity."""

    fit: Literal["strict", "cover", "contain"] = Field(
        "strict",
        description="Photos of another size: refuse them, crop them (cover) or letterbox them (contain).",
    )
    order: Literal["auto", "name", "time", "listed"] = Field(
        "auto",
        description="Order of photos; auto: capture time where all photos have it, else natural name order; "
        "a list that is not alphabetical stays as it is.",
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
        description="Evens out the flicker of exposure before painting, where there is any; 0: leave it.",
    )
    on_damaged: Literal["stop", "hold", "skip"] = Field(
        "stop",
        description="A frame of the input that cannot be decoded: stop there, show the one before it again (hold), "
        "or leave it out (skip).",
    )


class FinishSettings(Settings):
    """Pure functions of the stored frame, applied when the video is written: changing them renders nothing again."""

    match_light: float = Field(
        0.0, ge=0, le=1, description="1: broad light and shade are the photo's, so that a day in it is a day in paint."
    )
    preserve_color: float = Field(0.0, ge=0, le=1, description="1: the photo's own colors, 0: the painting's.")
    sharpen: float = Field(0.0, ge=0, le=3, description="Strength of unsharp masking.")
    grain: float = Field(0.0, ge=0, le=0.2, description="Standard deviation of film grain, in pixel values.")


class OutputSettings(Settings):
    """How the video is written."""

    codec: Literal["auto", "h264", "hevc", "vp9", "av1", "prores", "ffv1"] = Field(
        "auto", description="auto: h264 in mp4, mkv and mov, vp9 in webm."
    )
    crf: int = Field(16, ge=0, le=63, description="Quality of the codec, smaller is better.")
    preset: str = Field("medium", pattern=r"^[a-z0-9]+$", description="Speed preset of the codec.")
    audio: Literal["auto", "none"] = Field("auto", description="Carry the source's audio over, or not.")
    finish: FinishSettings = Field(default_factory=FinishSettings)


class RuntimeSettings(Settings):
    """How the work is done; never changes the result."""

    batch_size: int = Field(0, ge=0, le=4096, description="Frames in a batch at most; 0 decides by device.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where to compute.")
    threads: int = Field(0, ge=0, le=1024, description="CPU threads; 0 leaves it to torch.")
    prefetch: int = Field(2, ge=0, le=256, description="Frames decoded, and their motion found, ahead.")


class Config(StylizeSettings):
    """A style config as written in YAML."""

    schema_version: Literal[1] = Field(1, alias="schema", description="Version of this format.")
    name: str = Field(
        "", max_length=64, pattern=r"^[^/\\\x00-\x1f]*$", description="Short name; by default the file's."
    )
    description: str = Field("", description="One sentence about the look.")
    input: InputSettings = Field(default_factory=InputSettings)
    output: OutputSettings = Field(default_factory=OutputSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)

    @model_validator(mode="after")
    def _some_weight(self) -> Config:
        if not any(image.weight for image in self.style.images):
            raise ValueError("style.images: at least one painting needs a weight above 0")
        return self


IDENTITY_SECTIONS = tuple(StylizeSettings.model_fields)
"""Top-level keys of a config that belong to a render's identity, beside `input`."""


def nearest(name: str, names: tuple[str, ...] | list[str]) -> str:
    """`; did you mean 'x'?` for a name that is like one of some names, else nothing."""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""

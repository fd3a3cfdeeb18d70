"""The settings of the objective: the losses and their weights."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator

from pipeline.config.names import nearest, one_of
from pipeline.config.section import ANIMATED, Settings, Weight

STYLE_LOSSES: Final = {
    "wasserstein": "distance of the features' Gaussians (long strokes, clean colors)",
    "gram": "distance of Gram matrices (Gatys et al. 2015)",
}
"""The style losses with what each one is; the functions of each are in the file of `pipeline.optimize` of that name."""

CURVATURE_PAIRS: Final = {"wasserstein": 6, "gram": 12}
"""The curvature pairs that L-BFGS gains from with each. Nine cold frames by `wasserstein` end at 1.001 times the loss
that they have with 12, on average; two by `gram` at 1.04 times."""

StyleLossName = Annotated[
    str,
    AfterValidator(lambda name: one_of(name, tuple(STYLE_LOSSES))),
    WithJsonSchema({"type": "string", "enum": list(STYLE_LOSSES)}),
]
LayerName = str
LAYERS = tuple(
    f"relu{block}_{conv}" for block, convs in enumerate((2, 2, 4, 4, 4), start=1) for conv in range(1, convs + 1)
)


class ContentLossSettings(Settings):
    """The content loss: it keeps the content recognizable."""

    weight: Annotated[Weight, ANIMATED] = Field(1.0, description="Weight of the content loss.")
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


class StyleLossSettings(Settings):
    """The style loss: it gives the frame the strokes and colors of the style images."""

    loss: StyleLossName = Field(
        "wasserstein", description="; ".join(f"{name}: {text}" for name, text in STYLE_LOSSES.items()) + "."
    )
    layers: dict[LayerName, Weight] = Field(
        default={"relu1_1": 256.0, "relu2_1": 64.0, "relu3_1": 16.0, "relu4_1": 4.0, "relu5_1": 1.0},
        description="Layers and their weights, normalized to a sum of 1.",
    )


class TotalVariationSettings(Settings):
    """Total variation: it removes speckle, and grain and weave in flat areas."""

    weight: Annotated[Weight, ANIMATED] = Field(0.5, description="Weight of total variation; larger is smoother.")


class TemporalLossSettings(Settings):
    """The temporal loss: it keeps a warm frame close to the warped previous frames."""

    weight: Annotated[Weight, ANIMATED] = Field(
        3.0, description="Weight of the temporal loss, multiplied by the confidence of the motion."
    )
    long_term: tuple[Annotated[int, Field(ge=2, le=64)], ...] = Field(
        (5,),
        max_length=4,
        description="Distances, in frames, of further previous frames: what was hidden comes back as it looked before.",
    )


class LightLossSettings(Settings):
    """The light term: broad light and color follow the content, recolored like the style images."""

    weight: Annotated[Weight, ANIMATED] = Field(
        1.0, description="Weight of the light term; 0 lets colors lie where the strokes put them."
    )
    scale: Annotated[float, ANIMATED] = Field(
        0.06,
        gt=0,
        le=0.5,
        description="How broad the light is that follows the content: standard deviation, of the longer side.",
    )
    changed_scale: Annotated[float, ANIMATED] = Field(
        0.02, gt=0, le=0.5, description="The same where the content changed: finer, so that nothing leaves a trail."
    )


class LossSettings(Settings):
    """The objective. Every term is dimensionless: the same weights give the same look with every encoder and size."""

    content: ContentLossSettings = Field(default_factory=ContentLossSettings)
    style: StyleLossSettings = Field(default_factory=StyleLossSettings)
    tv: TotalVariationSettings = Field(default_factory=TotalVariationSettings)
    temporal: TemporalLossSettings = Field(default_factory=TemporalLossSettings)
    light: LightLossSettings = Field(default_factory=LightLossSettings)

    @field_validator("content", "style")
    @classmethod
    def _known_layers(cls, section: ContentLossSettings | StyleLossSettings) -> ContentLossSettings | StyleLossSettings:
        for name in section.layers:
            if name not in LAYERS:
                raise ValueError(f"unknown layer {name!r}{nearest(name, LAYERS)}")
        if not section.layers or not any(section.layers.values()):
            raise ValueError("at least one layer needs a weight above 0")
        return section

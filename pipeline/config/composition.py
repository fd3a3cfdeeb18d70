"""The composition: layers of several renders over the content, and how a file becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.finish import DetailSettings, FinishSettings
from pipeline.config.grade import GradeSettings
from pipeline.config.masks import MaskSettings
from pipeline.config.reading import parse_settings, read_yaml, set_value
from pipeline.config.section import ANIMATED, Settings, with_paths
from pipeline.config.video import VideoSettings
from pipeline.errors import ConfigError

MAX_LAYERS = 32
CONTENT = "content"
"""The word for the input itself, in place of a render directory."""
_HINT = "docs/fusion.md has a composition that works, and lists every key"

Blend = Literal["normal", "multiply", "screen", "overlay", "soft_light", "luminosity", "color"]


class LayerSettings(Settings):
    """One layer: what it shows, where, and how it is blended with what lies under it."""

    render: Literal["content"] | Path = Field(
        description="A render directory, relative to the composition's file; content: the input itself."
    )
    style: str | None = Field(None, description="The style of a render of several; by default the only one.")
    mask: MaskSettings | None = Field(None, description="Where the layer is; by default everywhere.")
    blend: Blend = Field("normal", description="How it is blended with what lies under it.")
    opacity: float = Field(1.0, ge=0, le=1, description="How opaque the layer is where its mask is white.")
    finish: FinishSettings | None = Field(
        None, description="The finish of the layer before it is blended; by default that of its render."
    )


class CompositionSettings(Settings):
    """A composition as written in YAML: layers from bottom to top over the content, then what is done to their sum."""

    schema_version: Literal[1] = Field(1, alias="schema", description="Version of this format.")
    layers: Annotated[tuple[LayerSettings, ...], Field(min_length=1, max_length=MAX_LAYERS)] = Field(
        description="The layers from bottom to top; under the first one lies the content."
    )
    detail: DetailSettings = Field(default_factory=DetailSettings)
    sharpen: Annotated[float, ANIMATED] = Field(0.0, ge=0, le=3, description="Strength of unsharp masking.")
    grade: GradeSettings = Field(default_factory=GradeSettings)
    grain: Annotated[float, ANIMATED] = Field(
        0.0, ge=0, le=0.2, description="Standard deviation of film grain, in pixel values."
    )
    output: VideoSettings = Field(default_factory=VideoSettings)

    @model_validator(mode="after")
    def _some_render(self) -> CompositionSettings:
        if all(layer.render == CONTENT for layer in self.layers):
            raise ValueError("layers: at least one layer names a render, which says what the input is")
        for number, layer in enumerate(self.layers):
            if layer.render == CONTENT and layer.style is not None:
                raise ValueError(f"layers.{number}.style: the content has no style")
        return self

    @property
    def finish(self) -> FinishSettings:
        """What is done to the sum of the layers, as settings of a finish."""
        found = self.model_dump(include={"detail", "sharpen", "grade", "grain"})
        return FinishSettings.model_validate({"follow_level": 0, **found})


def load_composition(path: Path, assignments: Sequence[str] = ()) -> CompositionSettings:
    """The composition of a YAML file, with `--set` assignments applied; relative paths start at the file's folder.

    Raises ConfigError if the file cannot be read or a setting is wrong.
    """
    data = read_yaml(path, hint=_HINT)
    if isinstance(data, dict):
        for assignment in assignments:
            set_value(data, assignment, CompositionSettings, hint=_HINT)
    settings = parse_settings(CompositionSettings, data, where=str(path), hint=_HINT)
    return with_paths(settings, lambda found: _located(found, path))


def _located(found: Path, path: Path) -> Path:
    """A path in the file `path`, absolute."""
    if "\0" in str(found):
        raise ConfigError(f"{path}: no path is {str(found)!r}", hint=_HINT)
    return (path.parent / found).absolute()

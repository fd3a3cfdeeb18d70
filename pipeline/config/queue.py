"""The queue file: many inputs in many styles as one work list, in YAML."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from pipeline.config.reading import parse_settings, read_yaml
from pipeline.config.section import Settings

_NAME = r"^[^/\\\x00-\x1f]*$"
_PATH = r"^[^\x00]+$"
SidePx = Annotated[int, Field(ge=16, le=16384)]


class QueueInput(Settings):
    """One entry of `inputs`: a file, a folder, a glob or a pattern, with what holds for it alone."""

    path: str = Field(pattern=_PATH, max_length=4096, description="Photo, video, folder, glob or %04d pattern.")
    name: str = Field(
        "",
        max_length=64,
        pattern=_NAME,
        examples=["dusk"],
        description="Name of the input; by default that of the file.",
    )
    each: bool | None = Field(
        None,
        description="Whether every photo and video of a folder or glob is an input by itself, or all photos are one "
        "clip. By default those of a glob are, and a folder is a clip.",
    )
    frames: str = Field(
        "",
        pattern=r"^(\d{0,9}:\d{0,9}(:\d{0,9})?)?$",
        examples=["0:240", "::10"],
        description="Only frames A up to, not including, B: A:B; with A:B:STEP every STEP-th of them.",
    )
    width: SidePx | None = Field(None, description="Width in px; by default that of the queue.")
    height: SidePx | None = Field(None, description="Height in px; by default that of the queue.")

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, data: object) -> object:
        return {"path": data} if isinstance(data, str) else data


class QueueStyle(Settings):
    """One entry of `styles`: a shipped style, a config or an image, with what is changed in it."""

    style: str = Field(pattern=_PATH, max_length=4096, description="Name of a shipped style, a .yaml file or an image.")
    name: str = Field(
        "", max_length=64, pattern=_NAME, examples=["dusk"], description="Name of the style; by default its own."
    )
    assignments: dict[str, JsonValue] = Field(
        default_factory=dict, alias="set", description="Settings of the style: `section.key: value`."
    )

    @model_validator(mode="before")
    @classmethod
    def _style_alone(cls, data: object) -> object:
        return {"style": data} if isinstance(data, str) else data


class QueueOutput(Settings):
    """Where results go, and how they are named."""

    folder: Path | None = Field(None, description="Folder of all results. By default the name of the queue file.")
    name: str = Field("{input}-{style}", max_length=200, description="Name of a result, without suffix.")
    still: Literal["png", "jpg", "jpeg"] = Field("png", description="Format of a single picture.")
    video: Literal["mp4", "mov", "mkv", "webm", "gif", "webp", "apng", "avif"] = Field(
        "mp4", description="Format of a clip."
    )

    @field_validator("name")
    @classmethod
    def _both_fields(cls, name: str) -> str:
        try:
            parts = list(string.Formatter().parse(name))
        except ValueError as error:
            raise ValueError(f"is no template: {error}") from None
        fields = [field for _, field, form, conversion in parts if field is not None and not form and not conversion]
        count = sum(field is not None for _, field, _, _ in parts)
        if len(fields) != count or set(fields) != {"input", "style"}:
            raise ValueError("needs {input} and {style}, and no other field")
        pieces = name.split("/")
        if "\\" in name or not name.isprintable() or any(piece in ("", ".", "..") for piece in pieces):
            raise ValueError("must be a path inside the folder")
        return name


class Skip(Settings):
    """One entry of `skip`: an input that is not wanted in a style."""

    input: str = Field(description="Name of an input.")
    style: str = Field(description="Name of a style.")


class QueueFile(Settings):
    """A queue as written in YAML: every input in every style, except what is skipped."""

    schema_version: Literal[1] = Field(1, alias="schema", description="Version of this format.")
    inputs: tuple[QueueInput, ...] = Field(max_length=100_000, description="The inputs.")
    styles: tuple[QueueStyle, ...] = Field(max_length=10_000, description="The styles.")
    output: QueueOutput = Field(default_factory=QueueOutput)
    order: Literal["inputs", "styles"] = Field(
        "inputs", description="inputs: one input in all styles, then the next; styles: all inputs in one style first."
    )
    width: SidePx | None = Field(None, description="Width in px; with both, the largest size inside that box.")
    height: SidePx | None = Field(None, description="Height in px.")
    assignments: dict[str, JsonValue] = Field(
        default_factory=dict, alias="set", description="Settings of all styles: `section.key: value`."
    )
    skip: tuple[Skip, ...] = Field((), max_length=100_000, description="What is left out.")


def read_queue(path: Path) -> QueueFile:
    """The queue in a YAML file. Raises ConfigError for whatever does not fit, naming every wrong key."""
    return parse_queue(read_yaml(path), where=str(path))


def parse_queue(data: object, *, where: str) -> QueueFile:
    """Validate the plain data of a queue. Raises ConfigError that names every wrong key."""
    hint = "`tempera queue --help` shows a queue file that works"
    return parse_settings(QueueFile, data, where=where, hint=hint)


def as_assignments(settings: Mapping[str, JsonValue]) -> list[str]:
    """Settings of a queue file as `--set` takes them."""
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in settings.items()]

"""The record of how an image or a video was made: what is in it, as text, and how it is checked.

Folder names are not in it. Where the settings name a file, they have its name, and `files` the SHA-256 of its content;
of two different files with one name the second one is called `name-2`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.config.catalog import configs_path
from pipeline.config.composition import CompositionSettings
from pipeline.config.reading import parse_config, parse_settings
from pipeline.config.section import with_paths
from pipeline.config.settings import Config, RuntimeSettings
from pipeline.config.writing import settings_data
from pipeline.errors import ConfigError, InputError
from pipeline.runtime.hashing import canonical_json

_CONTROL: Final = re.compile(r"[\\\x00-\x1f]")
_FILE_NAME: Final = re.compile(r"(images/)?[^/\\\x00-\x1f]{1,255}")

Name = Annotated[str, Field(max_length=255, pattern=r"^[^/\\\x00-\x1f]*$")]
Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
Side = Annotated[int, Field(ge=1, le=1_000_000)]


class _Part(BaseModel):
    """A part of a record; what a later version adds is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class RecordedSource(_Part):
    """The input: the name of its file or folder, the digest of its content, its frames, and its size in px."""

    name: Name
    digest: Digest
    frames: str = Field(max_length=4096)
    width_px: Side
    height_px: Side


class RecordedEncoder(_Part):
    """The feature network ("none": the style needs none), its digest, and the name of its weights, if given."""

    name: Name
    digest: Digest
    weights: Name = ""


class RecordedStyle(_Part):
    """A style as it was rendered: the settings that are not at their default, and what was chosen."""

    settings: dict[str, Any]
    seed: int
    encoder: RecordedEncoder


class Record(_Part):
    """How a file was made: of one style, or composed (then `styles` has those of all layers that are renders)."""

    schema_version: Literal[1] = Field(1, alias="schema")
    version: str = Field(max_length=64)
    algorithm: int
    source: RecordedSource
    width_px: Side
    height_px: Side
    fps: str = Field(max_length=64, pattern=r"^\d+(/\d+)?$")
    styles: tuple[RecordedStyle, ...] = Field(min_length=1, max_length=64)
    composition: dict[str, Any] | None = None
    files: dict[str, Digest]

    def text(self) -> str:
        """The record as canonical JSON, ASCII."""
        return canonical_json(self.model_dump(by_alias=True, exclude_none=True)).decode("ascii")


def plain_name(path: Path) -> str:
    """The name of a file or folder without what no text can hold."""
    name = _CONTROL.sub("_", path.name.encode("utf-8", "replace").decode())
    return name if name not in {"", ".", ".."} else "_"


class Files:
    """The names that files get in a record, and their digests, by `digest`."""

    def __init__(self, digest: Callable[[Path], str]) -> None:
        self.digests: dict[str, str] = {}
        self._digest = digest
        self._names: dict[Path, str] = {}

    def name(self, path: Path) -> str:
        """The name of a file; images of shipped styles keep their folder, in which they are found everywhere."""
        if path not in self._names:
            plain = Path(plain_name(path))
            name = f"images/{plain}" if path.parent == configs_path() / "images" else str(plain)
            number = 2
            while name in self.digests:
                name = f"{plain.stem}-{number}{plain.suffix}"
                number += 1
            self._names[path] = name
            self.digests[name] = self._digest(path)
        return self._names[path]


def recorded_settings(config: Config, files: Files) -> dict[str, Any]:
    """The settings of a style for a record; how the work was done is left out, it says nothing about the result."""
    return settings_data(config.model_copy(update={"runtime": RuntimeSettings()}), files.name)


def parse_record(text: str, where: Path) -> Record:
    """A record that was read from the file `where`, whose settings are valid and name only files of the record.

    Raises InputError for anything else.
    """
    try:
        record = Record.model_validate(json.loads(text, parse_constant=_no_number))
        for style in record.styles:
            _check_names(style_of(record, style), record.files)
        if record.composition is not None:
            _check_names(composition_of(record), record.files)
    except (ConfigError, ValidationError, ValueError, RecursionError, TypeError, LookupError) as error:
        problem = str(error) if isinstance(error, ConfigError) else "they are damaged"
        raise InputError(
            f"{where}: the settings in it cannot be used: {problem}",
            hint="they were changed, or written by another version of Tempera",
        ) from None
    return record


def style_of(record: Record, style: RecordedStyle) -> Config:
    """The config of a style; its paths are names of `record.files`. Raises ConfigError if it is not valid."""
    return parse_config(style.settings, where=f"style of {record.source.name}")


def composition_of(record: Record) -> CompositionSettings:
    """The settings of a composition; likewise."""
    return parse_settings(CompositionSettings, record.composition, where="composition", hint="see docs/fusion.md")


def _check_names(settings: Config | CompositionSettings, files: Mapping[str, str]) -> None:
    def check(path: Path) -> Path:
        name = path.as_posix()
        if name not in files or not _FILE_NAME.fullmatch(name) or path.name in {"", ".", ".."}:
            raise ValueError(name)
        return path

    with_paths(settings, check)


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)

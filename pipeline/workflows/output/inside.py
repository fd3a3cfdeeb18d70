"""The settings inside a file that Tempera wrote: as text for people, and as the style of another render."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.config.catalog import configs_path
from pipeline.config.reading import parse_config, set_value
from pipeline.config.record import parse_record
from pipeline.config.section import with_paths
from pipeline.config.settings import Config
from pipeline.config.writing import commented_yaml
from pipeline.encoders.registry import ENCODERS
from pipeline.errors import ConfigError, InputError, UsageError
from pipeline.media.reader.record import read_record
from pipeline.workflows.output.record import content_digest

if TYPE_CHECKING:
    from pipeline.config.record import Record

_MOST_FILES: Final = 256
_LARGEST_BYTES: Final = 1 << 26
"""How many files of a folder, of which size at most, are compared with a file that has another name now."""


@dataclass(frozen=True, slots=True)
class Like:
    """What a render takes from a file: the style, its size in px (None: that of the input), and given weights."""

    style: Config
    width_px: int | None
    height_px: int | None
    weights: Path | None


def read_settings(path: Path) -> Record:
    """The record inside a file. Raises InputError if there is none, or none that can be used."""
    text = read_record(path)
    if text is None:
        raise InputError(
            f"{path}: has no settings inside",
            hint="only files that Tempera has exported have them, unless output.metadata was none or another program "
            "wrote the file again; a render directory has them in plan.json",
        )
    return parse_record(text, path)


def settings_text(record: Record, path: Path) -> str:
    """The settings of a record as YAML that is a style, or a composition, with the facts as comments above."""
    source = record.source
    facts = [
        f"{path.name} was made by Tempera {record.version} (algorithm {record.algorithm})",
        f"source: {source.name}, {source.width_px}x{source.height_px} px, frames {source.frames}",
        f"output: {record.width_px}x{record.height_px} px, {record.fps} frames per second",
    ]
    for style in record.styles:
        name = style.settings.get("name", "")
        encoder = f"{style.encoder.name} {style.encoder.digest[:12]}".strip()
        facts.append(f"style: {name}, seed {style.seed}, encoder {encoder}")
    facts += [f"file: {name}, SHA-256 {digest or 'unknown'}" for name, digest in record.files.items()]
    data = record.styles[0].settings if record.composition is None else record.composition
    first = {key: data[key] for key in ("schema", "name") if key in data}
    return commented_yaml(first | data, "\n".join(facts))


def like(
    path: Path, images: Sequence[Path] = (), assignments: Sequence[str] = (), *, weights: Path | None = None
) -> Like:
    """What a render takes from the file `path`, with `--set` assignments applied.

    Files that its settings name are found by their content: among `images`, the shipped images, beside `path`, and in
    the current folder; `weights` are used in place of those that the file names.

    Raises InputError if there are no settings in the file, ConfigError if one of their files is not found, UsageError
    for a composition and for one of `images` that the settings do not name.
    """
    record = read_settings(path)
    if record.composition is not None:
        raise UsageError(
            f"{path}: is a composition of several renders, not of one style",
            hint=f"`tempera show {path}` prints it; --like takes a file of one render",
        )
    style = record.styles[0]
    data = copy.deepcopy(style.settings)
    if data.get("encoder", "auto") == "auto" and style.encoder.name in ENCODERS:
        data["encoder"] = style.encoder.name
    for assignment in assignments:
        set_value(data, assignment)
    given = {content_digest(image): image for image in images}
    unknown = (image for digest, image in given.items() if digest not in record.files.values() or not digest)
    other = next(unknown, None)
    if other is not None:
        raise UsageError(
            f"--style {other}: is none of the images of {path}",
            hint=f"with --like, --style says where its images are now; "
            f"for another one --set style.images.0.path={other}",
        )
    places = (configs_path(), path.absolute().parent, Path.cwd())

    def find(name: Path) -> Path:
        if name.is_absolute():
            return name  # by --set
        return located(name, record.files[name.as_posix()], "an image can be given with --style")

    def located(name: Path, digest: str, otherwise: str) -> Path:
        found = (given.get(digest) if digest else None) or _by_content(name, digest, places)
        if found is None:
            raise ConfigError(
                f"{path}: {name.name}, which its settings name, is not here (SHA-256 {digest or 'unknown'})",
                hint=f"put it beside {path.name} or into the current folder; {otherwise}",
            )
        return found

    config = with_paths(parse_config(data, where=f"--like {path}"), find)
    if weights is None and style.encoder.weights and config.encoder == style.encoder.name:
        weights = located(Path(style.encoder.weights), style.encoder.digest, "or name it with --weights")
    resized = (record.width_px, record.height_px) != (record.source.width_px, record.source.height_px)
    if not resized:
        return Like(config, None, None, weights)
    return Like(config, record.width_px, record.height_px, weights)


def _by_content(name: Path, digest: str, folders: Sequence[Path]) -> Path | None:
    """The file with this content: of this name in one of the folders, else of another one of the same suffix."""
    if not digest:
        return None
    named = (folder / name for folder in folders)
    return next((path for path in (*named, *_others(name, folders)) if content_digest(path) == digest), None)


def _others(name: Path, folders: Sequence[Path]) -> Iterator[Path]:
    for folder in (folders[0] / "images", *folders[1:]):
        try:
            files = sorted(
                file for file in folder.iterdir() if file.suffix.lower() == name.suffix.lower() and file.is_file()
            )
            yield from (file for file in files[:_MOST_FILES] if file.stat().st_size <= _LARGEST_BYTES)
        except OSError:
            continue

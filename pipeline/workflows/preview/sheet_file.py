"""The file of a sheet, a PNG or an HTML page; it holds the command and config of every cell, which can be promoted.

The record stands in the file itself, so that it cannot be separated from the images: as text in the PNG, as JSON in the
page. Paths in it are relative to the sheet's folder where they are below it.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any, Final

from pipeline.config.catalog import locate_config
from pipeline.config.reading import parse_config
from pipeline.config.settings import Config
from pipeline.config.writing import config_data, config_yaml
from pipeline.errors import ConfigError, InputError, UsageError
from pipeline.runtime.presence import is_file, is_folder
from pipeline.workflows.preview.sheet import Sheet
from pipeline.workflows.preview.sheet_page import RECORD_ID, sheet_page

SUFFIXES: Final = (".png", ".html")
_VERSION_KEY: Final = "tempera_sheet"
_VERSION: Final = 1
_IN_PAGE: Final = re.compile(rf'<script type="application/json" id="{RECORD_ID}">(.*?)</script>', re.DOTALL)


def write_sheet(path: Path, sheet: Sheet) -> None:
    """Write a sheet by the suffix of its path. Raises WriteError if it cannot be written."""
    record = json.dumps({_VERSION_KEY: _VERSION, "cells": _cells(sheet, path.parent)})
    data = sheet_page(sheet, path.name, record).encode() if path.suffix.lower() == ".html" else _png(sheet, record)
    _write(path, data)


def promote(sheet: Path, cell: str, config_path: Path) -> None:
    """Write the config of a cell of a sheet as a new YAML file, which as a style gives exactly that cell.

    It keeps the name of the style, which is part of the seed of every frame. Raises UsageError if the file exists, is
    no .yaml, or the sheet has no such stylized cell; InputError if the sheet cannot be read; WriteError if the file
    cannot be written.
    """
    if config_path.suffix.lower() not in (".yaml", ".yml"):
        raise UsageError(f"{config_path}: expected a .yaml", hint=f"for example --promote {cell} mine.yaml")
    if is_file(config_path) or is_folder(config_path):
        raise UsageError(f"{config_path}: is there already", hint="choose another name; nothing is overwritten")
    cells = _read_record(sheet)
    name = cell.strip().upper()
    stylized = [known for known, facts in cells.items() if "config" in facts]
    if name not in stylized:
        what = "shows the content" if name in cells else "is not on it"
        raise UsageError(f"{sheet}: cell {cell} {what}", hint=f"its stylized cells are {', '.join(stylized)}")
    facts = cells[name]
    config = _config(facts["config"], sheet)
    differing = "".join(f"\n  {assignment}" for assignment in facts["differing"])
    comment = (
        f"Cell {name} of {sheet.name}: {facts['style']}, frame {facts['frame']}{differing}\n"
        f"tempera render INPUT --style {shlex.quote(config_path.name)}\n"
        "The name is part of the seed: under another one the strokes fall elsewhere."
    )
    _write(config_path, config_yaml(config, config_path.parent, comment).encode())


def _cells(sheet: Sheet, folder: Path) -> dict[str, Any]:
    """The record of every cell, by name."""
    cells: dict[str, Any] = {}
    for cell in sheet.cells:
        cells[cell.name] = {"frame": cell.frame}
        if cell.variant is not None:
            cells[cell.name] |= {
                "style": cell.variant.title,
                "differing": list(cell.variant.differing),
                "command": cell.command,
                "config": config_data(cell.variant.config, folder),
            }
    return cells


def _png(sheet: Sheet, record: str) -> bytes:
    from pipeline.media.image.contact_sheet import Captioned, contact_sheet
    from pipeline.media.image.png import add_text, encode_png

    rows: list[str | list[Captioned | None]] = []
    for block in sheet.blocks:
        if block.heading:
            rows.append(block.heading)
        rows += [[None if cell is None else (cell.caption, cell.rgb) for cell in row] for row in block.rows]
    return add_text(encode_png(contact_sheet(rows), level=6), RECORD_ID, record)


def _read_record(path: Path) -> dict[str, Any]:
    """The record of the cells of a sheet, by name. Raises InputError for anything else."""
    from pipeline.media.image.png import find_text

    hint = (
        "name the .png or .html that `tempera preview` wrote; a copy that was converted or edited has lost its record"
    )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", hint=hint) from None
    try:
        if data.startswith(b"\x89PNG"):
            text = find_text(data, RECORD_ID)
        else:
            found = _IN_PAGE.search(data.decode())
            text = found and found[1]
        record = json.loads(text or "null")
        if record[_VERSION_KEY] != _VERSION:
            raise InputError(f"{path}: is a sheet of another version of Tempera", hint="make the sheet again")
        cells: dict[str, Any] = record["cells"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InputError(f"{path}: is not a sheet of `tempera preview`", hint=hint) from None
    return cells


def _config(data: Any, sheet: Path) -> Config:
    """The config of a cell, with absolute paths. Raises InputError if this version does not understand it."""
    try:
        return locate_config(parse_config(data, where=str(sheet)), sheet.parent, sheet.stem)
    except ConfigError as error:
        raise InputError(error.message, hint="the sheet is of another version of Tempera: make it again") from None


def _write(path: Path, data: bytes) -> None:
    from pipeline.media.writer.partial import replacing

    with replacing(path) as partial:
        partial.write_bytes(data)

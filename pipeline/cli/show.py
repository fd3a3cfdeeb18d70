"""`tempera show`: the settings inside an exported file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options
from pipeline.cli.printing import print_json


def show(
    file: Annotated[
        Path, typer.Argument(help="A video, animation or image that Tempera has exported.", show_default=False)
    ],
    as_json: options.AsJson = False,
) -> None:
    """Print the settings inside an exported file, as YAML that is a style."""
    from pipeline.workflows.output.inside import read_settings, settings_text

    record = read_settings(file)
    if as_json:
        print_json(record.model_dump(by_alias=True, exclude_none=True, mode="json"))
        return
    sys.stdout.write(settings_text(record, file))

"""`tempera styles` and `tempera schema`: the shipped styles, and the schema of a style config."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from pipeline.cli.completion import propose_styles
from pipeline.cli.printing import print_rows


def styles(
    name: Annotated[
        str | None, typer.Argument(help="Print this config.", show_default=False, autocompletion=propose_styles)
    ] = None,
) -> None:
    """List the styles that ship, or print one of them. The style `template` explains every key."""
    from pipeline.config.catalog import TEMPLATE, configs_path, shipped_styles
    from pipeline.config.reading import read_yaml
    from pipeline.errors import ConfigError

    shipped = shipped_styles()
    if name is None:
        print_rows([(style, str(read_yaml(config).get("description", ""))) for style, config in shipped.items()], 15)
        return
    path = configs_path() / f"{TEMPLATE}.yaml" if name == TEMPLATE else shipped.get(name)
    if path is None:
        raise ConfigError(f"{name}: no such style", hint=f"the styles that ship are {', '.join(shipped)}")
    sys.stdout.write(path.read_text(encoding="utf-8"))


def schema() -> None:
    """Print the JSON Schema of a style config."""
    from pipeline.config.reading import config_schema

    sys.stdout.write(json.dumps(config_schema(), indent=2) + "\n")

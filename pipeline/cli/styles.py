"""The commands about styles and weights: styles, schema, weights."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from pipeline.encoders.registry import WEIGHTS


def _known_network(name: str) -> str:
    """A network with weights. Raises typer.BadParameter for anything else."""
    if name not in WEIGHTS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(map(repr, WEIGHTS))}.")
    return name


Network = Annotated[
    str,
    typer.Argument(
        help=f"A network: {', '.join(WEIGHTS)}.",
        metavar="NAME",
        callback=_known_network,
        show_default=False,
    ),
]

weights = typer.Typer(name="weights", help="Weights of the networks.")


def styles(name: Annotated[str | None, typer.Argument(help="Print this config.", show_default=False)] = None) -> None:
    """List the styles that ship, or print one of them (`template` explains every key)."""
    from pipeline.config.catalog import TEMPLATE, configs_path, shipped_styles
    from pipeline.config.reading import read_yaml
    from pipeline.errors import ConfigError

    shipped = shipped_styles()
    if name is None:
        for style, config in shipped.items():
            sys.stdout.write(f"{style:<14} {read_yaml(config).get('description', '')}\n")
        return
    path = configs_path() / f"{TEMPLATE}.yaml" if name == TEMPLATE else shipped.get(name)
    if path is None:
        raise ConfigError(f"{name}: no such style", hint=f"the styles that ship are {', '.join(shipped)}")
    sys.stdout.write(path.read_text(encoding="utf-8"))


def schema() -> None:
    """Print the JSON Schema of a style config."""
    from pipeline.config.reading import config_schema

    sys.stdout.write(json.dumps(config_schema(), indent=2) + "\n")


@weights.command()
def fetch(name: Network) -> None:
    """Download the weights of a network, once; a broken download continues."""
    from pipeline.encoders.fetch import fetch as run_fetch
    from pipeline.runtime.progress import make_reporter

    with make_reporter("auto").stage(f"fetching {name}", None) as advance:
        path = run_fetch(name, progress=lambda done, _total: advance(done))
    sys.stdout.write(f"{path}\n")


@weights.command()
def verify(name: Network) -> None:
    """Check the installed weights and print their SHA-256."""
    from pipeline.encoders.fetch import verify as run_verify

    sys.stdout.write(f"{run_verify(name)}\n")


@weights.command(name="path")
def where(name: Network) -> None:
    """Print where the weights are, or would be."""
    from pipeline.encoders.fetch import weights_path

    sys.stdout.write(f"{weights_path(name)}\n")

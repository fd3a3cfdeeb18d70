"""`tempera weights`: the weights of the networks."""

from __future__ import annotations

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


@weights.command()
def fetch(name: Network) -> None:
    """Download the weights of a network, once; a broken download continues."""
    from pipeline.encoders.fetch import fetch as run_fetch
    from pipeline.runtime.reporters import make_reporter

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

"""`tempera weights`: the weights of the networks."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

Network = Annotated[
    Literal["vgg19", "vgg16", "compact", "raft_small", "raft_large"],
    typer.Argument(help="Feature network, or RAFT for motion.", show_default=False),
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
    """Check the weights at hand and print their SHA-256."""
    from pipeline.encoders.fetch import verify as run_verify

    sys.stdout.write(f"{run_verify(name)}\n")


@weights.command(name="path")
def where(name: Network) -> None:
    """Print where the weights are, or would be."""
    from pipeline.encoders.fetch import weights_path

    sys.stdout.write(f"{weights_path(name)}\n")

"""`tempera doctor`: check the installation."""

from __future__ import annotations

import sys
from typing import Any

import typer

from pipeline.cli import options
from pipeline.cli.printing import print_json


def doctor(as_json: options.AsJson = False) -> None:
    """Check torch, device, codecs, encoders and optional parts."""
    from pipeline.workflows.doctor import examine

    facts = examine()
    if as_json:
        print_json(facts)
    else:
        sys.stdout.write("".join(f"{name:<17} {_plain(value)}\n" for name, value in facts.items()))
    if not facts["encoder compact"].startswith("works"):
        raise typer.Exit(6)


def _plain(value: Any) -> str:
    """A finding on one line; of the codecs, which containers take which."""
    if isinstance(value, dict):
        containers = value.get("containers", value)
        return "; ".join(f"{suffix}: {', '.join(codecs)}" for suffix, codecs in containers.items())
    return str(value)

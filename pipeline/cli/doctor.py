"""`tempera doctor`: check the installation."""

from __future__ import annotations

from typing import Any

import typer

from pipeline.cli import options
from pipeline.cli.printing import print_json, print_rows


def doctor(as_json: options.AsJson = False) -> None:
    """Check torch, device, codecs, encoders and optional parts."""
    from pipeline.workflows.doctor import examine

    facts = examine()
    if as_json:
        print_json(facts)
    else:
        del facts["missing"]
        print_rows([line for name, value in facts.items() for line in _lines(name, value)], 18)
    if not facts["encoder compact"].startswith("works"):
        raise typer.Exit(6)


def _lines(name: str, value: Any) -> list[tuple[str, str]]:
    """A finding on one line; the codecs on one each, with their encoder, their containers and what they keep."""
    if not isinstance(value, dict):
        return [(name, str(value))]
    return [(f"codec {codec}", _codec(found)) for codec, found in value["codecs"].items()] + [
        ("other outputs", f"{', '.join(value['other'])}; audio as {', '.join(value['audio'])}")
    ]


def _codec(found: dict[str, Any]) -> str:
    if found["encoder"] is None:
        return "missing; install a build of PyAV that has it"
    parts = [
        f"works, {found['encoder']} in {' '.join(found['containers'])}",
        *(f"{depth}: {' '.join(colors)}" for depth, colors in found["pixels"].items()),
    ]
    if found["variants"]:
        parts.append(f"variants {', '.join(found['variants'])}")
    if found["hardware"]:
        parts.append(f"hardware, if there is one: {', '.join(found['hardware'])}")
    return "; ".join(parts)

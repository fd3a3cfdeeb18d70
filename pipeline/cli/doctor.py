"""`tempera doctor`: check the installation."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import Any, Final

import typer

from pipeline.cli import options
from pipeline.cli.printing import print_json

_INDENT: Final = 18


def doctor(as_json: options.AsJson = False) -> None:
    """Check torch, device, codecs, encoders and optional parts."""
    from pipeline.workflows.doctor import examine

    facts = examine()
    if as_json:
        print_json(facts)
    else:
        del facts["missing"]
        lines = [line for name, value in facts.items() for line in _lines(name, value)]
        sys.stdout.write("".join(f"{_row(name, text)}\n" for name, text in lines))
    if not facts["encoder compact"].startswith("works"):
        raise typer.Exit(6)


def _row(name: str, text: str) -> str:
    """A finding beside its name, broken under itself where the terminal is narrower; never in a file or a pipe."""
    row, columns = f"{name:<{_INDENT - 1}} {text}", shutil.get_terminal_size((0, 0)).columns
    if columns <= 2 * _INDENT:
        return row
    return textwrap.fill(row, columns, subsequent_indent=" " * _INDENT, break_long_words=False, break_on_hyphens=False)


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

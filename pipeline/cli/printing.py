"""Printing results on stdout."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any


def print_json(value: Any) -> None:
    """Print plain data as JSON; fractions become text."""

    def known(item: Any) -> Any:
        if isinstance(item, Fraction):
            return str(item)
        raise TypeError(f"no JSON for {type(item).__name__}")

    sys.stdout.write(json.dumps(value, indent=2, default=known, ensure_ascii=False) + "\n")


def print_rows(rows: Sequence[tuple[str, str]], indent: int) -> None:
    """Print names and what is said of them from column `indent` on, broken under itself on a narrower terminal.

    In a file or a pipe every row is one line.
    """
    columns = shutil.get_terminal_size((0, 0)).columns
    for name, text in rows:
        row = f"{name:<{indent - 1}} {text}"
        if columns > 2 * indent:
            row = textwrap.fill(
                row, columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
            )
        sys.stdout.write(row + "\n")


def print_paths(paths: Sequence[Path]) -> None:
    """Print one path a line."""
    sys.stdout.write("".join(f"{path}\n" for path in paths))
    sys.stdout.flush()

"""Printing results on stdout."""

from __future__ import annotations

import json
import sys
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


def print_paths(paths: Sequence[Path]) -> None:
    """Print one path a line."""
    sys.stdout.write("".join(f"{path}\n" for path in paths))
    sys.stdout.flush()

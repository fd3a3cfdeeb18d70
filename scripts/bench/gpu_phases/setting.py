"""What every phase is given, and rows that survive what goes wrong."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """The device ("cuda" or "cpu"), whether sizes are miniature, and the file that the rows of all phases go to."""

    device: str
    small: bool
    out: Path

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of a frame in px."""
        return (64, 96) if self.small else (720, 1280)

    @property
    def batches(self) -> tuple[int, ...]:
        """Numbers of frames that are stylized at once."""
        return (1, 2) if self.small else (1, 2, 4, 8, 16)

    def earlier(self, phase: str) -> list[Row]:
        """The rows that a phase has written."""
        return [row for row in read_rows(self.out) if row["phase"] == phase and "outcome" not in row]


def read_rows(path: Path) -> list[Row]:
    """The rows of all phases so far; none if there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def append(path: Path, row: Row) -> None:
    """Add a line, which is on the disk when this returns; numbers that are not finite become null."""
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(finite) + "\n")
        file.flush()
        os.fsync(file.fileno())


def attempt(facts: Row, work: Callable[[], Row]) -> Row:
    """The row of `facts` and of what `work` finds: or why it was skipped, or how it failed."""
    import torch

    try:
        return {**facts, **work()}
    except ModuleNotFoundError as error:
        return {**facts, "skipped": str(error)}
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return {**facts, "skipped": "out of memory"}
    except Exception as error:
        return {**facts, "failed": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}


def attempts(*parts: tuple[Row, Callable[[], Row]]) -> Iterator[Row]:
    """`attempt` of several parts, one after the other."""
    for facts, work in parts:
        yield attempt(facts, work)

"""The sheet of a preview: which image stands where, its name as in a spreadsheet, its caption and its command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from string import ascii_uppercase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.workflows.preview.preview import Preview
    from pipeline.workflows.preview.sweep import Sweep, Variant


@dataclass(frozen=True, slots=True)
class Cell:
    """One image, uint8 (H, W, 3) sRGB: a frame of a variant's video, or of the content (no variant, no command)."""

    name: str
    frame: int
    rgb: NDArray[np.uint8]
    variant: Variant | None = None
    command: str = ""

    @property
    def caption(self) -> str:
        """The name and what is shown, then what differs, a line each."""
        if self.variant is None:
            return f"{self.name}  content, frame {self.frame}"
        return "\n".join([f"{self.name}  {self.variant.title}", *self.variant.differing])


@dataclass(frozen=True, slots=True)
class Block:
    """A grid of cells, some places of which are empty (None), below a heading, which may be empty."""

    heading: str
    rows: tuple[tuple[Cell | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything on a sheet. Rows are numbered through all blocks, so that every cell has a name of its own."""

    blocks: tuple[Block, ...]
    full_size: bool = False
    """Whether cells show pixels of a render one to one."""

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        return [cell for block in self.blocks for row in block.rows for cell in row if cell is not None]


def cell_name(column: int, row: int) -> str:
    """The name of a place as in a spreadsheet, counted from 0: (0, 0) is A1, (27, 2) is AB3."""
    letters = ""
    column += 1
    while column:
        column, letter = divmod(column - 1, 26)
        letters = ascii_uppercase[letter] + letters
    return f"{letters}{row + 1}"


def arrange(
    images: Preview,
    variants: Sequence[Variant],
    frames: Sequence[int],
    sweeps: Sequence[Sweep],
    arguments: Sequence[str],
    *,
    full_size: bool = False,
) -> Sheet:
    """Lay out a preview. The first column is the content.

    Without a second sweep there is one block, a row for each frame and a column for each variant. With one there is a
    block for each frame and style: a column for each value of the first sweep, a row for each value of the second.
    `arguments` are those of a render beside the style and its settings: the input, and its size or frames.
    """
    grid = len(sweeps) == 2
    across = len(sweeps[0].values) if grid else len(variants)
    down = len(sweeps[1].values) if grid else 1
    numbers = count()

    def row(frame: int, start: int, *, first: bool = True) -> tuple[Cell | None, ...]:
        number = next(numbers)
        content = Cell(cell_name(0, number), frame, images.contents[frame]) if first else None
        stylized = [
            Cell(
                cell_name(column, number),
                frame,
                images.finished[position][frame],
                variants[position],
                render_command(variants[position], arguments),
            )
            for column, position in enumerate(range(start, start + across), start=1)
        ]
        return (content, *stylized)

    if not grid:
        return Sheet((Block("", tuple(row(frame, 0) for frame in frames)),), full_size)
    blocks = [
        Block(
            f"frame {frame}, {variants[start].title}",
            tuple(row(frame, start + step * across, first=not step) for step in range(down)),
        )
        for frame in frames
        for start in range(0, len(variants), across * down)
    ]
    return Sheet(tuple(blocks), full_size)


def render_command(variant: Variant, arguments: Sequence[str]) -> str:
    """The command that renders the whole input as a variant."""
    sets = [word for assignment in variant.assignments for word in ("--set", assignment)]
    return shlex.join(["tempera", "render", *arguments, "--style", variant.style, *sets])

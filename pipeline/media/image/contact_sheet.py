"""Contact sheets: images in a grid with a caption under each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Captioned = tuple[str, "NDArray[np.uint8]"]

GAP_PX: Final = 8
CAPTION_PX: Final = 20
"""Height of a line of a caption."""
_FONT_PX: Final = 15
_HEADING_PX: Final = 20
BACKGROUND: Final = (250, 248, 244)
"""The paper, sRGB."""
_TEXT: Final = (25, 25, 25)
_DETAIL: Final = (95, 92, 88)
_PARTS: Final = re.compile(r"[./](?=[^\W\d])")
"""Between the parts of a dotted key or a path, but not inside a number."""


def contact_sheet(rows: Sequence[str | Sequence[Captioned | None]], *, column_px: int = 0) -> NDArray[np.uint8]:
    """Rows of (caption, uint8 (H, W, 3) sRGB) as one image on white paper, uint8 (H, W, 3) sRGB.

    Images keep their size, and stand in the middle of places that are at least `column_px` wide; None leaves a place as
    wide as the widest of its row. Captions are wrapped to the width of their place, never cut; their first line stands
    out. A row that is text is a heading.
    """
    from PIL import Image, ImageDraw, ImageFont

    font, heading_font = ImageFont.load_default(_FONT_PX), ImageFont.load_default(_HEADING_PX)
    places = [None if isinstance(row, str) else _widths(row, column_px) for row in rows]
    width = max(sum(found) + GAP_PX * (len(found) + 1) for found in places if found is not None)
    pieces: list[Image.Image] = []
    for row, widths in zip(rows, places, strict=True):
        if isinstance(row, str) or widths is None:
            lines = wrapped(str(row), width - 2 * GAP_PX, heading_font.getlength)
            piece = Image.new("RGB", (width, len(lines) * (_HEADING_PX + 6) + GAP_PX), BACKGROUND)
            ImageDraw.Draw(piece).text((GAP_PX, 0), "\n".join(lines), fill=_TEXT, font=heading_font, spacing=6)
            pieces.append(piece)
            continue
        cells = [
            (cell[1], wrapped(cell[0], place, font.getlength) if cell[0] else []) if cell else None
            for cell, place in zip(row, widths, strict=True)
        ]
        tallest = max(rgb.shape[0] + CAPTION_PX * len(lines) for rgb, lines in filter(None, cells))
        piece = Image.new("RGB", (width, tallest + 2 * GAP_PX), BACKGROUND)
        draw, left = ImageDraw.Draw(piece), GAP_PX
        for cell, place in zip(cells, widths, strict=True):
            if cell is not None:
                rgb, lines = cell
                piece.paste(Image.fromarray(rgb), (left + (place - rgb.shape[1]) // 2, 0))
                for number, line in enumerate(lines):
                    top = rgb.shape[0] + 4 + number * CAPTION_PX
                    draw.text((left, top), line, fill=_DETAIL if number else _TEXT, font=font)
            left += place + GAP_PX
        pieces.append(piece)
    sheet = Image.new("RGB", (width, sum(piece.height for piece in pieces) + GAP_PX), BACKGROUND)
    top = GAP_PX
    for piece in pieces:
        sheet.paste(piece, (0, top))
        top += piece.height
    return np.asarray(sheet)


def _widths(row: Sequence[Captioned | None], column_px: int) -> list[int]:
    """The widths of the places of a row, in px."""
    widths = [max(column_px, cell[1].shape[1]) if cell else 0 for cell in row]
    return [width or max(widths) for width in widths]


def wrapped(text: str, width_px: float, measure: Callable[[str], float]) -> list[str]:
    """The lines of a text, each no wider than `width_px` as `measure` says, or a single character.

    Line breaks of the text stay. A word wider than a line is broken, between the parts of a dotted key where possible.
    """
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}" if line else word
            if measure(longer) <= width_px:
                line = longer
                continue
            if line:
                lines.append(line)
            line = word
            while len(line) > 1 and measure(line) > width_px:
                fitting = next((end for end in range(len(line) - 1, 1, -1) if measure(line[:end]) <= width_px), 1)
                parts = [found.end() for found in _PARTS.finditer(line, 0, fitting + 1) if found.end() <= fitting]
                end = parts[-1] if parts else fitting
                lines.append(line[:end])
                line = line[end:]
        lines.append(line)
    return lines

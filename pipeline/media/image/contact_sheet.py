"""Contact sheets: images in a grid with a caption under each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Captioned = tuple[str, "NDArray[np.uint8]"]

_GAP_PX: Final = 8
_FONT_PX: Final = 15
_LINE_PX: Final = 20
_HEADING_PX: Final = 20
_BACKGROUND: Final = (250, 248, 244)
_TEXT: Final = (25, 25, 25)
_DETAIL: Final = (95, 92, 88)
_PARTS: Final = re.compile(r"[./](?=[^\W\d])")
"""Between the parts of a dotted key or a path, but not inside a number."""


def contact_sheet(rows: Sequence[str | Sequence[Captioned | None]]) -> NDArray[np.uint8]:
    """Rows of (caption, uint8 (H, W, 3) sRGB) as one image on white paper, uint8 (H, W, 3) sRGB.

    Images keep their size and stand in columns; None leaves a place empty. Captions are wrapped to the width of their
    image, never cut; their first line stands out. A row that is text is a heading.
    """
    from PIL import Image, ImageDraw, ImageFont

    font, heading_font = ImageFont.load_default(_FONT_PX), ImageFont.load_default(_HEADING_PX)
    images = [row for row in rows if not isinstance(row, str)]
    widths = [
        max((cell[1].shape[1] for row in images for cell in row[column : column + 1] if cell), default=0)
        for column in range(max(map(len, images), default=0))
    ]
    width = sum(widths) + _GAP_PX * (len(widths) + 1)
    pieces: list[Image.Image] = []
    for row in rows:
        if isinstance(row, str):
            lines = wrapped(row, width - 2 * _GAP_PX, heading_font.getlength)
            piece = Image.new("RGB", (width, len(lines) * (_HEADING_PX + 6) + _GAP_PX), _BACKGROUND)
            ImageDraw.Draw(piece).text((_GAP_PX, 0), "\n".join(lines), fill=_TEXT, font=heading_font, spacing=6)
            pieces.append(piece)
            continue
        captions = [[] if cell is None else wrapped(cell[0], cell[1].shape[1], font.getlength) for cell in row]
        tallest = max(
            cell[1].shape[0] + _LINE_PX * len(lines) for cell, lines in zip(row, captions, strict=True) if cell
        )
        piece = Image.new("RGB", (width, tallest + 2 * _GAP_PX), _BACKGROUND)
        draw, left = ImageDraw.Draw(piece), _GAP_PX
        for cell, lines, column_px in zip(row, captions, widths, strict=False):
            if cell is not None:
                rgb = cell[1]
                piece.paste(Image.fromarray(rgb), (left, 0))
                for number, line in enumerate(lines):
                    top = rgb.shape[0] + 4 + number * _LINE_PX
                    draw.text((left, top), line, fill=_DETAIL if number else _TEXT, font=font)
            left += column_px + _GAP_PX
        pieces.append(piece)
    sheet = Image.new("RGB", (width, sum(piece.height for piece in pieces) + _GAP_PX), _BACKGROUND)
    top = _GAP_PX
    for piece in pieces:
        sheet.paste(piece, (0, top))
        top += piece.height
    return np.asarray(sheet)


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

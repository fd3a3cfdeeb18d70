"""Contact sheets: images in a grid with a caption under each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Captioned = tuple[str, "NDArray[np.uint8]"]

_GAP_PX = 8
_CAPTION_PX = 22
BACKGROUND: Final = (250, 248, 244)
"""The paper, sRGB."""
_TEXT = (40, 40, 40)


def contact_sheet(rows: Sequence[Sequence[Captioned]], title: str = "") -> NDArray[np.uint8]:
    """Rows of (caption, uint8 (H, W, 3) sRGB) as one image on white paper, uint8 (H, W, 3) sRGB.

    Images keep their size; a caption that is too long for its image is cut. The lines of `title` stand above all rows.
    """
    from PIL import Image, ImageDraw, ImageFont

    widths = [sum(rgb.shape[1] + _GAP_PX for _, rgb in row) + _GAP_PX for row in rows]
    heights = [max(rgb.shape[0] for _, rgb in row) + _CAPTION_PX + _GAP_PX for row in rows]
    lines = title.splitlines()
    above = _GAP_PX + len(lines) * _CAPTION_PX
    sheet = Image.new("RGB", (max(widths), above + sum(heights)), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for number, line in enumerate(lines):
        draw.text((_GAP_PX, _GAP_PX - 2 + number * _CAPTION_PX), line, fill=_TEXT, font=font)
    top = above
    for row, height in zip(rows, heights, strict=True):
        left = _GAP_PX
        for caption, rgb in row:
            sheet.paste(Image.fromarray(rgb), (left, top))
            shown = caption
            while shown and draw.textlength(shown, font=font) > rgb.shape[1]:
                shown = shown[:-1]
            draw.text((left, top + rgb.shape[0] + 3), shown, fill=_TEXT, font=font)
            left += rgb.shape[1] + _GAP_PX
        top += height
    return np.asarray(sheet)

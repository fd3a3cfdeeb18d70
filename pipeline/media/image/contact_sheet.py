"""Contact sheets: images in a grid with a caption under each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Captioned = tuple[str, "NDArray[np.uint8]"]

GAP_PX = 8
CAPTION_PX = 22
_BACKGROUND = (250, 248, 244)
_TEXT = (40, 40, 40)


def contact_sheet(rows: Sequence[Sequence[Captioned]], *, column_px: int = 0) -> NDArray[np.uint8]:
    """Rows of (caption, uint8 (H, W, 3) sRGB) as one image on white paper, uint8 (H, W, 3) sRGB.

    Images keep their size, and columns are at least `column_px` wide; a caption that is too long for its column is cut.
    """
    from PIL import Image, ImageDraw, ImageFont

    widths = [sum(max(rgb.shape[1], column_px) + GAP_PX for _, rgb in row) + GAP_PX for row in rows]
    heights = [max(rgb.shape[0] for _, rgb in row) + CAPTION_PX + GAP_PX for row in rows]
    sheet = Image.new("RGB", (max(widths), sum(heights) + GAP_PX), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    top = GAP_PX
    for row, height in zip(rows, heights, strict=True):
        left = GAP_PX
        for caption, rgb in row:
            width = max(rgb.shape[1], column_px)
            sheet.paste(Image.fromarray(rgb), (left, top))
            shown = caption
            while shown and draw.textlength(shown, font=font) > width:
                shown = shown[:-1]
            draw.text((left, top + rgb.shape[0] + 3), shown, fill=_TEXT, font=font)
            left += width + GAP_PX
        top += height
    return np.asarray(sheet)

"""Crops: a part of every frame of a preview at its full size."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_HINT = (
    "for example --crop 600x400 for the center, +1200+300 behind it for a corner in px, +100%+0% for the upper right"
)


@dataclass(frozen=True, slots=True)
class Crop:
    """A box of `width_px` by `height_px`.

    `left` and `top` are those of its corner in px, or from `0%`, at the left or upper edge of the frame, to `100%`, at
    the right or lower one; or "" for the center.
    """

    width_px: int
    height_px: int
    left: str = ""
    top: str = ""

    def __str__(self) -> str:
        corner = f"+{self.left}+{self.top}" if self.left else ""
        return f"{self.width_px}x{self.height_px}{corner}"

    def box(self, width_px: int, height_px: int) -> tuple[slice, slice]:
        """Rows and columns of the box in frames of this size. Raises UsageError where it reaches beyond them."""
        left = _start(self.left, width_px, self.width_px)
        top = _start(self.top, height_px, self.height_px)
        if left + self.width_px > width_px or top + self.height_px > height_px:
            raise UsageError(
                f"--crop {self}: reaches beyond the frames, which have {width_px}x{height_px} px", hint=_HINT
            )
        return slice(top, top + self.height_px), slice(left, left + self.width_px)

    def cut(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """That part of an image (H, W, 3), as a copy."""
        return rgb[self.box(rgb.shape[1], rgb.shape[0])].copy()


def parse_crop(text: str) -> Crop:
    """`WxH` in the center, or `WxH+X+Y` at a place as `Crop` takes it. Raises UsageError for anything else."""
    found = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})(?:\+(\d{1,5}%?)\+(\d{1,5}%?))?", text.strip())
    places = [place for place in (found[3], found[4]) if place] if found else []
    percents = [int(place[:-1]) for place in places if place.endswith("%")]
    if not found or not int(found[1]) or not int(found[2]) or max(percents, default=0) > 100:
        raise UsageError(f"--crop {text}: expected WIDTHxHEIGHT or WIDTHxHEIGHT+X+Y, in px", hint=_HINT)
    return Crop(int(found[1]), int(found[2]), found[3] or "", found[4] or "")


def _start(place: str, whole_px: int, part_px: int) -> int:
    if whole_px < part_px or not place:
        return max(0, whole_px - part_px) // 2
    return round(int(place[:-1]) / 100 * (whole_px - part_px)) if place.endswith("%") else int(place)

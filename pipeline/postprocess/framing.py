"""Which part of a finished frame an output shows, and in how many pixels: crops, enlargements and bars.

The part may lie anywhere between pixels, so that a slow pan moves evenly. It is scaled once, in floating point and
gamma-encoded sRGB, by Lanczos's kernel of three lobes, which is as much wider where the part shrinks. It overshoots
beside strokes, so every value is limited to those of the pixels that it touches, four where the part grows: edges stay
as steep and have no halo.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling

from pipeline.config.section import with_values
from pipeline.errors import ConfigError
from pipeline.media.image.limits import MAX_SIDE_PX
from pipeline.postprocess.passing import places

if TYPE_CHECKING:
    from pipeline.config.framing import FramingSettings

Pixel = TypeVar("Pixel", np.uint8, np.uint16)

LEAST_PX: Final = 2
"""The shortest side that can be asked for."""


@dataclass(frozen=True, slots=True)
class Framing:
    """How finished frames become the pictures of an output; all sizes are (width, height) in px.

    Of a frame of `frame_px` a part of `part_px` is shown, which has any size up to it, scaled to `inner_px`, in the
    middle of a picture of `size_px`; what is left of that is `pad`, a color (R, G, B) in 0..255.
    """

    frame_px: tuple[int, int]
    part_px: tuple[Fraction, Fraction]
    inner_px: tuple[int, int]
    size_px: tuple[int, int]
    pad: tuple[int, int, int] = (0, 0, 0)

    @property
    def scales(self) -> bool:
        """Whether the part is shown in another number of pixels."""
        return any(part != inner for part, inner in zip(self.part_px, self.inner_px, strict=True))

    @property
    def shown(self) -> float:
        """The fraction of every frame that is shown."""
        return float(self.part_px[0] * self.part_px[1]) / (self.frame_px[0] * self.frame_px[1])

    def __str__(self) -> str:
        """What is done, for the user."""
        (width, height), (inner_width, inner_height) = self.size_px, self.inner_px
        done = [f"{width}x{height} px of frames of {self.frame_px[0]}x{self.frame_px[1]}"]
        if self.shown < 1:
            done.append(f"{1 - self.shown:.1%} of each frame is cropped")
        if self.inner_px != self.size_px:
            done.append(f"{1 - inner_width * inner_height / (width * height):.1%} of the picture are bars")
        return ", ".join(done)


def framing(settings: FramingSettings, width_px: int, height_px: int) -> Framing | None:
    """How frames of this size are shown; None if they are shown as they are.

    Sides that are not asked for follow from the aspect and are rounded to even numbers, as codecs need them; a part
    that is not scaled has whole pixels. Raises ConfigError for a size that cannot be, and with `fit` "strict" for one
    of another aspect.
    """
    frame = Fraction(width_px), Fraction(height_px)
    part = _part(frame, settings.crop)
    width, height = (int(side) if side else None for side in (*settings.size.split("x"), "")[:2])
    if width is None and height is None:
        if part == frame:
            return None
        inside = _part((frame[0] // 2 * Fraction(2), frame[1] // 2 * Fraction(2)), settings.crop)
        size = _even(inside[0]), _even(inside[1])
        part = Fraction(size[0]), Fraction(size[1])
    else:
        size = (
            _even(part[0] * (height or 0) / part[1]) if width is None else width,
            _even(part[1] * (width or 0) / part[0]) if height is None else height,
        )
    if not all(LEAST_PX <= side <= MAX_SIDE_PX for side in size):
        raise ConfigError(
            f"output.size: frames of {width_px}x{height_px} px would become {size[0]}x{size[1]} px; expected "
            f"{LEAST_PX} to {MAX_SIDE_PX} px a side",
            hint="for example --set output.size=3840 (the width), x2160 (the height) or 3840x2160",
        )
    inner = size
    covered = _part(part, f"{size[0]}:{size[1]}")
    # Less than a pixel of the frame, or two of the picture, is what rounding leaves.
    same = all(a - b < 1 or (a - b) * side < 2 * b for a, b, side in zip(part, covered, size, strict=True))
    if same or settings.fit == "cover":
        part = covered
    elif settings.fit == "contain":
        scale = min(size[0] / part[0], size[1] / part[1])
        inner = max(1, round(part[0] * scale)), max(1, round(part[1] * scale))
    else:
        raise ConfigError(
            f"output.size: {settings.size} has another aspect than what is shown of the frames, "
            f"{round(part[0])}x{round(part[1])} px",
            hint=f"--set output.fit=cover crops {_lost(covered, part)} of it, --set output.fit=contain shows all of it "
            f"between bars, and one side alone, as --set output.size={size[0]}, keeps the aspect",
        )
    pad = int(settings.pad[1:], 16)
    return Framing(
        (width_px, height_px), part, (inner[0], inner[1]), (size[0], size[1]), (pad >> 16, pad >> 8 & 255, pad & 255)
    )


def _part(whole: tuple[Fraction, Fraction], aspect: str) -> tuple[Fraction, Fraction]:
    """The largest (width, height) inside `whole` with an aspect; all of it for "none"."""
    if aspect == "none":
        return whole
    across, down = (Fraction(side) for side in aspect.split(":"))
    scale = min(whole[0] / across, whole[1] / down)
    return across * scale, down * scale


def _even(side: Fraction) -> int:
    return max(LEAST_PX, 2 * round(side / 2))


def _lost(part: tuple[Fraction, Fraction], whole: tuple[Fraction, Fraction]) -> str:
    return f"{float(1 - part[0] * part[1] / (whole[0] * whole[1])):.1%}"


def shown_size(settings: FramingSettings, width_px: int, height_px: int) -> tuple[int, int]:
    """(width, height) in px of the pictures that an output shows of frames of this size. Raises as `framing` does."""
    found = framing(settings, width_px, height_px)
    return (width_px, height_px) if found is None else found.size_px


def corners(settings: FramingSettings, made: Framing, starts: Sequence[Fraction]) -> list[tuple[float, float]]:
    """Left and top edge, in px of the frame, of the part that is shown of pictures that appear at these seconds.

    A part that is neither scaled nor moved begins at a whole pixel. Raises ConfigError for a curve that does not fit
    the clip.
    """
    moved = {
        key: (curve, [float(it) for it in places(curve, starts, f"output.{key}")])
        for key, curve in settings.own_curves.items()
    }
    room = [float(whole - part) for whole, part in zip(made.frame_px, made.part_px, strict=True)]
    found = []
    for start in starts:
        now = with_values(settings, {key: curve.value_at(at, float(start)) for key, (curve, at) in moved.items()})
        left, top = room[0] * now.crop_x, room[1] * now.crop_y
        found.append((left, top) if moved or made.scales else (float(round(left)), float(round(top))))
    return found


def framed(image: NDArray[Pixel], made: Framing, corner: tuple[float, float]) -> NDArray[Pixel]:
    """The picture (H, W, 3) of a finished frame (H, W, 3), whose part begins at `corner`, (left, top) in px."""
    inner = scaled(image, (*corner, float(made.part_px[0]), float(made.part_px[1])), made.inner_px)
    if made.inner_px == made.size_px:
        return inner
    (width, height), (inner_width, inner_height) = made.size_px, made.inner_px
    picture = np.empty((height, width, 3), image.dtype)
    picture[:] = np.asarray(made.pad, image.dtype) * (np.iinfo(image.dtype).max // 255)
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    picture[top : top + inner_height, left : left + inner_width] = inner
    return picture


def scaled(image: NDArray[Pixel], box: tuple[float, float, float, float], size_px: tuple[int, int]) -> NDArray[Pixel]:
    """The part `box` (left, top, width, height; px with fractions) of an image (H, W, 3), scaled to (width, height)."""
    left, top, width, height = box
    if (width, height) == size_px and left == int(left) and top == int(top):
        return np.ascontiguousarray(image[int(top) : int(top) + size_px[1], int(left) : int(left) + size_px[0]])
    columns, across = _touched(left, width, size_px[0])
    rows, down = _touched(top, height, size_px[1])
    window = np.ones((down, across), np.uint8)
    corners = (left, top, min(left + width, image.shape[1]), min(top + height, image.shape[0]))  # but for rounding
    # From the anchor on: of every pixel itself and those behind it.
    touched = (np.asarray(of(image, window, anchor=(0, 0)), image.dtype) for of in (cv2.erode, cv2.dilate))
    least, most = (values.take(columns, axis=1).take(rows, axis=0) for values in touched)
    found = np.empty_like(least)
    for channel in range(3):
        plane = Image.fromarray(image[..., channel].astype(np.float32))
        values = np.asarray(plane.resize(size_px, Resampling.LANCZOS, box=corners))
        found[..., channel] = np.rint(values).clip(0, np.iinfo(image.dtype).max)
    return np.minimum(np.maximum(found, least), most)


def _touched(start: float, length: float, count: int) -> tuple[NDArray[np.intp], int]:
    """For `count` pixels along a part of an axis, the first pixel of the image that they touch, and how many do.

    A pixel of the picture is taken to be at least as wide as one of the image.
    """
    step = length / count
    centers = start + (np.arange(count) + 0.5) * step - 0.5
    wide = max(step, 1.0)
    return np.asarray(np.floor(centers - (wide - 1) / 2).clip(0), np.intp), math.ceil(wide) + 1

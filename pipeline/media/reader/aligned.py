"""Frames made of those of an input: leveled in linear light, warped into place once, and fused where several are one.

A frame is decoded, leveled and warped to the size that is asked for with one Lanczos kernel; where that is smaller than
the input, to twice the size, of which areas are averaged, so that nothing aliases and nothing is blurred twice. Where
more than the warp happens, 8-bit frames become frames of 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

from pipeline.media.image.depth import as_16_bit
from pipeline.media.image.fuse import fused
from pipeline.media.image.transfer import LAST, STEPS, decoded, encoded
from pipeline.types import GAIN_UNIT, WARP_UNIT, Gains, Source, Warp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.types import Pixels

Decode = Callable[[Source, int, int, tuple[int, int]], Generator[Any]]
"""Decodes frames [start, stop) of a source that is not aligned, in a size (width, height) in px."""

_KEEP_WHITE_FROM: Final = 0.9
"""Where a frame is darkened, encoded values from here on approach white again, as it is clipped."""


def input_source(source: Source) -> Source:
    """The input of an aligned source as a source: a frame for every one that is read, as it is decoded."""
    made = source.alignment
    if made is None:
        return source
    pts = source.pts if made.fuse == "none" else tuple(range(len(made.positions)))
    return replace(
        source,
        width_px=made.width_px,
        height_px=made.height_px,
        decoded_indices=source.positions_read,
        pts=pts,
        alignment=None,
    )


def read(source: Source, start: int, stop: int, size: tuple[int, int], decode: Decode) -> Generator[Pixels]:
    """Frames [start, stop) of a source that has an alignment, (H, W, 3) sRGB, in the size (width, height) in px.

    uint16 if the input is or if they are leveled or fused, else uint8.
    """
    made = source.alignment
    assert made is not None
    scale = max(size[0] / source.width_px, size[1] / source.height_px)
    # Twice the size, of which areas are averaged, where the input has more pixels; never more than the input has.
    finer = 1 if scale >= 1 else 2
    ratio = min(1.0, scale * finer)
    decoded_px = max(1, round(made.width_px * ratio)), max(1, round(made.height_px * ratio))
    first, last = start * made.group, stop * made.group

    def placed() -> Iterator[Pixels]:
        with closing(decode(input_source(source), first, last, decoded_px)) as images:
            for index, rgb in enumerate(images, first):
                gains = made.gains[index] if made.gains else ()
                image = as_16_bit(rgb) if any(gains) or made.group > 1 else rgb
                yield warped(leveled(image, gains), made.warps[index], size, finer)

    images = placed()
    for several in zip(*[images] * made.group, strict=True):
        yield fused(several, made.fuse)


def warped(rgb: Pixels, warp: Warp, size: tuple[int, int], finer: int = 1) -> Pixels:
    """A frame of `size` (width, height) in px whose points are in `rgb`, (H, W, 3), where `warp` says.

    What lies outside is mirrored at the edge. With `finer` 2 areas of 2x2 px are averaged.
    """
    width, height = size[0] * finer, size[1] * finer
    matrix = pixel_matrix(warp, (width, height), (rgb.shape[1], rgb.shape[0]))
    if rgb.shape[:2] != (height, width) or not np.allclose(matrix, np.eye(3), rtol=0, atol=1e-6):
        flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
        rgb = np.asarray(cv2.warpPerspective(rgb, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT))
    return rgb if finer == 1 else np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))


def pixel_matrix(warp: Warp, out: tuple[int, int], given: tuple[int, int]) -> NDArray[np.float64]:
    """The homography (3, 3) from pixels of a frame of size `out` to those of one of size `given`, (width, height).

    Whole numbers are the centers of pixels, as in OpenCV.
    """
    matrix = np.append(np.asarray(warp, np.float64) / WARP_UNIT, 1.0).reshape(3, 3)
    return np.asarray(np.linalg.inv(_from_pixels(given)) @ matrix @ _from_pixels(out))


def unit_matrix(matrix: NDArray[np.float64], out: tuple[int, int], given: tuple[int, int]) -> NDArray[np.float64]:
    """The inverse of `pixel_matrix`: a homography (3, 3) between frames that reach from 0 to 1."""
    return np.asarray(_from_pixels(given) @ matrix @ np.linalg.inv(_from_pixels(out)))


def as_warp(unit: NDArray[np.float64]) -> Warp:
    """A homography between frames that reach from 0 to 1, rounded as it is stored."""
    return tuple(np.rint(unit.ravel()[:8] / unit[2, 2] * WARP_UNIT).astype(np.int64).tolist())


def _from_pixels(size: tuple[int, int]) -> NDArray[np.float64]:
    width, height = size
    return np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1]])


def leveled(rgb: Pixels, gains: Gains) -> Pixels:
    """A frame, (H, W, 3) uint16 sRGB, with gains in linear light; the same array without any. White stays white."""
    return rgb if not any(gains) else np.asarray(cv2.LUT(rgb, _gain_table(gains)[None]), np.uint16)


@lru_cache(maxsize=16)
def _gain_table(gains: Gains) -> NDArray[np.uint16]:
    """The gains as a table (65536, 3): sRGB to linear light, times the gain, and back."""
    near_white = ((STEPS - _KEEP_WHITE_FROM) / (1 - _KEEP_WHITE_FROM)).clip(0, 1)[:, None]
    factors = 2.0 ** (np.asarray(gains) / GAIN_UNIT)[None]
    kept = np.where(factors < 1, near_white**2 * (3 - 2 * near_white), 0)
    moved = (decoded(STEPS)[:, None] * (factors + (1 - factors) * kept)).clip(0, 1)
    return np.asarray(np.rint(encoded(moved) * LAST), np.uint16)

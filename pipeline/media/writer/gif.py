"""Animated GIF: a color table for each shot, a dither that stands still, and only what changes from frame to frame."""

from __future__ import annotations

import struct
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

import numpy as np
from PIL import GifImagePlugin, Image

from pipeline.media.image.color_table import ColorCounts, Ditherer, table_of
from pipeline.media.image.png import decode_png, encode_png
from pipeline.media.image.record import RECORD_KEY
from pipeline.media.writer.changes import box, held_frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from pipeline.config.animation import TableDither

    RGB = NDArray[np.uint8]

LONGEST_DELAY: Final = 65_535
_MOST: Final = 255
"""Colors of an animation at most: one entry is transparent."""
_KEEP: Final = 1  # disposal: the next frame is drawn over this one
_ALIKE: Final = 0.5
"""A new color table begins where less than this fraction of a frame's colors is that of the first one's."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Frames from `start` on that share a color table, uint8 (k, 3); `exact`: all of their colors are in it."""

    start: int
    table: RGB
    exact: bool


def write_gif(
    file: IO[bytes],
    frames: Iterable[RGB],
    delays: Sequence[int],
    *,
    colors: int,
    dither: TableDither,
    tolerance: float,
    plays: int,
    spool_folder: str,
    record: str = "",
) -> None:
    """Write frames, uint8 (H, W, 3), each shown for its delay in 1/100 s.

    The frames are read once, counted for the color tables and kept, compressed, in a nameless file of `spool_folder`.
    `tolerance`, in levels of 255, is the change of a pixel that may be left out. `plays` is how often the animation is
    shown; 0: for ever. `record` (empty: none) is written as a comment. Raises OSError.
    """
    with tempfile.TemporaryFile(dir=spool_folder) as spool:
        runs, sizes = _count_colors(spool, frames, len(delays), colors)
        spool.seek(0)
        stored = (decode_png(spool.read(size)) for size in sizes)
        canvas: RGB | None = None
        for index, (rgb, changed) in enumerate(held_frames(stored, tolerance)):
            if canvas is None:
                _write_header(file, rgb.shape[:2], runs[0].table, plays)
                file.write(_comment(record))
                canvas = np.zeros_like(rgb)
            if runs and runs[0].start == index:
                run, ditherer = runs[0], Ditherer(runs[0].table, "none" if runs[0].exact else dither)
                del runs[0]
            _write_frame(file, canvas, rgb, changed, ditherer, delays[index], local=run.start > 0, first=index == 0)
        file.write(b";")


def _count_colors(spool: IO[bytes], frames: Iterable[RGB], count: int, size: int) -> tuple[list[_Run], list[int]]:
    """Keep the frames in `spool`; returns the runs of frames with a table each, and the bytes of every frame."""
    size = min(size, _MOST) if count > 1 else size
    runs: list[_Run] = []
    sizes: list[int] = []
    start, counts, first = 0, ColorCounts(), None

    def end_run() -> None:
        table = table_of(counts, size)
        runs.append(_Run(start, table, exact=len(counts.colors()[0]) <= size))

    for index, rgb in enumerate(frames):
        png = encode_png(rgb)
        spool.write(png)
        sizes.append(len(png))
        own = ColorCounts()
        own.add(rgb)
        broad = own.broad()
        if first is not None and np.minimum(first, broad).sum() < _ALIKE:
            end_run()
            start, counts, first = index, ColorCounts(), None
        first = broad if first is None else first
        counts.merge(own)
    end_run()
    return runs, sizes


def _write_header(file: IO[bytes], size_px: tuple[int, ...], table: RGB, plays: int) -> None:
    height, width = size_px
    colors = _padded(table)
    bits = (len(colors) // 3).bit_length() - 1
    file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF0 | (bits - 1), 0, 0))
    file.write(colors)
    if plays != 1:  # the extension counts repetitions, of which there is none without it
        file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", max(plays - 1, 0)) + b"\0")


def _comment(record: str) -> bytes:
    """The record behind its name as a comment extension; nothing if it is empty."""
    text = f"{RECORD_KEY} {record}".encode() if record else b""
    blocks = (text[start : start + 255] for start in range(0, len(text), 255))
    return b"!\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0" if record else b""


def _write_frame(
    file: IO[bytes],
    canvas: RGB,
    rgb: RGB,
    changed: NDArray[np.bool_],
    ditherer: Ditherer,
    delay: int,
    *,
    local: bool,
    first: bool,
) -> None:
    """Write the smallest rectangle with everything that changes, and put that on the canvas."""
    top, bottom, left, right = box(changed)
    part = np.s_[top:bottom, left:right]
    entries = ditherer.entries(rgb[part], top, left)
    shown = ditherer.table[entries]
    transparent = len(ditherer.table)
    if not first:
        same = ~changed[part] | (shown == canvas[part]).all(axis=2)
        inner = box(~same)
        entries = np.where(same, np.uint8(transparent), entries)[inner[0] : inner[1], inner[2] : inner[3]]
        shown = np.where(same[..., np.newaxis], canvas[part], shown)
        top, left = top + inner[0], left + inner[2]
    canvas[part] = shown
    image = Image.fromarray(np.ascontiguousarray(entries), "P")
    image.putpalette(_padded(ditherer.table))
    options = {} if first else {"transparency": transparent}
    for block in GifImagePlugin.getdata(
        image, (left, top), duration=10 * delay, disposal=_KEEP, include_color_table=local, **options
    ):
        file.write(block)


def _padded(table: RGB) -> bytes:
    """The bytes of a table with room for the transparent entry, as many entries as a power of two."""
    return table.tobytes().ljust(3 << min(len(table).bit_length(), 8), b"\0")

"""Small frames kept from the one pass in which `probe` decodes a video, so that finding cuts needs no second one."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from pipeline.media.image.arrays import size_within

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_IN_MEMORY_BYTES: Final = 32 << 20
"""Size up to which the frames stay in memory; larger ones go to a temporary file."""


class Thumbnails:
    """Frames of one video or animation by their decoded position, uint8 (H, W, 3) sRGB, in a temporary file.

    A context manager: the file is gone after it. Each frame has the very pixels that `read_frames` delivers in `size`.
    Where the file cannot be written all frames are given up, and readers decode the input again.
    """

    def __init__(self, longer_side_px: int) -> None:
        self._longer_side_px = longer_side_px
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - closed in __exit__
        self._positions: set[int] = set()
        self._failed = False
        self.size = (0, 0)
        """Width and height in px of each frame; (0, 0) before `start`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def size_of(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Width and height in px in which frames of this size are kept: never enlarged, at least 1 px a side."""
        return size_within(width_px, height_px, self._longer_side_px)

    def start(self, width_px: int, height_px: int) -> None:
        """Begin, or begin again, with the frames of an input of this size."""
        self.size = self.size_of(width_px, height_px)
        self._positions.clear()

    def add(self, position: int, rgb: NDArray[np.uint8]) -> None:
        """Keep the frame that comes out of the decoder at this position; `rgb` has the size `size`."""
        if self._failed:
            return
        try:
            self._file.seek(position * rgb.nbytes)
            self._file.write(rgb.tobytes())
        except OSError:  # the disk with temporary files is full
            self.discard()
        else:
            self._positions.add(position)

    def discard(self) -> None:
        """Give up all frames, those to come as well."""
        self._failed = True
        self._positions.clear()
        self._file.close()

    def holds(self, positions: Iterable[int], size: tuple[int, int]) -> bool:
        """Whether the frames at all these positions are kept, in this width and height in px."""
        return size == self.size and self._positions.issuperset(positions)

    def frame(self, position: int) -> NDArray[np.uint8]:
        """The frame at a position that `holds` has confirmed."""
        width, height = self.size
        self._file.seek(position * width * height * 3)
        data = bytearray(self._file.read(width * height * 3))
        return np.frombuffer(data, np.uint8).reshape(height, width, 3)

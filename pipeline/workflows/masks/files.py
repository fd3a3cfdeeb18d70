"""Masks that were computed before the stylizing, one small PNG per frame in the cache of a render directory.

cache/masks/<digest>/<what>/00000012.png        8-bit planes of frame 12; if it is there, it is complete

The cache may be deleted at any time, also while frames are stylized: what is missing when it is read is computed again,
byte for byte the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from pipeline.media.image.png import decode_png, encode_png
from pipeline.runtime.atomic import make_folders, remove, write_bytes
from pipeline.store.disk_errors import writing

if TYPE_CHECKING:
    from numpy.typing import NDArray


class MaskFiles:
    """The files of one folder, each with up to three planes, uint8 (h, w)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, index: int) -> Path:
        """The file of a frame."""
        return self._folder / f"{index:08d}.png"

    def write(self, index: int, *planes: NDArray[np.uint8]) -> None:
        """Store the planes of a frame, atomically. Raises WriteError."""
        missing = [np.zeros_like(planes[0])] * (3 - len(planes))
        with writing(self.path(index)):
            make_folders(self._folder)
            write_bytes(self.path(index), encode_png(np.stack([*planes, *missing], axis=-1), 6))

    def read(self, index: int) -> NDArray[np.uint8] | None:
        """The planes of a frame, uint8 (h, w, 3); None if the file is missing or damaged."""
        try:
            return decode_png(self.path(index).read_bytes())
        except (OSError, ValueError):
            return None

    def first_missing(self, indices: range) -> int:
        """How many frames at the beginning of `indices` are stored, the last of them undamaged."""
        count = next((place for place, index in enumerate(indices) if not self.path(index).exists()), len(indices))
        while count and self.read(indices[count - 1]) is None:
            count -= 1
        return count


class RestoredFiles:
    """Files that are computed again when one is missing or damaged; may be read from several threads."""

    def __init__(self, files: MaskFiles, compute: Callable[[], None]) -> None:
        self._files, self._compute = files, compute
        self._lock = Lock()

    def read(self, index: int) -> NDArray[np.uint8]:
        """The planes of a frame, uint8 (h, w, 3). Raises what computing them raises."""
        found = self._files.read(index)
        if found is not None:
            return found
        with self._lock:
            if self._files.read(index) is None:
                with writing(self._files.path(index)):
                    remove(self._files.path(index))
                self._compute()
            found = self._files.read(index)
        assert found is not None, f"{self._files.path(index)} was not written"
        return found

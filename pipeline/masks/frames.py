"""Masks frame by frame, from a folder of pictures or a video, in any order."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.config.settings import InputSettings
from pipeline.errors import ConfigError
from pipeline.masks.picture import MissingColorError, mask_of, read_mask
from pipeline.media.reader.source import probe, read_frames

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from pipeline.types import Frame

READ_AS: Final = InputSettings(order="name", deflicker=0, cuts="none")
"""How masks are read: pictures by their names, whatever dates they have."""
MAX_SKIPPED: Final = 32
"""An open video is read on up to so many frames ahead; farther away it is opened again, at the frame itself."""
MAX_OPEN: Final = 8
"""Videos that are open at once: several chains read on, each at its own place."""
RECENT: Final = 8
"""Masks that are kept, because a region and a layer may ask for the same one."""


class MaskFrames:
    """The masks of the frames of an input. Several threads may read, each in its own order.

    Raises InputError if the folder or video cannot be read, ConfigError if there is no mask for one of `positions`,
    which count the input's frames, or if the first, middle and last of them do not fit (see `read_mask`).
    """

    def __init__(self, path: Path, color: str | None, size_px: tuple[int, int], positions: Sequence[int]) -> None:
        self._source = probe([path], READ_AS, digest=False)
        self._color, self._size = color, size_px
        self._lock = Lock()
        self._readers: list[tuple[int, Generator[Frame]]] = []
        self._recent: OrderedDict[int, NDArray[np.float32]] = OrderedDict()
        needed = max(positions) + 1
        if self._source.frame_count < needed:
            found = self._source.frame_count
            raise ConfigError(
                f"{path}: {found} {'mask' if found == 1 else 'masks'}, but frames up to {needed - 1} of the input are "
                f"rendered, which needs {needed}",
                hint="mask 0 belongs to frame 0 of the input, also with --frames; for one mask of all frames use "
                "image, for masks of single frames painted",
            )
        self._check([positions[0], positions[len(positions) // 2], positions[-1]])

    def read(self, position: int) -> NDArray[np.float32]:
        """The mask of the input's frame at `position`: float32 (H, W) in [0, 1]; 0 where no region has the color."""
        with self._lock:
            if position in self._recent:
                self._recent.move_to_end(position)
            else:
                try:
                    self._recent[position] = self._load(position)
                except MissingColorError:
                    self._recent[position] = np.zeros(self._size[::-1], np.float32)
                if len(self._recent) > RECENT:
                    self._recent.popitem(last=False)
            return self._recent[position]

    def _check(self, positions: Sequence[int]) -> None:
        missing: list[MissingColorError] = []
        for position in positions:
            try:
                self._load(position)
            except MissingColorError as error:
                missing.append(error)
        if len(missing) == len(positions):
            raise missing[0]

    def _load(self, position: int) -> NDArray[np.float32]:
        if self._source.kind == "photos":
            return read_mask(Path(self._source.files[self._source.decoded_indices[position]]), self._color, self._size)
        rgb = self._decoded(position)
        return mask_of(rgb, self._color, self._size, name=f"{self._source.path}, frame {position}")

    def _decoded(self, position: int) -> NDArray[np.uint8]:
        """A frame of the video, from the open reader that is nearest before it."""
        near = [reader for reader in self._readers if 0 <= position - reader[0] <= MAX_SKIPPED]
        if near:
            begun = max(near, key=lambda reader: reader[0])
            self._readers.remove(begun)
        else:
            begun = (position, read_frames(self._source, start=position, settings=READ_AS))
        at, frames = begun
        frame = next(frames)
        for _ in range(position - at):
            frame = next(frames)
        self._readers.append((position + 1, frames))
        if len(self._readers) > MAX_OPEN:
            with suppress(Exception):
                self._readers.pop(0)[1].close()
        return frame.rgb

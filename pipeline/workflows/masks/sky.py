"""The pass that looks for the sky in all frames, before the stylizing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.masks.guided import enlarged
from pipeline.masks.sky import LASTING, REACH, SKY_SIDE_PX, Sky, find_sky, fine_detail, lasting_detail, steady_sky
from pipeline.media.image.arrays import resize, size_within
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.workflows.masks.files import MaskFiles, RestoredFiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.execute.chain_frames import ReadContent
    from pipeline.runtime.progress import Reporter
    from pipeline.types import Shot

RADIUS_PX: Final = 6
"""Half the windows of the guided filter that puts the mask's edge on that of the content, at `SKY_SIDE_PX`."""
EPSILON: Final = 1e-4


class SkyMasks:
    """The sky of all frames, averaged with the neighbors within the shot; see `pipeline.masks.sky`."""

    def __init__(self, size_px: tuple[int, int], read: ReadContent, shots: Sequence[Shot], folder: Path) -> None:
        self._small_px = size_within(*size_px, SKY_SIDE_PX)
        self._read, self._shots = read, shots
        self._files = MaskFiles(folder / "sky")
        self._restored = RestoredFiles(self._files, lambda: self.compute(SilentReporter(), Cancellation()))

    def compute(self, reporter: Reporter, cancellation: Cancellation) -> None:
        """Find what is not stored yet. Raises Interrupted if an end was requested; it goes on from there."""
        checkpoint = cancellation.checkpoint(
            "stopped before the first frame", hint="run it again: the masks go on from here"
        )
        with reporter.stage("looking for the sky", sum(shot.stop - shot.start for shot in self._shots)) as advance:
            done = 0
            for shot in self._shots:
                frames = range(shot.start, shot.stop)
                known = self._files.first_missing(frames)
                if known < len(frames):
                    skies: dict[int, Sky] = {}
                    for index, sky in self._found(shot, frames[max(0, known - REACH)], checkpoint):
                        skies[index] = sky
                        if index - REACH >= frames[known]:
                            self._store(skies, index - REACH)
                        skies.pop(index - 2 * REACH, None)
                        advance(done + max(known, index - shot.start - REACH + 1))
                    for index in range(max(frames[known], shot.stop - REACH), shot.stop):
                        self._store(skies, index)
                done += len(frames)
                advance(done)

    def mask(self, index: int, content: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The mask of a frame, float32 (H, W) in [0, 1], with its edges on those of the content."""
        small = self._restored.read(index)[..., 0].astype(np.float32) / np.float32(255)
        radius = max(1, round(RADIUS_PX * max(self._small_px) / SKY_SIDE_PX))
        return enlarged(small, content, radius_px=radius, epsilon=EPSILON)

    def _found(self, shot: Shot, first: int, checkpoint: Callable[[], None]) -> Iterator[tuple[int, Sky]]:
        """The skies of a shot from frame `first` on, each with the detail that lasts around it."""
        frames: dict[int, NDArray[np.uint8]] = {}
        details: dict[int, NDArray[np.float32]] = {}

        def found(index: int) -> tuple[int, Sky]:
            around = [near for near in range(index - LASTING, index + LASTING + 1) if near in details]
            lasting = lasting_detail([details[near] for near in around], around.index(index))
            details.pop(index - LASTING, None)
            return index, find_sky(frames.pop(index), lasting)

        with closing(self._read(max(shot.start, first - LASTING), shot.stop)) as contents:
            for frame in contents:
                small = resize(frame.rgb, *self._small_px)
                details[frame.index] = fine_detail(small)
                if frame.index >= first:
                    frames[frame.index] = small
                if frame.index - LASTING >= first:
                    yield found(frame.index - LASTING)
                checkpoint()
        for index in sorted(frames):
            yield found(index)
            checkpoint()

    def _store(self, skies: Mapping[int, Sky], index: int) -> None:
        """Store the mask of frame `index`, averaged with those of its neighbors that are known."""
        around = [near for near in range(index - REACH, index + REACH + 1) if near in skies]
        mask = steady_sky([skies[near] for near in around], around.index(index))
        self._files.write(index, np.rint(mask * 255).astype(np.uint8))

"""The pass that carries the painted masks of single frames to all others, before the stylizing."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.config.settings import MotionSettings
from pipeline.errors import ConfigError
from pipeline.masks.carry import CARRY_SIDE_PX, EPSILON, RADIUS_PX, Carried, blend, carry, color_model, painted
from pipeline.masks.guided import enlarged
from pipeline.masks.picture import read_mask, resized
from pipeline.media.image.arrays import resize, size_within
from pipeline.motion.estimate import motion_between
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.workflows.masks.files import MaskFiles, RestoredFiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.masks import MaskSettings
    from pipeline.execute.chain_frames import ReadContent
    from pipeline.runtime.progress import Reporter
    from pipeline.types import Shot, Source

BLOCK_FRAMES: Final = 32
"""Frames that are held at once where masks are carried backward, because inputs are read forward."""
FLOW: Final = MotionSettings()
"""Masks follow the content whatever the strokes do."""


@dataclass(frozen=True, slots=True)
class Run:
    """Frames to which the mask of frame `start` is carried one after the other: forward, or backward from it."""

    start: int
    frames: range


def frame_indices(pictures: dict[int, Path], source: Source, reporter: Reporter) -> dict[int, Path]:
    """Painted masks by frame index of the source instead of the input; those of other frames are left out, with a note.

    Raises ConfigError if none is left.
    """
    place = {decoded: index for index, decoded in enumerate(source.decoded_indices)}
    others = [decoded for decoded in sorted(pictures) if decoded not in place]
    if len(others) == len(pictures):
        raise ConfigError(
            f"masks are painted for frame {', '.join(map(str, others))} of the input, and only frames "
            f"{source.decoded_indices[0]} to {source.decoded_indices[-1]} are rendered",
            hint="paint one of these frames; they count from 0",
        )
    for decoded in others:
        reporter.note(f"the mask of frame {decoded} is left out: that frame is not rendered")
    return {place[decoded]: path for decoded, path in sorted(pictures.items()) if decoded in place}


def painted_masks(
    settings: MaskSettings, source: Source, size_px: tuple[int, int], reporter: Reporter
) -> dict[int, NDArray[np.uint8]]:
    """The painted masks by frame index of the source, in order: uint8 (H, W) for `size_px` (width, height).

    Raises what `frame_indices` and `read_mask` raise.
    """
    assert settings.painted is not None
    pictures = frame_indices(settings.painted, source, reporter)
    return {index: painted(read_mask(path, settings.color, size_px)).mask for index, path in pictures.items()}


def runs(keys: Sequence[int], shots: Sequence[Shot], source: Source) -> tuple[list[Run], list[Run]]:
    """The runs forward and backward from painted frames `keys` (sorted) up to the next one or the end of their shot.

    Raises ConfigError for a shot without a painted frame.
    """
    forward, backward = [], []
    for shot in shots:
        inside = [key for key in keys if shot.start <= key < shot.stop]
        if not inside:
            first, last = source.decoded_indices[shot.start], source.decoded_indices[shot.stop - 1]
            raise ConfigError(
                f"no mask is painted in the shot of frames {first} to {last}",
                hint="a mask is not carried across a cut: paint one frame of every shot, or set input.cuts to none "
                "if there is no cut",
            )
        for key, before, after in zip(inside, [shot.start - 1, *inside], [*inside[1:], shot.stop], strict=False):
            forward.append(Run(key, range(key + 1, after)))
            backward.append(Run(key, range(key - 1, before, -1)))
    return forward, backward


class CarriedMasks:
    """The painted masks of an input, carried to all of its frames; see `pipeline.masks.carry`."""

    def __init__(
        self,
        settings: MaskSettings,
        source: Source,
        size_px: tuple[int, int],
        read: ReadContent,
        shots: Sequence[Shot],
        folder: Path,
        reporter: Reporter,
        *,
        steady: bool = False,
    ) -> None:
        """`steady`: see `carry`. Raises what `painted_masks` and `runs` raise."""
        self._painted = painted_masks(settings, source, size_px, reporter)
        self._keys = list(self._painted)
        self._small_px = size_within(*size_px, CARRY_SIDE_PX)
        self._read = read
        self._runs = dict(zip(("forward", "backward"), runs(self._keys, shots, source), strict=True))
        self._files = {name: MaskFiles(folder / name) for name in self._runs}
        self._shots = shots
        self._steady = steady
        self._restored = {name: RestoredFiles(self._files[name], self._again) for name in self._runs}

    def compute(self, reporter: Reporter, cancellation: Cancellation) -> None:
        """Carry what is not stored yet. Raises Interrupted if an end was requested; it goes on from there."""
        total = sum(len(run.frames) for found in self._runs.values() for run in found)
        with reporter.stage("carrying painted masks", total) as advance:
            begun = 0
            for name, found in self._runs.items():
                for run in found:
                    for done in self._carry(run, self._files[name]):
                        advance(begun + done)
                        cancellation.raise_if_requested(
                            "stopped before the first frame", hint="run it again: the masks go on from here"
                        )
                    begun += len(run.frames)

    def mask(self, index: int, content: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The mask of a frame, float32 (H, W) in [0, 1], with its edges on those of the content."""
        if index in self._painted:
            return self._full(index)
        side = max(self._small_px) / CARRY_SIDE_PX
        return enlarged(
            self._blended(index)[0], content, radius_px=max(1, round(RADIUS_PX / 2 * side)), epsilon=EPSILON
        )

    def confidence(self, index: int) -> NDArray[np.float32]:
        """How certain the mask of a frame is: float32 (h, w) in [0, 1], 1 where it was painted."""
        return self._blended(index)[1]

    def _full(self, index: int) -> NDArray[np.float32]:
        """The painted mask of a frame, float32 (H, W) in [0, 1]."""
        return self._painted[index].astype(np.float32) / np.float32(255)

    def _again(self) -> None:
        self.compute(SilentReporter(), Cancellation())

    def _blended(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if index in self._painted:
            small = resized(self._full(index), self._small_px)
            return small, np.ones_like(small)
        shot = next(shot for shot in self._shots if shot.start <= index < shot.stop)
        place = bisect_left(self._keys, index)
        earlier = self._keys[place - 1] if place and self._keys[place - 1] >= shot.start else None
        later = self._keys[place] if place < bisect_right(self._keys, shot.stop - 1) else None
        carried = [
            None if key is None else Carried(*_planes(self._restored[name].read(index)))
            for name, key in (("forward", earlier), ("backward", later))
        ]
        first, second = carried[0] or carried[1], carried[1] or carried[0]
        assert first is not None and second is not None
        both = earlier is not None and later is not None
        fraction = (index - earlier) / (later - earlier) if both else 0.5  # type: ignore[operator]
        return blend(first, second, fraction)

    def _carry(self, run: Run, files: MaskFiles) -> Iterator[int]:
        """Store what is missing of a run; yields how many of its frames are done, after each."""
        known = files.first_missing(run.frames)
        if known == len(run.frames):
            yield known
            return
        at = run.frames[known - 1] if known else run.start
        stored = files.read(at) if known else None
        first = painted(resized(self._full(run.start), self._small_px))
        state = first if stored is None else Carried(*_planes(stored))
        (content,) = self._small(run.start, run.start + 1)
        colors = color_model(content, first)
        with closing(self._contents(at, run.frames[known:])) as contents:
            before = next(contents)
            for place, (index, content) in enumerate(zip(run.frames[known:], contents, strict=True), known + 1):
                motion = motion_between(before, content, FLOW, from_index=at, to_index=index)
                state = carry(state, before, content, motion, colors, steady=self._steady)
                files.write(index, state.mask, state.confidence)
                at, before = index, content
                yield place

    def _contents(self, start: int, frames: range) -> Generator[NDArray[np.uint8]]:
        """Small contents of frame `start` and then of `frames`, which begin beside it."""
        if frames.step > 0:
            yield from self._small(start, frames[-1] + 1)
            return
        stop = start + 1
        while stop > frames[-1]:
            begin = max(frames[-1], stop - BLOCK_FRAMES)
            yield from reversed(list(self._small(begin, stop)))
            stop = begin

    def _small(self, start: int, stop: int) -> Generator[NDArray[np.uint8]]:
        with closing(self._read(start, stop)) as frames:
            for frame in frames:
                yield resize(frame.rgb, *self._small_px)


def _planes(stored: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return np.ascontiguousarray(stored[..., 0]), np.ascontiguousarray(stored[..., 1])

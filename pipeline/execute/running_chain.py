"""The state of a chain while it is stylized: its next frame, and the stored frames that the next one starts from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from pipeline.motion.warm_start import NextKeyframe, warm_start
from pipeline.types import FrameTask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.execute.chain_frames import ChainFrame
    from pipeline.store.directory import RenderDirectory
    from pipeline.types import Chain, StyleColors

KEPT_FRAMES: Final = 6
"""Stored frames of a chain that stay in memory; older ones are read from the disk, which gives the same pixels."""


class ChainFrames(Protocol):
    """The frames of a chain in order: a `Prefetcher` of `chain_frames`."""

    def next_item(self) -> ChainFrame:
        """The next frame. Raises TemperaError if the input is damaged there."""
        ...

    def close(self) -> None:
        """End it; may be called twice."""
        ...


@dataclass(slots=True)
class RunningChain:
    """The state of one chain: `index` is its next frame, `upcoming` that frame before it is made a task."""

    chain: Chain
    index: int
    frames: ChainFrames
    directory: RenderDirectory
    style_colors: StyleColors | None = None
    upcoming: ChainFrame | None = None
    task: FrameTask | None = None
    _recent: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every frame of the chain has been given to the store."""
        return self.index >= self.chain.stop

    def make_task(self) -> FrameTask:
        """The upcoming frame with its warm start, if it has one.

        Writes nothing, so several chains may do it on different threads at a time. Raises RenderDirectoryError if a
        stored frame that it starts from is damaged.
        """
        frame = self.upcoming
        assert frame is not None
        next_keyframe = None
        if frame.to_next_keyframe is not None and frame.next_keyframe is not None:
            keyframe = self.directory.read_frame(self.chain.keyframe_chain, frame.next_keyframe)
            next_keyframe = NextKeyframe(keyframe, frame.to_next_keyframe, frame.approach_fraction)
        stylized = {index: self.stored_frame(index) for index in frame.correspondences}
        # Stylers without colors of their own choose them anew in every frame: there is nothing to let go of.
        recent_change = None if self.style_colors is None else frame.recent_change
        warm = warm_start(
            frame.content,
            stylized,
            frame.correspondences,
            next_keyframe,
            recent_change=recent_change,
            style_colors=self.style_colors,
        )
        starts_anew = warm is None and bool(frame.correspondences)
        return FrameTask(self.chain, frame.index, frame.content, warm, starts_anew)

    def repeated_frame(self, frame: ChainFrame) -> NDArray[np.uint8]:
        """The stored frame that `frame` shows again: a previous one of the chain, or its keyframe."""
        assert frame.repeats is not None
        if frame.repeats < frame.index:
            return self.stored_frame(frame.repeats)
        return self.directory.read_frame(self.chain.keyframe_chain, frame.repeats)

    def stored_frame(self, index: int) -> NDArray[np.uint8]:
        """A stored frame of the chain, uint8 (H, W, 3) sRGB."""
        recent = self._recent.get(index)
        return self.directory.read_frame(self.chain.id, index) if recent is None else recent

    def advance(self, index: int, rgb: NDArray[np.uint8]) -> None:
        """Continue after frame `index`, which is being stored as `rgb`, uint8 (H, W, 3) sRGB."""
        self._recent[index] = rgb
        while len(self._recent) > KEPT_FRAMES:
            del self._recent[min(self._recent)]
        self.index = index + self.chain.interval
        self.task = None

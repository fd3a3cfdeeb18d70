"""One chain in work: from its next content to a frame that is ready to be stylized, and from there to the store.

Between two batches a chain is prepared on another thread, while its last frame is being stored. It is ready
when both are done, so its next frame is stylized only when all before it are on the disk.
"""

from __future__ import annotations

import math
import traceback
from collections import deque
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from pipeline.errors import TemperaError
from pipeline.execute.batches import Sample, make_sample
from pipeline.execute.frame_writer import FrameRecord
from pipeline.motion.warm_start import NextKeyframe
from pipeline.types import FrameStats, FrameTask

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from pipeline.execute.chain_frames import ChainFrame
    from pipeline.execute.frame_writer import FrameWriter
    from pipeline.store.directory import RenderDirectory
    from pipeline.types import Chain, StyleColors, WarmStart

KEPT_FRAMES: Final = 6
"""Stored frames of a chain that stay in memory; older ones are read from the disk, which gives the same pixels."""

_REPEATED: Final = FrameStats(0, *(math.nan,) * 5)
"""Nothing was stylized; NaN is written as null."""


class ChainFrames(Protocol):
    """The frames of a chain in order: a `Prefetcher` of `chain_frames`."""

    def next_item(self) -> ChainFrame:
        """The next frame. Raises TemperaError if the input is damaged there, then at every further call."""
        ...

    def close(self) -> None:
        """End it; may be called twice, and while another thread waits for a frame."""
        ...


@dataclass(slots=True)
class RunningChain:
    """The state of one chain: `index` is its next frame, `samples` the frames that are ready, in order.

    `device` is where these are (None: the CPU). `failure` is why the chain cannot go on. One thread at a time works on
    a chain: that of `begin_preparing` until its end, else the main thread.
    """

    chain: Chain
    index: int
    frames: ChainFrames
    directory: RenderDirectory
    writer: FrameWriter
    style_colors: StyleColors | None = None
    device: torch.device | None = None
    samples: deque[Sample] = field(default_factory=deque)
    failure: TemperaError | None = None
    _preparing: Future[list[Sample]] | None = None
    _upcoming: ChainFrame | None = None
    _recent: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    def waits_for(self) -> list[Future[Any]]:
        """What must end before the chain is ready or over: its preparation, and the storing of its last frame.

        Raises what a failed write raised.
        """
        return [future for future in (self._preparing, self.writer.storing(self.chain)) if future is not None]

    def begin_preparing(self, pool: Executor, most: int) -> None:
        """Prepare what comes next on another thread (`_prepare`), unless frames are ready or the chain is over."""
        if self.index < self.chain.stop and not self.samples and self.failure is None:
            self._preparing = pool.submit(self._prepare, most)

    def take_prepared(self) -> list[Sample]:
        """Frames that have become ready since the last call. Raises what stands in the way of the whole render."""
        if self._preparing is None or not self._preparing.done():
            return []
        found, self._preparing = self._preparing.result(), None
        self.samples.extend(found)
        return found

    def fail(self, error: TemperaError) -> None:
        """The next frame cannot be stylized. What the error holds of it is given up: the error itself is kept."""
        held: BaseException | None = error
        while held is not None:
            traceback.clear_frames(held.__traceback__)
            held = held.__cause__
        self.failure = error
        self.samples.clear()

    def wait_for_store(self) -> None:
        """Wait until all that was given to the store is there. Raises what a failed write raised."""
        if storing := self.writer.storing(self.chain):
            storing.result()

    def _prepare(self, most: int) -> list[Sample]:
        """Make the next frame ready, after storing those before it that repeat a stored one; none: the chain is over.

        Frames behind it that are known to begin cold are made ready with it, up to `most` in all: they start from no
        other frame, so all of them may be in one batch.
        """
        ready: list[Sample] = []
        following = self.index
        while following < self.chain.stop and len(ready) < most:
            frame, self._upcoming = self._upcoming, None
            if frame is None:
                try:
                    frame = self.frames.next_item()
                except TemperaError as error:
                    self.failure = None if ready else error  # it is raised again behind what is ready
                    return ready
            if ready and not frame.known_cold:
                self._upcoming = frame
                return ready
            following = frame.index + self.chain.interval
            if frame.repeats is not None:
                record = FrameRecord(self.chain, frame.index, "warm", _REPEATED, seconds=0.0, batch=1)
                self.store(record, self._repeated(frame))
                continue
            ready.append(self._sample(frame))
            if ready[0].task.phase == "warm":
                return ready
        return ready

    def store(self, record: FrameRecord, rgb: NDArray[np.uint8]) -> None:
        """Begin to store the next frame, uint8 (H, W, 3) sRGB, and go on behind it with just these pixels."""
        self.writer.write(record, rgb)
        self._recent[record.index] = rgb
        while len(self._recent) > KEPT_FRAMES:
            del self._recent[min(self._recent)]
        self.index = record.index + self.chain.interval

    def _sample(self, frame: ChainFrame) -> Sample:
        """The frame, ready on the device, or on the CPU where the device has no room for it.

        Raises RenderDirectoryError if a stored frame that it starts from is damaged.
        """
        import torch

        with suppress(torch.OutOfMemoryError):
            return make_sample(self._task(frame, self.device), self.device)
        return make_sample(self._task(frame, None), None)

    def _task(self, frame: ChainFrame, device: torch.device | None) -> FrameTask:
        """The frame with its warm start, if it has one.

        The content decides first, so that a frame is cold in every batch also where the device rounds differently.
        """
        warm = None if frame.known_cold else self._warm_start(frame, device)
        return FrameTask(
            chain=self.chain,
            index=frame.index,
            content=frame.content,
            warm=warm,
            starts_anew=warm is None and bool(frame.correspondences),
            regions=frame.regions,
            values=frame.values,
            settings_change=frame.settings_change,
        )

    def _warm_start(self, frame: ChainFrame, device: torch.device | None) -> WarmStart | None:
        from pipeline.motion.device_warm_start import warm_starter
        from pipeline.stylers.style_targets import with_weights

        next_keyframe = None
        if frame.to_next_keyframe is not None and frame.next_keyframe is not None:
            own = self.directory.chain(self.chain.id)
            if frame.next_keyframe in own.frames:  # where an edit ends, and in a loop
                keyframe = self._stored(frame.next_keyframe)
            else:
                keyframe = self.directory.read_frame(own.keyframe_chain, frame.next_keyframe)
            next_keyframe = NextKeyframe(keyframe, frame.to_next_keyframe, frame.approach_fraction)
        return warm_starter(device)(
            frame.content,
            {index: self._stored(index) for index in frame.correspondences},
            frame.correspondences,
            next_keyframe,
            # Stylers without colors of their own choose them anew in every frame: there is nothing to let go of.
            recent_change=None if self.style_colors is None else frame.recent_change,
            style_colors=None if self.style_colors is None else with_weights(self.style_colors, frame.values),
            regions=frame.regions,
        )

    def _repeated(self, frame: ChainFrame) -> NDArray[np.uint8]:
        """The stored frame that `frame` shows again: a previous one of the chain, or its keyframe."""
        assert frame.repeats is not None
        if frame.repeats < frame.index:
            return self._stored(frame.repeats)
        return self.directory.read_frame(self.chain.keyframe_chain, frame.repeats)

    def _stored(self, index: int) -> NDArray[np.uint8]:
        """A frame of the chain as it is stored, or is being stored: uint8 (H, W, 3) sRGB."""
        recent = self._recent.get(index)
        if recent is not None:
            return recent
        self.wait_for_store()
        return self.directory.read_frame(self.chain.id, index)

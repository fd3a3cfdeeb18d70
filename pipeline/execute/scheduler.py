"""The scheduler: decides which chains are in work and which frames make a batch.

`chain_frames` prepares the frames of a chain, `batches` stylizes batches, `frame_writer` stores frames.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from pipeline.errors import StylizeError, TemperaError
from pipeline.execute.batches import NOT_FINITE_HINT, BatchTooLargeError, stylize_tasks
from pipeline.execute.frame_writer import FrameRecord, FrameWriter
from pipeline.execute.running_chain import ChainFrames, RunningChain
from pipeline.plan.segments import Segments
from pipeline.types import Chain, FrameStats

if TYPE_CHECKING:
    import torch

    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter
    from pipeline.store.directory import RenderDirectory
    from pipeline.types import Styler

log = logging.getLogger(__name__)

_REPEATED: Final = FrameStats(0, *(math.nan,) * 5)
"""Nothing was stylized; NaN is written as null."""

MAX_WARM_START_THREADS: Final = 8


def run_chains(
    directory: RenderDirectory,
    stylers: Mapping[str, Styler],
    open_frames: Callable[[Chain, int], ChainFrames],
    *,
    starts: Mapping[str, int],
    batch_size: int,
    reporter: Reporter,
    cancellation: Cancellation,
) -> dict[str, TemperaError]:
    """Stylize every frame that is not stored yet, of the chains of the plan that `starts` names.

    `starts` says by chain id which frame is the next (see `RenderDirectory.done`). `stylers` by style name;
    `open_frames(chain, start)` gives the `ChainFrame`s from frame `start` on. At most `batch_size` chains
    are open at a time, and each batch holds frames of one style and one phase. Out of memory halves the batches for the
    rest of the session. A chain that fails is left where it is and the others go on. When an end is requested, the
    frames in flight are finished and stored. Returns the chains that failed, with their errors.

    Raises what concerns the whole render: a full disk, a lost lock, out of memory at a batch of one.
    """
    chains = [chain for chain in directory.plan.chains if starts.get(chain.id, chain.stop) < chain.stop]
    threads = min(batch_size, MAX_WARM_START_THREADS)
    with (
        ThreadPoolExecutor(max_workers=threads, thread_name_prefix="warm start") as pool,
        FrameWriter(directory, reporter) as writer,
    ):
        scheduler = _Scheduler(directory, stylers, chains, batch_size, writer, reporter)
        try:
            while scheduler.unfinished and not cancellation.requested():
                scheduler.open_chains(open_frames, starts)
                for running in scheduler.running:
                    if cancellation.requested():
                        break
                    scheduler.read_ahead(running)
                scheduler.make_tasks(pool)
                writer.wait()  # a callback that is told of a stored frame may request an end before the next one
                for batch in scheduler.batches():
                    if cancellation.requested():
                        break
                    scheduler.stylize(batch)
                scheduler.close_chains()
        finally:
            try:
                writer.wait()
            finally:
                scheduler.close_all()
    return scheduler.failed


class _Scheduler:
    """The chains that wait, the chains in work, the batch size that fits, and the chains that failed."""

    def __init__(
        self,
        directory: RenderDirectory,
        stylers: Mapping[str, Styler],
        chains: Sequence[Chain],
        batch_size: int,
        writer: FrameWriter,
        reporter: Reporter,
    ) -> None:
        self.running: list[RunningChain] = []
        self.failed: dict[str, TemperaError] = {}
        self._directory = directory
        self._stylers = stylers
        self._segments = Segments(directory.plan.chains)
        self._waiting = list(chains)
        self._incomplete = {chain.id for chain in chains}
        self._batch_size = batch_size
        self._writer = writer
        self._reporter = reporter

    @property
    def unfinished(self) -> bool:
        """Whether there is a chain in work or waiting."""
        return bool(self.running or self._waiting)

    def open_chains(self, open_frames: Callable[[Chain, int], ChainFrames], starts: Mapping[str, int]) -> None:
        """Begin chains while there is room: a segment waits for its keyframes."""
        for chain in list(self._waiting):
            keyframes = self._segments.keyframes(chain)
            if len(self.running) < self._batch_size and (keyframes is None or keyframes.id not in self._incomplete):
                self._waiting.remove(chain)
                start = starts[chain.id]
                colors = self._stylers[chain.style].style_colors
                self.running.append(RunningChain(chain, start, open_frames(chain, start), self._directory, colors))

    def read_ahead(self, running: RunningChain) -> None:
        """Take the next frame that must be stylized; frames before it that repeat a stored one are stored."""
        while running.upcoming is None and running.task is None and not self._over(running):
            try:
                frame = running.frames.next_item()
            except TemperaError as error:
                self._fail(running.chain, running.index, error)
                return
            if frame.repeats is None:
                running.upcoming = frame
                return
            rgb = running.repeated_frame(frame)
            record = FrameRecord(running.chain, frame.index, "warm", _REPEATED, seconds=0.0, batch=1)
            self._writer.write(record, rgb)
            running.advance(frame.index, rgb)
            self._writer.wait()

    def make_tasks(self, pool: ThreadPoolExecutor) -> None:
        """Compute warm starts side by side: on a fast device they take longer than stylizing."""
        ready = [running for running in self.running if running.upcoming is not None]
        for running, task in zip(ready, pool.map(RunningChain.make_task, ready), strict=True):
            if task.starts_anew:
                self._reporter.started_anew(task.chain, task.index)
            running.upcoming, running.task = None, task

    def batches(self) -> Iterator[list[RunningChain]]:
        """Chains whose next frames may share a batch (same style, same phase), as many as fit, until none is left.

        What did not fit is given again, in smaller batches.
        """
        groups: dict[tuple[str, bool], list[RunningChain]] = {}
        for running in self.running:
            if running.task is not None:
                groups.setdefault((running.chain.style, running.task.warm is None), []).append(running)
        for group in groups.values():
            left = group
            while left:
                yield left[: self._batch_size]
                left = [running for running in left if running.task is not None and not self._over(running)]

    def stylize(self, batch: Sequence[RunningChain]) -> None:
        """Stylize and store the next frames of some chains; if they do not fit into memory, smaller batches follow."""
        self._writer.wait()
        tasks = [running.task for running in batch if running.task is not None]
        began = time.perf_counter()
        try:
            stylized = stylize_tasks(self._stylers[tasks[0].chain.style], tasks)
        except BatchTooLargeError as error:
            self._halve_batches(len(batch), error)
            return
        except StylizeError as error:
            if len(batch) == 1:
                self._fail(tasks[0].chain, tasks[0].index, error)
            else:
                for running in batch:  # one of them is to blame and the others must not suffer
                    self.stylize([running])
            return
        seconds = (time.perf_counter() - began) / len(batch)
        for running, task, image, stats in zip(batch, tasks, stylized.images, stylized.stats, strict=True):
            if bool(image.isfinite().all()):
                record = FrameRecord(task.chain, task.index, task.phase, stats, seconds, len(batch), task.starts_anew)
                self._store(running, record, image)
            else:
                broken = StylizeError("the stylized frame has values that are not finite", hint=NOT_FINITE_HINT)
                self._fail(task.chain, task.index, broken)

    def close_chains(self) -> None:
        """Close the chains that are complete or have failed; segments fail with their keyframes."""
        over = [running for running in self.running if self._over(running)]
        if over:
            self._writer.wait()  # segments read what their keyframes stored
        for running in over:
            running.frames.close()
            self.running.remove(running)
            if running.chain.id not in self.failed:
                self._incomplete.discard(running.chain.id)
        for chain in [chain for chain in self._waiting if chain.keyframe_chain in self.failed]:
            self._waiting.remove(chain)
            self.failed[chain.id] = self.failed[chain.keyframe_chain]

    def close_all(self) -> None:
        """Close what is open, complete or not."""
        for running in self.running:
            running.frames.close()

    def _over(self, running: RunningChain) -> bool:
        return running.complete or running.chain.id in self.failed

    def _halve_batches(self, size: int, error: BatchTooLargeError) -> None:
        """Go on with smaller batches. Raises StylizeError if there is no smaller one."""
        if size == 1:
            plan = self._directory.plan
            raise StylizeError(
                f"out of memory with a single frame of {plan.width_px} x {plan.height_px} px",
                hint="choose a smaller --width, or close other programs; what is stored stays",
            ) from error
        self._batch_size = size // 2
        self._reporter.note(f"out of memory with {size} frames at once: going on with {self._batch_size}")

    def _store(self, running: RunningChain, record: FrameRecord, image: torch.Tensor) -> None:
        """Store a stylized frame. What the chain carries on is exactly what is stored: the rounded pixels."""
        from pipeline.media.image.arrays import to_uint8

        rgb = to_uint8(image)
        self._writer.write(record, rgb)
        running.advance(record.index, rgb)

    def _fail(self, chain: Chain, index: int, error: TemperaError) -> None:
        """Record that a chain cannot continue, and add the chain and the frame to the error's message."""
        error.message = f"chain {chain.id}, frame {index}: {error.message}"
        log.error("%s", error.message)
        self.failed[chain.id] = error

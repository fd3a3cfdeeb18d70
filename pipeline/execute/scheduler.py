"""The scheduler: decides which chains are in work and which frames make a batch, so that nothing waits.

Batches are stylized on the main thread. Everything else that a chain needs runs on threads meanwhile: `chain_frames`
reads content and estimates motion ahead, `running_chain` makes the warm start, `frame_writer` stores frames. With two
groups of chains one half is prepared and stored while the other half is stylized. `waiting_chains` lets segments begin.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from pipeline.errors import StylizeError, TemperaError
from pipeline.execute.batches import NOT_FINITE_HINT, BatchTooLargeError, Sample, stylize_samples
from pipeline.execute.frame_writer import FrameRecord, FrameWriter
from pipeline.execute.running_chain import ChainFrames, RunningChain
from pipeline.execute.waiting_chains import WaitingChains
from pipeline.stylers.shot_colors import ShotStylers, styler_of
from pipeline.types import SavesMemory

if TYPE_CHECKING:
    import torch

    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter
    from pipeline.store.directory import RenderDirectory
    from pipeline.types import Chain, FrameTask, Phase, Styler, StylizedBatch

Batch: TypeAlias = list[tuple[RunningChain, Sample]]

log = logging.getLogger(__name__)


def run_chains(
    directory: RenderDirectory,
    stylers: Mapping[str, Styler | ShotStylers],
    open_frames: Callable[[Chain, int], ChainFrames],
    *,
    starts: Mapping[str, int],
    stops: Mapping[str, int] | None = None,
    batch_size: int,
    groups: int = 1,
    device: torch.device | None = None,
    begin_batch: Callable[[Sequence[FrameTask]], None] | None = None,
    reporter: Reporter,
    cancellation: Cancellation,
) -> dict[str, TemperaError]:
    """Stylize every frame that is not stored yet, of the chains of the plan that `starts` names.

    `starts` says by chain id which frame is the next (see `RenderDirectory.done`), `stops` where a chain ends this
    time, if that is before its planned stop. `stylers` by style name;
    `open_frames(chain, start)` gives the `ChainFrame`s from frame `start` on. At most `groups * batch_size` chains are
    open at a time, and each batch holds frames of one styler and one phase. Stylizing begins when one of `groups` equal
    parts of the open chains is ready, so that it waits for no straggler; with one group batches do not depend on the
    speed of threads. Out of memory halves the batches for the rest of the session. `device` is where frames that are
    ready are sent ahead. `begin_batch` is told which frames a batch holds before it is stylized.

    A chain that fails is left where it is and the others go on, except for segments that miss a keyframe. When an end
    is requested, the frames in flight are finished and stored. Returns the chains that failed, with their errors.

    Raises what concerns the whole render: a full disk, a lost lock, out of memory at a batch of one.
    """
    most_chains = groups * batch_size
    with (
        FrameWriter(directory, reporter, threads=most_chains) as writer,
        ThreadPoolExecutor(most_chains, thread_name_prefix="prepare") as pool,
    ):
        scheduler = _Scheduler(
            directory=directory,
            stylers=stylers,
            open_frames=open_frames,
            starts=starts,
            waiting=WaitingChains(directory.plan.chains, starts, stops),
            batch_size=batch_size,
            groups=groups,
            device=device,
            begin_batch=begin_batch,
            writer=writer,
            pool=pool,
            reporter=reporter,
            last_batch_ended=time.perf_counter(),
        )
        try:
            while ready := scheduler.wait_for_chains(cancellation):
                for batch in scheduler.batches(ready):
                    if cancellation.requested():
                        break
                    scheduler.stylize(batch)
        finally:
            scheduler.close()
    return scheduler.failed


@dataclass(slots=True)
class _Scheduler:
    """The chains that wait, the chains in work, the batch size that fits, and the chains that failed.

    The fields without a default are the arguments of `run_chains`, its threads, `waiting`, and a time by the clock. In
    `running` the chain that was stylized longest ago is the first.
    """

    directory: RenderDirectory
    stylers: Mapping[str, Styler | ShotStylers]
    open_frames: Callable[[Chain, int], ChainFrames]
    starts: Mapping[str, int]
    waiting: WaitingChains
    batch_size: int
    groups: int
    device: torch.device | None
    begin_batch: Callable[[Sequence[FrameTask]], None] | None
    writer: FrameWriter
    pool: ThreadPoolExecutor
    reporter: Reporter
    last_batch_ended: float
    running: list[RunningChain] = field(default_factory=list)
    failed: dict[str, TemperaError] = field(default_factory=dict)

    def wait_for_chains(self, cancellation: Cancellation) -> list[RunningChain]:
        """Chains that are ready, as soon as a group's part of those in work is; none at the end of the work.

        Meanwhile frames that are stored are reported, chains that are over closed, and others begun in their place.
        """
        while not cancellation.requested():
            pending: list[Future[Any]] = []
            resting: list[RunningChain] = []
            for running in self.running:
                for sample in running.take_prepared():
                    if sample.task.starts_anew:
                        self.reporter.started_anew(running.chain, sample.task.index)
                if waits_for := running.waits_for():
                    pending += waits_for
                else:
                    resting.append(running)
            for record in self.writer.report():
                self.waiting.stored(record.chain, record.index)
            for running in resting:
                if not running.samples:
                    self._close(running)
            if self._open_chains():
                continue
            ready = [running for running in resting if running.samples]
            enough = math.ceil(len(self.running) / self.groups)
            if self.groups > 1:
                enough = min(enough, self.batch_size)  # after out of memory
            if len(ready) >= enough:
                # The callback that is told of a stored frame may have requested an end.
                return [] if cancellation.requested() else ready[:enough]
            wait(pending, return_when=FIRST_COMPLETED)
        return []

    def batches(self, ready: Sequence[RunningChain]) -> Iterator[Batch]:
        """Of every styler and phase among the next frames of some chains, as many as fit into a batch."""
        kinds: dict[tuple[str, int, Phase], Batch] = {}
        for running in ready:
            for sample in running.samples:
                chain = running.chain
                shot = chain.shot if isinstance(self.stylers[chain.style], ShotStylers) else 0
                kinds.setdefault((chain.style, shot, sample.task.phase), []).append((running, sample))
        for batch in kinds.values():
            yield batch[: self.batch_size]

    def stylize(self, batch: Batch) -> None:
        """Stylize some frames, begin to store them, and prepare the next ones of their chains.

        If they do not fit into memory, they stay ready and the next batches are smaller.
        """
        from pipeline.media.image.arrays import to_frames
        from pipeline.runtime.device import release_freed_memory

        if self.begin_batch is not None:
            self.begin_batch([sample.task for _, sample in batch])
        stylized: StylizedBatch | None = None
        apart: Batch = []
        try:
            stylized = stylize_samples(self._styler(batch[0][0].chain), [sample for _, sample in batch])
        except BatchTooLargeError as error:
            self._save_memory(batch, error)
        except StylizeError as error:
            if len(batch) == 1:
                batch[0][0].fail(error)
            else:
                apart = batch  # one of them is to blame and the others must not suffer
        if stylized is None:
            release_freed_memory()  # not before the exception is gone, which holds the tensors of the batch
            for running, sample in apart:
                if running.failure is None:
                    running.wait_for_store()
                    self.stylize([(running, sample)])
            return
        frames = to_frames(stylized.images)
        now = time.perf_counter()
        seconds, self.last_batch_ended = (now - self.last_batch_ended) / len(batch), now
        for (running, sample), rgb, stats in zip(batch, frames, stylized.stats, strict=True):
            task = sample.task
            if rgb is None:
                running.fail(StylizeError("the stylized frame has values that are not finite", hint=NOT_FINITE_HINT))
            elif running.failure is None:
                running.samples.popleft()
                record = FrameRecord(task.chain, task.index, task.phase, stats, seconds, len(batch), task.starts_anew)
                running.store(record, rgb)
        stylized_chains = {running.chain.id: running for running, _ in batch}
        self.running = [running for running in self.running if running.chain.id not in stylized_chains]
        for running in stylized_chains.values():
            self.running.append(running)
            self._begin_preparing(running)

    def close(self) -> None:
        """Close what is open, complete or not."""
        with ThreadPoolExecutor(thread_name_prefix="close") as pool:  # each waits for the frame that is being prepared
            for running in self.running:
                pool.submit(running.frames.close)
        for running in list(self.running):
            self._close(running)

    def _styler(self, chain: Chain) -> Styler:
        """What stylizes the frames of a chain."""
        return styler_of(self.stylers[chain.style], chain.shot)

    def _open_chains(self) -> bool:
        """Begin chains while there is room; returns whether there was one."""
        opened = []
        while len(self.running) < self.groups * self.batch_size and (chain := self.waiting.take()) is not None:
            start = self.starts[chain.id]
            colors = self._styler(chain).style_colors
            frames = self.open_frames(chain, start)
            opened.append(RunningChain(chain, start, frames, self.directory, self.writer, colors, self.device))
            self.running.append(opened[-1])
        for running in opened:
            self._begin_preparing(running)
        return bool(opened)

    def _begin_preparing(self, running: RunningChain) -> None:
        """Prepare what comes next in a chain. Keyframes that begin cold may fill a batch, so that segments can begin.

        Other chains make more than one frame ready only if there are too few chains to fill a batch.
        """
        part = max(1, self.groups * self.batch_size // len(self.running))
        running.begin_preparing(self.pool, self.batch_size if running.chain.interval > 1 else part)

    def _close(self, running: RunningChain) -> None:
        """Close a chain that is complete, has failed, or is left where it is; segments fail with their keyframes."""
        running.frames.close()
        self.running.remove(running)
        error = running.failure
        if error is not None:
            error.message = f"chain {running.chain.id}, frame {running.index}: {error.message}"
            log.error("%s", error.message)
            self.failed[running.chain.id] = error
            self.failed.update((segment.id, error) for segment in self.waiting.failed(running.chain))

    def _save_memory(self, batch: Batch, error: BatchTooLargeError) -> None:
        """Go on with smaller batches, and single frames in tiles. Raises StylizeError if nothing smaller is left."""
        size = len(batch)
        if size == 1:
            plan, styler = self.directory.plan, self._styler(batch[0][0].chain)
            smaller = styler.save_memory() if isinstance(styler, SavesMemory) else None
            if smaller is not None:
                self.reporter.note(f"out of memory with a single frame: now {smaller}")
                return
            raise StylizeError(
                f"out of memory with a single frame of {plan.width_px} x {plan.height_px} px",
                hint="choose a smaller --width, or close other programs; what is stored stays",
            ) from error
        self.batch_size = size // 2
        self.reporter.note(f"out of memory with {size} frames at once: going on with {self.batch_size}")

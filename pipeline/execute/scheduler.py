"""Runs chains: takes the next frame of every chain that is ready, paints equal ones as one batch, and stores them."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Protocol

from pipeline.errors import StylizeError, TemperaError
from pipeline.motion.warm_start import NextKeyframe, warm_start
from pipeline.plan.chains import frame_seed
from pipeline.types import Chain, FrameBatch, FrameStats, FrameTask, StylizedBatch

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from pipeline.execute.prefetch import Feed, PrefetchedFrame
    from pipeline.store.directory import RenderDirectory
    from pipeline.types import Phase, Styler

log = logging.getLogger(__name__)

_REPEATED = FrameStats(0, *(math.nan,) * 5)
"""Nothing was painted; NaN is written as null."""

_NOT_FINITE_HINT = "try --set optimize.precision=float32, or smaller weights; `tempera doctor` tests the encoder"


_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "alloc_failed")
"""How torch says it where it has no exception of its own: on the CPU, on Apple's GPUs, and in CUDA's libraries."""


class Watcher(Protocol):
    """Who wants to know how a render goes."""

    def frame_stored(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        """A frame is stored; `seconds` is its share of the working time."""
        ...

    def note(self, message: str) -> None:
        """Something the user should know, said once."""
        ...


KEPT_FRAMES = 6
"""Stored frames of a chain that stay in memory; farther ones are read again, which gives the same pixels."""


MAX_THREADS = 8
"""Warm starts that are made side by side."""


@dataclass(slots=True)
class _Running:
    """A chain in work: the next frame, the last stored ones, and what is about to be painted."""

    chain: Chain
    index: int
    feed: Feed
    recent: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    prefetched_frames: PrefetchedFrame | None = None
    task: FrameTask | None = None


@dataclass(frozen=True, slots=True)
class _Painted:
    """What is known of a painted frame beside its pixels."""

    index: int
    phase: Phase
    stats: FrameStats
    seconds: float
    batch: int


@dataclass(frozen=True, slots=True)
class _Storing:
    """A frame on its way to the disk."""

    future: Future[None]
    chain: Chain
    painted: _Painted


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went: chains that failed with their errors, and whether the user asked to stop."""

    failed: Mapping[str, TemperaError]
    stopped: bool


def run_chains(
    directory: RenderDirectory,
    stylers: Mapping[str, Styler],
    open_feed: Callable[[Chain, int], Feed],
    *,
    starts: Mapping[str, int],
    batch_size: int,
    watcher: Watcher,
    should_stop: Callable[[], bool],
) -> Outcome:
    """Paint every frame of the plan that is not stored yet.

    `starts` says by chain id which frame is the next (see `RenderDirectory.done`). `stylers` by style name;
    `open_feed(chain, start)` delivers the chain's content from frame `start`. At most `batch_size` chains are open at a
    time, and each batch holds frames of one style and one phase. Out of memory halves the batches for the rest of the
    session. A chain that fails is left where it is and the others go on. When `should_stop` says so, the frames in
    flight are finished and stored.

    Raises what concerns the whole render: a full disk, a lost lock, out of memory at a batch of one.
    """
    waiting = [chain for chain in directory.plan.chains if starts[chain.id] < chain.stop]
    stopped = False
    with (
        ThreadPoolExecutor(max_workers=min(batch_size, MAX_THREADS), thread_name_prefix="warm start") as pool,
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="store") as storer,
    ):
        session = _Session(directory, stylers, watcher, batch_size, {chain.id for chain in waiting}, storer)
        try:
            while (session.running or waiting) and not stopped:
                for chain in session.startable(waiting):
                    waiting.remove(chain)
                    session.running.append(_Running(chain, starts[chain.id], open_feed(chain, starts[chain.id])))
                for state in session.running:
                    if stopped := stopped or should_stop():
                        break
                    session.look_ahead(state)
                session.make_tasks(pool)
                session.settle()  # who hears of a frame may ask to stop before the next one
                for group in _groups(session.running):
                    if stopped := stopped or should_stop():
                        break
                    session.advance(group)
                session.close_finished(waiting)
        finally:
            try:
                session.settle()
            finally:
                for state in session.running:
                    state.feed.close()
    return Outcome(session.failed, stopped)


def _groups(running: Sequence[_Running]) -> list[list[_Running]]:
    """Chains whose next frames may share a batch: same style, same phase."""
    groups: dict[tuple[str, bool], list[_Running]] = {}
    for state in running:
        if state.task is not None:
            groups.setdefault((state.chain.style, state.task.warm is None), []).append(state)
    return list(groups.values())


class _OutOfMemoryError(Exception):
    """A batch did not fit."""


class _Session:
    """The chains in work, the batch size that fits, and who failed."""

    def __init__(
        self,
        directory: RenderDirectory,
        stylers: Mapping[str, Styler],
        watcher: Watcher,
        batch_size: int,
        unfinished: set[str],
        storer: ThreadPoolExecutor,
    ) -> None:
        self.directory = directory
        self.stylers = stylers
        self.watcher = watcher
        self.batch_size = batch_size
        self.unfinished = unfinished
        self.storer = storer
        self.storing: list[_Storing] = []
        self.running: list[_Running] = []
        self.failed: dict[str, TemperaError] = {}

    def startable(self, waiting: Sequence[Chain]) -> list[Chain]:
        """Chains that may begin now, as many as there is room for: a segment waits for its keyframes."""
        ready = [chain for chain in waiting if chain.keyframe_chain not in self.unfinished]
        return ready[: max(0, self.batch_size - len(self.running))]

    def close_finished(self, waiting: list[Chain]) -> None:
        over = [state for state in self.running if self._over(state)]
        if over:
            self.settle()  # segments read what their keyframes stored
        for state in over:
            state.feed.close()
            self.running.remove(state)
            if state.chain.id not in self.failed:
                self.unfinished.discard(state.chain.id)
        for chain in [chain for chain in waiting if chain.keyframe_chain in self.failed]:
            waiting.remove(chain)
            self.failed[chain.id] = self.failed[chain.keyframe_chain]

    def _over(self, state: _Running) -> bool:
        return state.index >= state.chain.stop or state.chain.id in self.failed

    def look_ahead(self, state: _Running) -> None:
        """Take the next frame of a chain that must be painted; those before it that repeat one are stored."""
        while state.prefetched_frames is None and state.task is None and not self._over(state):
            try:
                prefetched_frames = state.feed.next_frame()
            except TemperaError as error:
                self._fail(state.chain, state.index, error)
                return
            if prefetched_frames.repeats < 0:
                state.prefetched_frames = prefetched_frames
            else:
                self._repeat(state, prefetched_frames)

    def make_tasks(self, pool: ThreadPoolExecutor) -> None:
        """Find out what each next frame starts from, side by side: the warps of a batch take longer than its painting
        on a fast device."""
        states = [state for state in self.running if state.prefetched_frames is not None]
        for state, task in zip(states, pool.map(self._task, states), strict=True):
            state.prefetched_frames, state.task = None, task

    def _task(self, state: _Running) -> FrameTask:
        """Reads, and changes nothing: called from several threads, for a chain each."""
        prefetched_frames = state.prefetched_frames
        assert prefetched_frames is not None
        goal = None
        if prefetched_frames.to_next_keyframe is not None:
            ahead = self.directory.read_frame(state.chain.keyframe_chain, prefetched_frames.goal)
            goal = NextKeyframe(ahead, prefetched_frames.to_next_keyframe, prefetched_frames.next_keyframe_fraction)
        painted = {index: self._painted(state, index) for index in prefetched_frames.correspondences}
        warm = warm_start(prefetched_frames.content, painted, prefetched_frames.correspondences, goal)
        return FrameTask(state.chain, prefetched_frames.index, prefetched_frames.content, warm)

    def _painted(self, state: _Running, index: int) -> NDArray[np.uint8]:
        """A stored frame of the chain itself: all the state that there is."""
        found = state.recent.get(index)
        return self.directory.read_frame(state.chain.id, index) if found is None else found

    def _repeat(self, state: _Running, prefetched_frames: PrefetchedFrame) -> None:
        """Store a frame that shows another one again."""
        if prefetched_frames.repeats < prefetched_frames.index:
            rgb = self._painted(state, prefetched_frames.repeats)
        else:
            rgb = self.directory.read_frame(state.chain.keyframe_chain, prefetched_frames.repeats)
        self._store(state, _Painted(prefetched_frames.index, "warm", _REPEATED, seconds=0.0, batch=1), rgb)
        self.settle()

    def advance(self, group: Sequence[_Running]) -> None:
        """Paint and store the next frame of every chain in the group."""
        tasks = [(state, state.task) for state in group if state.task is not None]
        while tasks:
            part = tasks[: self.batch_size]
            if self._work(part):
                tasks = tasks[len(part) :]

    def _work(self, part: Sequence[tuple[_Running, FrameTask]]) -> bool:
        """Paint and store one batch; False if it did not fit into memory and a smaller one should be tried."""
        self.settle()
        began = time.perf_counter()
        try:
            stylized = _paint(self.stylers[part[0][1].chain.style], [task for _, task in part])
        except _OutOfMemoryError as error:
            if len(part) == 1:
                plan = self.directory.plan
                raise StylizeError(
                    f"out of memory with a single frame of {plan.width_px} x {plan.height_px} px",
                    hint="paint smaller with --width, or close other programs; what is stored stays",
                ) from error
            self.batch_size = len(part) // 2
            self.watcher.note(f"out of memory with {len(part)} frames at once: going on with {self.batch_size}")
            return False
        except StylizeError as error:
            if len(part) == 1:
                self._fail(part[0][1].chain, part[0][1].index, error)
                return True
            # One of them is to blame and the others must not suffer: paint them one by one.
            for item in part:
                self._work([item])
            return True
        seconds = (time.perf_counter() - began) / len(part)
        for (state, task), image, stats in zip(part, stylized.images, stylized.stats, strict=True):
            if bool(image.isfinite().all()):
                self._keep(state, task, image, stats, seconds=seconds, batch=len(part))
            else:
                broken = StylizeError("the painted picture has values that are not finite", hint=_NOT_FINITE_HINT)
                self._fail(state.chain, state.index, broken)
        return True

    def _keep(
        self, state: _Running, task: FrameTask, image: torch.Tensor, stats: FrameStats, *, seconds: float, batch: int
    ) -> None:
        """Store a painted frame. What the chain carries on is exactly what was stored: the rounded pixels."""
        from pipeline.media.image.arrays import to_uint8

        state.task = None
        self._store(state, _Painted(task.index, task.phase, stats, seconds, batch), to_uint8(image))

    def _store(self, state: _Running, painted: _Painted, rgb: NDArray[np.uint8]) -> None:
        """Begin to store a frame. Meanwhile the next one's start is found; nothing is painted before this is safe."""
        chain = state.chain
        future = self.storer.submit(self.directory.write_frame, chain.id, painted.index, rgb)
        self.storing.append(_Storing(future, chain, painted))
        state.recent[painted.index] = rgb
        while len(state.recent) > KEPT_FRAMES:
            del state.recent[min(state.recent)]
        state.index = painted.index + chain.interval

    def settle(self) -> None:
        """Wait until everything that was painted is stored, and say so. Raises what the first store that failed did."""
        while self.storing:
            store = self.storing.pop(0)
            store.future.result()
            painted = store.painted
            self.directory.append_stats(
                {
                    "chain": store.chain.id,
                    "frame": painted.index,
                    "phase": painted.phase,
                    **asdict(painted.stats),
                    "seconds": round(painted.seconds, 4),
                    "batch": painted.batch,
                }
            )
            self.watcher.frame_stored(store.chain, painted.index, painted.phase, painted.stats, painted.seconds)

    def _fail(self, chain: Chain, index: int, error: TemperaError) -> None:
        """Note that a chain cannot go on; the error says which chain and frame."""
        error.message = f"chain {chain.id}, frame {index}: {error.message}"
        log.error("%s", error.message)
        self.failed[chain.id] = error


def _paint(styler: Styler, tasks: Sequence[FrameTask]) -> StylizedBatch:
    import torch

    from pipeline.media.image.arrays import to_tensor

    warm = [task.warm for task in tasks if task.warm is not None]
    batch = FrameBatch(
        phase=tasks[0].phase,
        content=torch.stack([to_tensor(task.content) for task in tasks]),
        init=_batched([_planes(start.init) for start in warm]),
        seeds=tuple(frame_seed(task.chain.seed, task.chain.style, task.index) for task in tasks),
        warped_previous=_batched([_planes(start.target) for start in warm]),
        confidence=_batched([torch.from_numpy(start.confidence)[None] for start in warm]),
        new_fractions=tuple(start.new_fraction for start in warm),
    )
    try:
        return styler.stylize(batch)
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise _OutOfMemoryError from error
    except MemoryError as error:
        raise _OutOfMemoryError from error
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        # Decompositions refuse matrices with values that are not finite.
        raise StylizeError(f"a matrix of the style loss has no roots: {error}", hint=_NOT_FINITE_HINT) from error
    except RuntimeError as error:
        if any(sentence in str(error).lower() for sentence in _OUT_OF_MEMORY):
            raise _OutOfMemoryError from error
        raise


def _batched(pictures: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """Pictures as a batch, None for none; a single one without a copy."""
    import torch

    if not pictures:
        return None
    return pictures[0][None] if len(pictures) == 1 else torch.stack(list(pictures))


def _planes(picture: NDArray[np.float32]) -> torch.Tensor:
    """A picture (H, W, 3) as (3, H, W)."""
    import torch

    return torch.from_numpy(picture).permute(2, 0, 1)

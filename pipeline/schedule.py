"""Runs chains: takes the next frame of every chain that is ready, paints equal ones as one batch, and stores them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

from pipeline.errors import StylizeError, TemperaError
from pipeline.plan import frame_seed
from pipeline.types import Chain, FrameBatch, FrameTask, StyledBatch

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from pipeline.feed import Feed
    from pipeline.store import RenderDirectory
    from pipeline.types import FrameStats, Phase, Styler

log = logging.getLogger(__name__)

_NOT_FINITE_HINT = "try --set optimize.precision=float32, or smaller weights; `tempera doctor` tests the encoder"


class Watcher(Protocol):
    """Who wants to know how a render goes."""

    def painted(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        """A frame is stored; `seconds` is its share of the working time."""
        ...

    def note(self, message: str) -> None:
        """Something the user should know, said once."""
        ...


@dataclass(slots=True)
class _Running:
    """A chain in work: the next frame to paint and the stored frame before it."""

    chain: Chain
    index: int
    previous: NDArray[np.uint8] | None
    feed: Feed


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
    waiting = [(chain, starts[chain.id]) for chain in reversed(directory.plan.chains) if starts[chain.id] < chain.stop]
    session = _Session(directory, stylers, watcher, batch_size)
    stopped = False
    try:
        while (session.running or waiting) and not stopped:
            while waiting and len(session.running) < session.batch_size:
                chain, start = waiting.pop()
                session.running.append(_begin(directory, open_feed, chain, start))
            for group in _groups(session.running):
                if stopped := should_stop():
                    break
                session.advance(group)
            session.close_finished()
    finally:
        for state in session.running:
            state.feed.close()
    return Outcome(session.failed, stopped)


def _begin(directory: RenderDirectory, open_feed: Callable[[Chain, int], Feed], chain: Chain, start: int) -> _Running:
    """Open a chain where it continues; the stored frame is all the state there is."""
    first = chain.start - chain.lead_in
    previous = directory.read_frame(chain.id, start - 1) if start > first else None
    return _Running(chain, start, previous, open_feed(chain, start))


def _groups(running: Sequence[_Running]) -> list[list[_Running]]:
    """Chains whose next frames may share a batch: same style, same phase."""
    groups: dict[tuple[str, bool], list[_Running]] = {}
    for state in running:
        groups.setdefault((state.chain.style, state.previous is None), []).append(state)
    return list(groups.values())


class _OutOfMemoryError(Exception):
    """A batch did not fit."""


class _Session:
    """The chains in work, the batch size that fits, and who failed."""

    def __init__(
        self, directory: RenderDirectory, stylers: Mapping[str, Styler], watcher: Watcher, batch_size: int
    ) -> None:
        self.directory = directory
        self.stylers = stylers
        self.watcher = watcher
        self.batch_size = batch_size
        self.running: list[_Running] = []
        self.failed: dict[str, TemperaError] = {}

    def close_finished(self) -> None:
        for state in [state for state in self.running if self._over(state)]:
            state.feed.close()
            self.running.remove(state)

    def _over(self, state: _Running) -> bool:
        return state.index >= state.chain.stop or state.chain.id in self.failed

    def advance(self, group: Sequence[_Running]) -> None:
        """Paint and store the next frame of every chain in the group."""
        tasks: list[tuple[_Running, FrameTask]] = []
        for state in group:
            try:
                content = state.feed.next_frame().rgb
            except TemperaError as error:
                self._fail(state.chain, state.index, error)
            else:
                tasks.append((state, FrameTask(state.chain, state.index, content, state.previous)))
        while tasks:
            part = tasks[: self.batch_size]
            if self._work(part):
                tasks = tasks[len(part) :]

    def _work(self, part: Sequence[tuple[_Running, FrameTask]]) -> bool:
        """Paint and store one batch; False if it did not fit into memory and a smaller one should be tried."""
        began = time.perf_counter()
        try:
            styled = _paint(self.stylers[part[0][1].chain.style], [task for _, task in part])
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
        for (state, task), image, stats in zip(part, styled.images, styled.stats, strict=True):
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
        from pipeline.image import to_uint8

        rgb = to_uint8(image)
        self.directory.write_frame(task.chain.id, task.index, rgb)
        state.previous, state.index = rgb, task.index + 1
        self.directory.append_stats(
            {
                "chain": task.chain.id,
                "frame": task.index,
                "phase": task.phase,
                **asdict(stats),
                "seconds": round(seconds, 4),
                "batch": batch,
            }
        )
        self.watcher.painted(task.chain, task.index, task.phase, stats, seconds)

    def _fail(self, chain: Chain, index: int, error: TemperaError) -> None:
        """Note that a chain cannot go on; the error says which chain and frame."""
        error.message = f"chain {chain.id}, frame {index}: {error.message}"
        log.error("%s", error.message)
        self.failed[chain.id] = error


def _paint(styler: Styler, tasks: Sequence[FrameTask]) -> StyledBatch:
    import torch

    from pipeline.image import to_tensor

    init = None
    if tasks[0].previous is not None:
        init = torch.stack([to_tensor(task.previous) for task in tasks if task.previous is not None])
    batch = FrameBatch(
        phase=tasks[0].phase,
        content=torch.stack([to_tensor(task.content) for task in tasks]),
        init=init,
        seeds=tuple(frame_seed(task.chain.seed, task.chain.style, task.index) for task in tasks),
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
        # The CPU's allocator has no exception of its own.
        if "can't allocate memory" in str(error) or "not enough memory" in str(error):
            raise _OutOfMemoryError from error
        raise

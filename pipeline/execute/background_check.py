"""Stylizing while the stored frames are checked in the background; damaged frames are stylized again at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from pipeline.errors import RenderDirectoryError
from pipeline.plan.edits import Edit, Run, runs
from pipeline.plan.segments import Segments
from pipeline.runtime.progress import ForwardingReporter
from pipeline.store.frame_check import FrameCheck
from pipeline.store.last_check import remember_check

if TYPE_CHECKING:
    from pipeline.execute.session import Session
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter
    from pipeline.store.directory import RenderDirectory
    from pipeline.types import Chain, FrameStats, Phase

WAIT_FOR_CHECK_S: Final = 0.5
"""How long the first frame waits for the check, counted from its beginning: small renders are checked by then, and for
large ones, where loading the stylers takes longer anyway, stylizing and checking go on beside each other."""
_POLL_S: Final = 0.2


def stylize_checked(
    session: Session,
    reporter: Reporter,
    cancellation: Cancellation,
    *,
    checkpoint: Callable[[], None],
    exported: Collection[str] = (),
    edits: Sequence[Edit] = (),
) -> None:
    """Stylize until every frame is stored and the checksums of all that were stored before are right.

    Where a chain continues is decided by a quick check of its stored files; then every byte of them is checked in the
    background. Where one is damaged, its run is stylized again from there, with every segment that depends on it: up to
    the next frame that `edits` pin, or the end of the chain. The frames of styles in `exported` were removed and are
    not needed. `checkpoint` raises Interrupted if an end was requested while only the check is going on. Raises what
    `Session.stylize` raises, and RenderDirectoryError if the disk refuses to read.
    """
    directory = session.directory
    chains = [chain for chain in directory.plan.chains if chain.style not in exported]
    starts = {run: directory.done(run.chain, run.frames) for chain in chains for run in runs(edits, chain)}
    checked = dict(starts)
    repaired: dict[Run, int] = {}
    with FrameCheck(directory, checked) as check:
        wait_until = time.monotonic() + WAIT_FOR_CHECK_S

        def found_more_than(known: Mapping[Run, int]) -> bool:
            """Whether the check has found more damage than is known."""
            check.wait(wait_until - time.monotonic())
            return check.damaged() != known

        while True:
            damaged = check.damaged()
            for run, index in damaged.items():
                if index < repaired.get(run, index + 1):
                    repaired[run] = starts[run] = index
            _restart_dependents(directory, starts)
            if current := _first_unfinished(starts):
                until_damage = cancellation.or_when(partial(found_more_than, damaged))
                next_frames = {chain.id: chain.stop for chain in directory.plan.chains}
                next_frames |= {id_: starts[run] for id_, run in current.items()}
                try:
                    session.stylize(next_frames, _ProgressTracker(reporter, starts, current), until_damage, current)
                except RenderDirectoryError:
                    check.wait()  # it may have come across a damaged frame before the check did
                    if not found_more_than(damaged):
                        raise
                continue
            with reporter.stage("checking the stored frames", check.total) as advance:
                while not check.wait(_POLL_S) and not found_more_than(damaged):
                    checkpoint()
                    advance(check.total - check.left)
            if check.wait(0) and not found_more_than(damaged):
                if check.total:
                    remember_check(directory, check.total, len(repaired), repaired=bool(repaired))
                return


def _first_unfinished(starts: Mapping[Run, int]) -> dict[str, Run]:
    """The first run of every chain that is not complete, by id of the chain."""
    return {run.chain.id: run for run in reversed(list(starts)) if starts[run] < run.stop}


def _restart_dependents(directory: RenderDirectory, starts: dict[Run, int]) -> None:
    """Restart every segment from its first frame if one of its keyframes is going to be stylized (again)."""
    segments = Segments(directory.plan.chains)
    lost: set[str] = set()
    for run, start in starts.items():
        lost.update(segments.dependents(run.chain, start).keys() - {run.chain.id})
    for run in starts:
        if run.chain.id in lost:
            starts[run] = run.start


class _ProgressTracker(ForwardingReporter):
    """A reporter that also keeps the next frame of the current run of each chain in `starts`."""

    def __init__(self, reporter: Reporter, starts: dict[Run, int], current: Mapping[str, Run]) -> None:
        super().__init__(reporter)
        self._starts = starts
        self._current = current

    def frame_stored(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        """See `Reporter`."""
        run = self._current[chain.id]
        self._starts[run] = min(index + chain.interval, run.stop)
        super().frame_stored(chain, index, phase, stats, seconds)

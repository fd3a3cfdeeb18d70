"""Stylizing while the stored frames are checked in the background; damaged frames are stylized again at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from pipeline.errors import RenderDirectoryError
from pipeline.plan.segments import Segments
from pipeline.runtime.progress import ForwardingReporter
from pipeline.store.frame_check import FrameCheck

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
) -> None:
    """Stylize until every frame is stored and the checksums of all that were stored before are right.

    Where a chain continues is decided by a quick check of its stored files; then every byte of them is checked in the
    background. Where one is damaged, its chain is stylized again from there, with every segment that depends on it. The
    frames of styles in `exported` were removed and are not needed. `checkpoint` raises Interrupted if an end was
    requested while only the check is going on. Raises what `Session.stylize` raises, and RenderDirectoryError if the
    disk refuses to read.
    """
    directory = session.directory
    plan = directory.plan
    starts = {chain.id: chain.stop if chain.style in exported else directory.done(chain) for chain in plan.chains}
    checked = {id_: start for id_, start in starts.items() if directory.chain(id_).style not in exported}
    repaired: dict[str, int] = {}
    with FrameCheck(directory, checked) as check:
        wait_until = time.monotonic() + WAIT_FOR_CHECK_S

        def found_more_than(known: Mapping[str, int]) -> bool:
            """Whether the check has found more damage than is known."""
            check.wait(wait_until - time.monotonic())
            return check.damaged() != known

        while True:
            damaged = check.damaged()
            for chain_id, index in damaged.items():
                if index < repaired.get(chain_id, index + 1):
                    repaired[chain_id] = starts[chain_id] = index
            _restart_dependents(directory, starts)
            if any(starts[chain.id] < chain.stop for chain in plan.chains):
                until_damage = cancellation.or_when(partial(found_more_than, damaged))
                try:
                    session.stylize(dict(starts), _ProgressTracker(reporter, starts), until_damage)
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
                return


def _restart_dependents(directory: RenderDirectory, starts: dict[str, int]) -> None:
    """Restart every segment from its first frame if one of its keyframes is going to be stylized (again)."""
    segments = Segments(directory.plan.chains)
    for chain in directory.plan.chains:
        for dependent, first in segments.dependents(chain, starts[chain.id]).items():
            starts[dependent] = min(starts[dependent], first)


class _ProgressTracker(ForwardingReporter):
    """A reporter that also keeps the next frame of each chain in `starts`."""

    def __init__(self, reporter: Reporter, starts: dict[str, int]) -> None:
        super().__init__(reporter)
        self._starts = starts

    def frame_stored(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        """See `Reporter`."""
        self._starts[chain.id] = min(index + chain.interval, chain.stop)
        super().frame_stored(chain, index, phase, stats, seconds)

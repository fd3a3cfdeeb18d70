"""Painting while the stored frames are still being checked: damage that is found on the way is healed on the way."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from pipeline.errors import RenderDirectoryError
from pipeline.plan.segments import Segments
from pipeline.runtime.progress import Advance
from pipeline.store.directory import RenderDirectory
from pipeline.store.frame_check import FrameCheck
from pipeline.types import Chain, FrameStats, Phase

if TYPE_CHECKING:
    from pipeline.runtime.progress import Reporter

PATIENCE_S: Final = 0.5
"""How long the first frame waits for the check, counted from its beginning: small renders are checked by then, and for
large ones, where making the stylers ready takes longer anyway, painting and checking go on beside each other."""
_LOOK_S: Final = 0.2

Paint = Callable[[Mapping[str, int], "Reporter", Callable[[], bool]], None]
"""Paints every chain from where `starts` says, tells the reporter, and ends early when the function says so."""


def stylize_checked(
    directory: RenderDirectory,
    reporter: Reporter,
    paint: Paint,
    *,
    finished: Collection[str] = (),
    before_look: Callable[[], None] = lambda: None,
) -> None:
    """Paint until every frame is stored and the checksums of all that were stored before are right.

    Where a chain continues is decided by a glance at its frames; then every byte of them is checked in the background.
    Where one is damaged, its chain is painted again from there, and so is every segment that starts from or heads for
    a keyframe that is painted again. Styles in `finished` have no frames and need none. `before_look` may raise while
    we only wait. Raises what `paint` raises, and RenderDirectoryError if the disk refuses to read.
    """
    plan = directory.plan
    starts = {chain.id: chain.stop if chain.style in finished else directory.done(chain) for chain in plan.chains}
    checked = {id_: start for id_, start in starts.items() if directory.chain(id_).style not in finished}
    healed: dict[str, int] = {}
    with FrameCheck(directory, checked) as check:
        patient_until = time.monotonic() + PATIENCE_S

        def news(known: Mapping[str, int]) -> bool:
            """Whether the check has found more damage than this."""
            check.wait(patient_until - time.monotonic())
            return check.damaged() != known

        while True:
            damaged = check.damaged()
            for chain_id, index in damaged.items():
                if index < healed.get(chain_id, index + 1):
                    healed[chain_id] = starts[chain_id] = index
            _begin_segments_anew(directory, starts)
            if any(starts[chain.id] < chain.stop for chain in plan.chains):
                try:
                    paint(dict(starts), _Follower(reporter, starts), partial(news, damaged))
                except RenderDirectoryError:
                    check.wait()  # it may have come across a damaged frame before the check did
                    if not news(damaged):
                        raise
                continue
            with reporter.stage("checking the stored frames", check.total) as advance:
                while not check.wait(_LOOK_S) and not news(damaged):
                    before_look()
                    advance(check.total - check.left)
            if check.wait(0) and not news(damaged):
                return


def _begin_segments_anew(directory: RenderDirectory, starts: dict[str, int]) -> None:
    """Segments begin anew where one of their keyframes is going to be stylized (again)."""
    segments = Segments(directory.plan.chains)
    for chain in directory.plan.chains:
        for dependent, first in segments.dependents(chain, starts[chain.id]).items():
            starts[dependent] = min(starts[dependent], first)


class _Follower:
    """A reporter that also notes how far each chain is."""

    def __init__(self, reporter: Reporter, starts: dict[str, int]) -> None:
        self._reporter = reporter
        self._starts = starts

    def stage(self, name: str, total: int | None) -> contextlib.AbstractContextManager[Advance]:
        """See `Reporter`."""
        return self._reporter.stage(name, total)

    def stylizing(self, left: Mapping[Phase, int], done: int) -> contextlib.AbstractContextManager[None]:
        """See `Reporter`."""
        return self._reporter.stylizing(left, done)

    def frame_stored(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        """See `Reporter`."""
        self._starts[chain.id] = min(index + chain.interval, chain.stop)
        self._reporter.frame_stored(chain, index, phase, stats, seconds)

    def note(self, message: str) -> None:
        """See `Reporter`."""
        self._reporter.note(message)

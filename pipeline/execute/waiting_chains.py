"""The chains that have not begun: which one is next, and which segments their keyframes let begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.plan.segments import Segments
from pipeline.types import Chain


class WaitingChains:
    """Chains in the order of the plan. A segment can begin as soon as the keyframes that it reads are stored."""

    def __init__(
        self, chains: Sequence[Chain], starts: Mapping[str, int], stops: Mapping[str, int] | None = None
    ) -> None:
        """All chains of a plan, of which those wait that `starts` gives a frame by id: the first that is not stored.

        `stops` by id: chains that are to end before their planned stop.
        """
        ends = {chain.id: chain.stop for chain in chains} | dict(stops or {})
        self._segments = Segments(chains)
        self._next = {chain.id: starts.get(chain.id, chain.stop) for chain in chains}
        self._waiting = [
            replace(chain, stop=ends[chain.id]) for chain in chains if self._next[chain.id] < ends[chain.id]
        ]

    def take(self) -> Chain | None:
        """The first chain that can begin, which then no longer waits; None if there is none."""
        for position, chain in enumerate(self._waiting):
            keyframes = self._segments.keyframes(chain)
            if keyframes is None or self._segments.last_keyframe(chain) < self._next[keyframes.id]:
                return self._waiting.pop(position)
        return None

    def stored(self, chain: Chain, index: int) -> None:
        """Frame `index` of a chain is stored, as are all before it."""
        self._next[chain.id] = index + chain.interval

    def failed(self, chain: Chain) -> list[Chain]:
        """A chain will store no more frames: the segments that read one of its missing keyframes no longer wait."""
        lost = [
            segment
            for segment in self._waiting
            if segment.keyframe_chain == chain.id and self._segments.last_keyframe(segment) >= self._next[chain.id]
        ]
        self._waiting = [segment for segment in self._waiting if segment not in lost]
        return lost

    def __bool__(self) -> bool:
        return bool(self._waiting)

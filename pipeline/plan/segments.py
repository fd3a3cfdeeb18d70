"""How the chains of a plan depend on each other: keyframes, and the segments that start from and approach them.

A long shot may be split into segments that are stylized side by side. A chain of *keyframes*, every so many frames of
the shot, goes ahead of them. Each segment starts with its keyframe as it is and approaches the next one towards its
end, so that the end of a segment matches the start of the next one; it can begin as soon as both are stored. These are
the only frames that a chain reads from another chain; all knowledge of them is in this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.types import Chain, Shot

BUSY_CHAINS: Final = 16
"""Chains that keep an accelerator busy: two batches of 8, one of which is prepared while the other is stylized."""
APPROACH_FRAMES: Final = 16
"""A segment approaches the keyframe behind it over so many frames, and a loop its first frame over no more."""
SHORTEST_SEGMENT: Final = 24
"""Frames. Most of what is shorter would be approach."""
LONGEST_SEGMENT: Final = 100
"""Frames. Longer ones would leave more chains for the end, when there are too few to fill a batch."""


def segment_length(shot: Shot, wanted: int, hold: int) -> int:
    """Length in frames of the segments that a shot is split into, all about equal; 0 if it stays whole.

    `wanted` is the length asked for (0: never split). The result is a multiple of `hold`, so that repeated frames do
    not reach across segments.
    """
    count = shot.stop - shot.start
    parts = round(count / wanted) if wanted else 1
    if parts < 2:
        return 0
    length = max(2, -(-count // parts))
    length = -(-length // hold) * hold
    return length if length < count else 0


def automatic_length(frames: int, styles: int) -> int:
    """Length of segments for an accelerator that renders so many frames in so many styles: `segment_frames` of "auto".

    About `BUSY_CHAINS` chains can then be stylized side by side, and enough of each style for a batch of its own. The
    length changes pixels, so it depends on nothing that differs from one accelerator to another.
    """
    segments = max(BUSY_CHAINS / styles, BUSY_CHAINS / 2)
    return round(min(LONGEST_SEGMENT, max(SHORTEST_SEGMENT, frames / segments)))


class Segments:
    """The dependencies among the chains of a plan."""

    def __init__(self, chains: Sequence[Chain]) -> None:
        self._by_id: Final[Mapping[str, Chain]] = {chain.id: chain for chain in chains}
        self._of_keyframes: Final[dict[str, list[Chain]]] = {}
        for chain in chains:
            if chain.keyframe_chain:
                self._of_keyframes.setdefault(chain.keyframe_chain, []).append(chain)

    def keyframes(self, chain: Chain) -> Chain | None:
        """The chain of keyframes that a segment reads; None if `chain` reads none."""
        return self._by_id[chain.keyframe_chain] if chain.keyframe_chain else None

    def next_keyframe(self, chain: Chain) -> int | None:
        """Index of the keyframe that a segment approaches, the one behind its last frame; None if there is none.

        `chain` may be a part of the planned one, with an earlier stop.
        """
        stop, keyframes = self._by_id[chain.id].stop, self.keyframes(chain)
        return stop if keyframes is not None and stop in keyframes.frames else None

    def loop_start(self, chain: Chain) -> int | None:
        """Index of the frame that a chain leads back to at its end if the whole clip, of one shot, is a loop.

        None if the chain is not the last one of a shot, or reads nothing of the shot's beginning. As in
        `next_keyframe`, a part of the chain is taken for what was planned.
        """
        own = self._by_id[chain.id]
        others = [it for it in self._by_id.values() if it.style == own.style and it.in_output and it.id != own.id]
        first = min((own.start, *(it.start for it in others)))
        whole = all(it.shot == own.shot and it.stop <= own.stop for it in others) and chain.stop == own.stop
        read = self.keyframes(own) or own
        return first if whole and own.in_output and first in read.frames else None

    def loop_frames(self, chain: Chain) -> int:
        """How many frames at the end of a chain lead back to the frame `loop_start`; 0 without one."""
        first = self.loop_start(chain)
        return 0 if first is None else min(APPROACH_FRAMES, (chain.stop - first) // 2)

    def last_keyframe(self, segment: Chain) -> int:
        """Index of the last keyframe that a segment reads, which must be stored before it can begin."""
        following = self.next_keyframe(segment)
        return segment.start if following is None else following

    def dependents(self, chain: Chain, index: int) -> dict[str, int]:
        """Which stored frames become invalid if frame `index` of `chain` is stylized again: by chain id, the first one.

        That is the rest of the chain itself, and for a chain of keyframes every segment that starts from or approaches
        a keyframe that is stylized again. Empty if the chain has no frame `index`.
        """
        if index not in chain.frames:
            return {}
        first = {chain.id: index}
        for segment in self._of_keyframes.get(chain.id, ()):
            if self.last_keyframe(segment) >= index:
                first[segment.id] = segment.start
        return first

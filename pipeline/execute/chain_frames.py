"""The input of a chain, frame by frame: its content, and the correspondences with the frames that it starts from.

Everything here depends on the content alone, not on stylized frames, so it can run ahead of the stylizing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from pipeline.motion.recent_change import RECENT_FRAMES, RecentChanges
from pipeline.motion.warm_start import COLD_BELOW
from pipeline.types import Chain, Frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.settings import MotionSettings
    from pipeline.motion.correspondence import Correspondence
    from pipeline.motion.methods import FlowEstimator
    from pipeline.types import Motion

ReadContent = Callable[[int, int], Generator[Frame]]
"""Content frames [start, stop) in order, as they are stylized: resized, and with even exposure."""

APPROACH_FRAMES: Final = 16
"""A segment approaches the keyframe behind it over so many frames."""
GAP_FRACTION: Final = 0.01
"""Long-term frames are compared only where the nearest one leaves more than this fraction of the frame open."""
MIN_CONFIDENCE: Final = 0.5
"""Where the confidence of a correspondence is lower, the pixel counts as open."""


@dataclass(frozen=True, slots=True)
class ChainFrame:
    """A frame of a chain before it is stylized.

    `content` is uint8 (H, W, 3) sRGB. `correspondences` hold, by index of a previous frame, where its content moved
    (empty: the frame begins cold). `repeats` is the index of a stored frame that is shown again instead of stylizing,
    or None: the previous frame, or for the first frame of a segment its keyframe. `to_next_keyframe` is the
    correspondence with the content of keyframe `next_keyframe`, which the frame approaches by `approach_fraction` in
    [0, 1]. `recent_change` is float32 (h, w) of a small size in [0, 1], see `RecentChanges`; None: nothing is known.
    `values` are the settings that curves change, at this frame, by dotted key; `settings_change` in [0, 1] is how much
    they changed lately.
    """

    index: int
    content: NDArray[np.uint8]
    correspondences: Mapping[int, Correspondence] = field(default_factory=dict)
    repeats: int | None = None
    next_keyframe: int | None = None
    to_next_keyframe: Correspondence | None = None
    approach_fraction: float = 0.0
    recent_change: NDArray[np.float32] | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    settings_change: float = 0.0

    @property
    def known_cold(self) -> bool:
        """Whether the content alone says that the frame begins cold: it starts from none, or too little of one.

        Exactly what `warm_start` decides. Of frames that start from several it is not known before they are warped.
        """
        if self.repeats is not None or len(self.correspondences) > 1:
            return False
        return all(found.confidence.mean() < COLD_BELOW for found in self.correspondences.values())


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """Which previous frames a frame starts from, and how motion is estimated.

    `long_term`: distances in frames, beside the previous one. `hold_origin`: the frame from which `motion.hold` counts.
    `next_keyframe`: the keyframe that the chain approaches, or None. `estimator`: what estimates the flow. With
    `every_frame_cold` no frame starts from another one.
    """

    motion: MotionSettings
    long_term: Sequence[int] = ()
    hold_origin: int = 0
    next_keyframe: int | None = None
    estimator: FlowEstimator | None = None
    every_frame_cold: bool = False


def chain_frames(chain: Chain, start: int, read: ReadContent, settings: ChainSettings) -> Generator[ChainFrame]:
    """The frames of a chain from `start` on, each with its correspondences to the previous ones that it starts from.

    Content before `start` is read again, as far back as frames start from, so that a chain that is continued gets
    exactly what one that never stopped would get.
    """
    motion = settings.motion
    hold = chain.interval if chain.interval > 1 else motion.hold
    first = chain.frames.start
    distances = _distances(chain, hold, settings.long_term)
    contents: dict[int, NDArray[np.uint8]] = {}
    changes = RecentChanges()
    keyframe = _keyframe_content(read, settings)
    for frame in _read_chain(chain, max(first, start - max(distances[-1], RECENT_FRAMES * hold)), read):
        index, content = frame.index, frame.rgb
        stylized = chain.interval > 1 or (index - settings.hold_origin) % hold == 0 or index == first
        if stylized:
            contents[index] = content
        for old in [old for old in contents if old < index - distances[-1]]:
            del contents[old]
        if not stylized:
            if index >= start:
                yield ChainFrame(index, content, repeats=index - 1)
        elif settings.every_frame_cold:
            if index >= start:
                yield ChainFrame(index, content)
        elif index < start:
            changes.add(content, _motion_from(index - hold, contents, index, settings))
        else:
            nearest = _motion_from(index - hold, contents, index, settings)
            recent_change = changes.add(content, nearest)
            if index == first and chain.keyframe_chain:
                yield ChainFrame(index, content, repeats=index)
                continue
            correspondences = _correspondences(nearest, index, contents, distances, settings)
            found = ChainFrame(index, content, correspondences, recent_change=recent_change)
            yield _approaching(found, keyframe, settings)


def _distances(chain: Chain, hold: int, long_term: Sequence[int]) -> list[int]:
    """How many frames back the stylized frames lie that a frame may start from, the nearest first."""
    wanted = long_term if chain.interval == 1 else ()
    return sorted({hold, *(-(-distance // hold) * hold for distance in wanted)})


def _correspondences(
    motion: Motion | None,
    index: int,
    contents: Mapping[int, NDArray[np.uint8]],
    distances: Sequence[int],
    settings: ChainSettings,
) -> dict[int, Correspondence]:
    """Correspondences with previous content; `motion` is that from the nearest one, None if there is none.

    Long-term ones only if the nearest one leaves gaps (`_leaves_gaps`).
    """
    from pipeline.motion.correspondence import find_correspondence

    found: dict[int, Correspondence] = {}
    if motion is not None:
        found[motion.from_index] = find_correspondence(contents[motion.from_index], contents[index], motion)
    for distance in distances[1:]:
        other = index - distance
        if other in contents and (not found or _leaves_gaps(next(iter(found.values())))):
            found[other] = _compare(other, contents[other], index, contents[index], settings)
    return found


def _motion_from(
    other: int, contents: Mapping[int, NDArray[np.uint8]], index: int, settings: ChainSettings
) -> Motion | None:
    """The motion from content `other` to content `index`; None if there is no such content."""
    from pipeline.motion.estimate import motion_between

    if other not in contents:
        return None
    return motion_between(
        contents[other],
        contents[index],
        settings.motion,
        from_index=other,
        to_index=index,
        estimator=settings.estimator,
    )


def _approaching(frame: ChainFrame, keyframe: NDArray[np.uint8] | None, settings: ChainSettings) -> ChainFrame:
    """The frame with its correspondence to the next keyframe, if that is near and there is a frame to start from."""
    target = settings.next_keyframe
    if keyframe is None or target is None or not frame.correspondences or target - frame.index > APPROACH_FRAMES:
        return frame
    return replace(
        frame,
        next_keyframe=target,
        to_next_keyframe=_compare(target, keyframe, frame.index, frame.content, settings),
        approach_fraction=1 - (target - frame.index) / (APPROACH_FRAMES + 1),
    )


def _compare(
    other: int, other_content: NDArray[np.uint8], index: int, content: NDArray[np.uint8], settings: ChainSettings
) -> Correspondence:
    """The correspondence of frame `index` with frame `other`; both contents uint8 (H, W, 3) sRGB."""
    from pipeline.motion.correspondence import find_correspondence

    motion = _motion_from(other, {other: other_content, index: content}, index, settings)
    assert motion is not None
    return find_correspondence(other_content, content, motion)


def _leaves_gaps(nearest: Correspondence) -> bool:
    """Whether the confidence is below MIN_CONFIDENCE in more than GAP_FRACTION of the frame."""
    return float((nearest.confidence < MIN_CONFIDENCE).mean()) > GAP_FRACTION


def _keyframe_content(read: ReadContent, settings: ChainSettings) -> NDArray[np.uint8] | None:
    """Content of the keyframe that the chain approaches; None if there is none, or if every frame is cold."""
    if settings.next_keyframe is None or settings.every_frame_cold:
        return None
    with closing(read(settings.next_keyframe, settings.next_keyframe + 1)) as frames:
        return next(frames).rgb


def _read_chain(chain: Chain, start: int, read: ReadContent) -> Iterator[Frame]:
    """The content of a chain from `start` on; what lies between keyframes is not decoded where seeking is possible."""
    if chain.interval == 1:
        with closing(read(start, chain.stop)) as frames:
            yield from frames
        return
    for index in chain.frames:
        if index >= start:
            with closing(read(index, index + 1)) as frames:
                yield next(frames)

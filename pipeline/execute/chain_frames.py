"""The input of a chain, frame by frame: its content, and the correspondences with the frames that it starts from.

Everything here depends on the content alone, not on stylized frames, so it can run ahead of the stylizing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from pipeline.motion.recent_change import RECENT_FRAMES, RecentChanges
from pipeline.motion.region_change import region_change, region_maps
from pipeline.motion.warm_start import COLD_BELOW
from pipeline.plan.segments import APPROACH_FRAMES
from pipeline.types import Chain, Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.settings import MotionSettings
    from pipeline.motion.correspondence import Correspondence
    from pipeline.motion.methods import FlowEstimator
    from pipeline.types import Masks, Motion

ReadContent = Callable[[int, int], Generator[Frame]]
"""Content frames [start, stop) in order, as they are stylized: resized, and with even exposure."""

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
    `regions` are the maps of the style's regions, see `region_maps`; None: it has none.
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
    regions: NDArray[np.float32] | None = None
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
    `next_keyframe`: the keyframe that the chain approaches over `approach_frames`, or None; it stands at
    `keyframe_position`, by default at its own index. `estimator`: what estimates the flow. `masks` are those of the
    style's regions (None: it has none).
    """

    motion: MotionSettings
    long_term: Sequence[int] = ()
    hold_origin: int = 0
    next_keyframe: int | None = None
    approach_frames: int = APPROACH_FRAMES
    keyframe_position: int | None = None
    estimator: FlowEstimator | None = None
    masks: Masks | None = None


class _Content(NamedTuple):
    """A content frame, uint8 (H, W, 3) sRGB, and the maps of its regions (None: the style has none)."""

    rgb: NDArray[np.uint8]
    regions: NDArray[np.float32] | None


class _Moved(NamedTuple):
    """The motion between two contents, and where pixels are in another region than before, float32 (H, W)."""

    motion: Motion
    region_change: NDArray[np.float32] | None


def chain_frames(chain: Chain, start: int, read: ReadContent, settings: ChainSettings) -> Generator[ChainFrame]:
    """The frames of a chain from `start` on, each with its correspondences to the previous ones that it starts from.

    Content before `start` is read again, as far back as frames start from, so that a chain that is continued gets
    exactly what one that never stopped would get.
    """
    motion = settings.motion
    hold = chain.interval if chain.interval > 1 else motion.hold
    first = chain.frames.start
    distances = _distances(chain, hold, settings.long_term)
    contents: dict[int, _Content] = {}
    changes = RecentChanges()
    keyframe = _keyframe_content(read, settings)
    for frame in _read_chain(chain, max(first, start - max(distances[-1], RECENT_FRAMES * hold)), read):
        index, rgb = frame.index, frame.rgb
        stylized = chain.interval > 1 or (index - settings.hold_origin) % hold == 0 or index == first
        content = _content(index, rgb, settings if stylized else None)
        if stylized:
            contents[index] = content
        for old in [old for old in contents if old < index - distances[-1]]:
            del contents[old]
        if not stylized:
            if index >= start:
                yield ChainFrame(index, rgb, repeats=index - 1)
        elif motion.every_frame_cold:
            if index >= start:
                yield ChainFrame(index, rgb, regions=content.regions)
        elif index < start:
            nearest = _motion_from(index - hold, contents, index, settings)
            changes.add(rgb, nearest and nearest.motion)
        else:
            nearest = _motion_from(index - hold, contents, index, settings)
            recent_change = changes.add(rgb, nearest and nearest.motion)
            if index == first and chain.keyframe_chain:
                yield ChainFrame(index, rgb, repeats=index)
                continue
            correspondences = _correspondences(nearest, index, contents, distances, settings)
            found = ChainFrame(index, rgb, correspondences, recent_change=recent_change, regions=content.regions)
            yield _approaching(found, keyframe, settings)


def _content(index: int, rgb: NDArray[np.uint8], settings: ChainSettings | None) -> _Content:
    """A content with the maps of its regions; without settings none are needed."""
    masks = None if settings is None else settings.masks
    return _Content(rgb, None if masks is None else region_maps(masks(index, rgb)))


def _distances(chain: Chain, hold: int, long_term: Sequence[int]) -> list[int]:
    """How many frames back the stylized frames lie that a frame may start from, the nearest first."""
    wanted = long_term if chain.interval == 1 else ()
    return sorted({hold, *(-(-distance // hold) * hold for distance in wanted)})


def _correspondences(
    moved: _Moved | None,
    index: int,
    contents: Mapping[int, _Content],
    distances: Sequence[int],
    settings: ChainSettings,
) -> dict[int, Correspondence]:
    """Correspondences with previous content; `moved` is the motion from the nearest one, None if there is none.

    Long-term ones only if the nearest one leaves gaps (`_leaves_gaps`).
    """
    found: dict[int, Correspondence] = {}
    if moved is not None:
        other = moved.motion.from_index
        found[other] = _correspondence(contents[other], contents[index], moved)
    for distance in distances[1:]:
        other = index - distance
        if other in contents and (not found or _leaves_gaps(next(iter(found.values())))):
            found[other] = _compare(other, contents[other], index, contents[index], settings)
    return found


def _correspondence(other: _Content, content: _Content, moved: _Moved) -> Correspondence:
    """The correspondence of two contents; what is in another region than before has changed."""
    from pipeline.motion.correspondence import find_correspondence

    found = find_correspondence(other.rgb, content.rgb, moved.motion)
    if moved.region_change is None:
        return found
    return replace(found, change=np.maximum(found.change, moved.region_change))


def _motion_from(other: int, contents: Mapping[int, _Content], index: int, settings: ChainSettings) -> _Moved | None:
    """The motion from content `other` to content `index`; None if there is no such content.

    Where it leads to another region there is no confidence in it.
    """
    from pipeline.motion.estimate import motion_between

    if other not in contents:
        return None
    before, now = contents[other], contents[index]
    motion = motion_between(
        before.rgb, now.rgb, settings.motion, from_index=other, to_index=index, estimator=settings.estimator
    )
    if before.regions is None or now.regions is None:
        return _Moved(motion, None)
    changed = region_change(before.regions, now.regions, motion.backward_flow)
    return _Moved(replace(motion, confidence=motion.confidence * (1 - changed)), changed)


def _approaching(frame: ChainFrame, keyframe: _Content | None, settings: ChainSettings) -> ChainFrame:
    """The frame with its correspondence to the next keyframe, if that is near and there is a frame to start from."""
    target, over = settings.next_keyframe, settings.approach_frames
    if keyframe is None or target is None or not frame.correspondences:
        return frame
    left = (target if settings.keyframe_position is None else settings.keyframe_position) - frame.index
    if left > over:
        return frame
    return replace(
        frame,
        next_keyframe=target,
        to_next_keyframe=_compare(target, keyframe, frame.index, _Content(frame.content, frame.regions), settings),
        approach_fraction=1 - left / (over + 1),
    )


def _compare(
    other: int, other_content: _Content, index: int, content: _Content, settings: ChainSettings
) -> Correspondence:
    """The correspondence of frame `index` with frame `other`."""
    moved = _motion_from(other, {other: other_content, index: content}, index, settings)
    assert moved is not None
    return _correspondence(other_content, content, moved)


def _leaves_gaps(nearest: Correspondence) -> bool:
    """Whether the confidence is below MIN_CONFIDENCE in more than GAP_FRACTION of the frame."""
    return float((nearest.confidence < MIN_CONFIDENCE).mean()) > GAP_FRACTION


def _keyframe_content(read: ReadContent, settings: ChainSettings) -> _Content | None:
    """Content of the keyframe that the chain approaches; None if there is none, or if every frame is cold."""
    if settings.next_keyframe is None or settings.motion.every_frame_cold:
        return None
    with closing(read(settings.next_keyframe, settings.next_keyframe + 1)) as frames:
        return _content(settings.next_keyframe, next(frames).rgb, settings)


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

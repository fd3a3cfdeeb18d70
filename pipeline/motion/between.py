"""In-betweens of two neighboring frames: both are moved to a time between them, each shown where it sees the scene.

Splatting the flow of both frames with weights, as in softmax splatting (Niklaus and Liu 2020, arXiv:2003.05534,
eq. 14), gives the motion at the pixels of the in-between. The frames are then warped backward along it, with the
warp that keeps their sharpness. We depart from the paper in splatting flow instead of pixels, because splatted pixels
are soft. Where the frames around the two say how the motion changes, the paths are parabolas instead of straight lines.
The flow is that of the content; any two pictures of the same frames can be moved by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.media.image.depth import rounded
from pipeline.motion.consistency import positions
from pipeline.motion.estimate import estimate_both_ways
from pipeline.motion.exposure import at_exposure_of
from pipeline.motion.methods import METHODS, FlowEstimator
from pipeline.motion.static import is_static
from pipeline.motion.warp import warp

if TYPE_CHECKING:
    from pipeline.config.settings import MotionSettings
    from pipeline.types import Motion

Plane = NDArray[np.float32]
Pixel = TypeVar("Pixel", np.uint8, np.uint16)

LIKENESS: Final = 12.0
"""A pixel that differs by d in [0, 1] from where its flow leads counts exp(-LIKENESS d) times as much."""
LEAST_CONFIDENCE: Final = 0.02
"""Added to the confidence of a flow: what only one frame sees moves as its neighborhood in that frame does."""
LEAST_WEIGHT: Final = 0.02
"""Where less than this has been splatted, no frame sees the place: its motion is filled in from around it."""
ONE_SIDED: Final = 4.0
"""A frame that has less than 1 / ONE_SIDED of the splatted weight at a pixel fades out there."""
MEDIAN_PX: Final = 5
RELIABLE_FRACTION: Final = 0.3
"""Mean confidence below which two frames do not belong together and are crossfaded."""


@dataclass(frozen=True, slots=True)
class FlowPair:
    """How the content moves between a frame, a, and the next one, b.

    `forward` leads from a to b and `backward` from b to a, float32 (H, W, 2) px, (x, y). `weight_a` and `weight_b`,
    float32 (H, W) above 0, say how far the flow of a pixel can be relied on. `forward` None: the frames are crossfaded,
    because nothing moves or because they do not correspond. `bend_a` and `bend_b` are the accelerations at both frames,
    of any size, as `acceleration_at` returns them; None: the motion there is even.
    """

    forward: Plane | None = None
    backward: Plane | None = None
    weight_a: Plane | None = None
    weight_b: Plane | None = None
    bend_a: Plane | None = None
    bend_b: Plane | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take."""
        planes = (self.forward, self.backward, self.weight_a, self.weight_b, self.bend_a, self.bend_b)
        return sum(0 if it is None else it.nbytes for it in planes)


def find_flows(
    a: NDArray[np.uint8], b: NDArray[np.uint8], settings: MotionSettings, estimator: FlowEstimator | None = None
) -> FlowPair:
    """The flows between two content frames, uint8 (H, W, 3) sRGB of one size, by the method of the settings.

    `estimator` is what `load_estimator` returned for these settings; None: dense inverse search, preset `medium`.
    """
    method = METHODS[settings.method]
    if method.load is None:
        return FlowPair()
    a = at_exposure_of(b, a)
    if method.skip_static and is_static(a, b):
        return FlowPair()
    back, forth = estimate_both_ways(a, b, from_index=0, to_index=1, estimator=estimator)
    if min(back.confidence.mean(), forth.confidence.mean()) < RELIABLE_FRACTION:
        return FlowPair()
    forward, backward = forth.backward_flow, back.backward_flow
    if not forward.any() and not backward.any():
        return FlowPair()
    return FlowPair(
        forward,
        backward,
        _weight(a, b, forward, forth.confidence),
        _weight(b, a, backward, back.confidence),
    )


def between(a: NDArray[Pixel], b: NDArray[Pixel], flows: FlowPair, t: float) -> NDArray[Pixel]:
    """The in-between at the part `t` in (0, 1) of the way from a to b, both uint8 or uint16 (H, W, 3).

    What both frames see is a mixture of both, by `t`; what only one of them sees comes from that one; where neither
    sees anything the motion of the surroundings moves both. Raises ValueError if the sizes do not fit.
    """
    if a.shape != b.shape or (flows.forward is not None and flows.forward.shape[:2] != a.shape[:2]):
        raise ValueError(f"pictures {a.shape} and {b.shape} do not belong together, or not to this flow")
    first, second = a.astype(np.float32), b.astype(np.float32)
    fraction: Plane | float = 1 - t
    if flows.forward is not None:
        motion, fraction = _motion_at(flows, t)
        motion, off = motion[..., :2], motion[..., 2:] if motion.shape[2] > 2 else np.float32(0)
        first, second = warp(first, motion * np.float32(-t) - off), warp(second, motion * np.float32(1 - t) - off)
        fraction = fraction[..., np.newaxis]
    return rounded(second + fraction * (first - second), a.dtype)


def faded(image: NDArray[Pixel], other: NDArray[Pixel], motion: Motion, weight: float) -> NDArray[Pixel]:
    """A picture that has turned into another one by `weight` in [0, 1], both uint8 or uint16 (H, W, 3).

    `motion` is that from the other one to this one. Where it has no confidence, the other one is not moved.
    """
    there = other.astype(np.float32)
    there += motion.confidence[..., np.newaxis] * (warp(there, motion.backward_flow) - there)
    mixed = image + np.float32(weight) * (there - image)
    return rounded(mixed, image.dtype)


def _motion_at(flows: FlowPair, t: float) -> tuple[Plane, Plane]:
    """Of the picture at t: the motion of its pixels, (H, W, 2 or 4) px, and how much they show of a, (H, W).

    The motion is that from a to b, and where paths bend, how far each is from the straight one at t.
    """
    assert flows.forward is not None and flows.backward is not None
    assert flows.weight_a is not None and flows.weight_b is not None
    bent = flows.bend_a is not None or flows.bend_b is not None

    def landed(motion: Plane, part: float, bend: Plane | None, weight: Plane) -> tuple[Plane, Plane]:
        way = motion * np.float32(part)
        if bent:
            size = (motion.shape[1], motion.shape[0])
            off = np.zeros_like(motion) if bend is None else cv2.resize(bend, size) * np.float32(t * (t - 1) / 2)
            motion, way = np.concatenate([motion, off], axis=2), way + off
        return splat(motion, way, weight)

    from_a, seen_by_a = landed(flows.forward, t, flows.bend_a, flows.weight_a)
    from_b, seen_by_b = landed(-flows.backward, t - 1, flows.bend_b, flows.weight_b)
    motion = _filled(from_a + from_b, seen_by_a + seen_by_b)
    for axis in (0, 1):  # single vectors between those of two surfaces would tear their edge
        motion[..., axis] = cv2.medianBlur(np.ascontiguousarray(motion[..., axis]), MEDIAN_PX)
    seen_by_a, seen_by_b = (np.asarray(cv2.GaussianBlur(it, (0, 0), 1.0), np.float32) for it in (seen_by_a, seen_by_b))
    both = seen_by_a + seen_by_b
    fraction = np.where(both > LEAST_WEIGHT, seen_by_a / np.maximum(both, LEAST_WEIGHT), 0.5)
    shown_a = (1 - t) * np.minimum(1, ONE_SIDED * fraction)
    shown_b = t * np.minimum(1, ONE_SIDED * (1 - fraction))
    return motion, np.asarray(shown_a / (shown_a + shown_b), np.float32)


def splat(values: Plane, flow: Plane, weights: Plane) -> tuple[Plane, Plane]:
    """Values (H, W, C), moved along `flow` (H, W, 2) px: their weighted sums (H, W, C), and those of weights (H, W).

    Each pixel is divided among the four around the place where it lands, bilinearly; what lands outside is lost.
    """
    height, width, channels = values.shape
    x, y = positions(flow)
    left, top = np.floor(x), np.floor(y)
    right_part, bottom_part = x - left, y - top
    sums = np.zeros((channels + 1, height * width))
    for down in (0, 1):
        for across in (0, 1):
            part = (right_part if across else 1 - right_part) * (bottom_part if down else 1 - bottom_part) * weights
            column, row = left + across, top + down
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            at, part = (row[inside].astype(np.int64) * width + column[inside].astype(np.int64)), part[inside]
            for channel in range(channels):
                sums[channel] += np.bincount(at, part * values[..., channel][inside], height * width)
            sums[channels] += np.bincount(at, part, height * width)
    shaped = sums.astype(np.float32).reshape(channels + 1, height, width)
    return np.ascontiguousarray(np.moveaxis(shaped[:channels], 0, -1)), shaped[channels]


def _weight(image: NDArray[np.uint8], other: NDArray[np.uint8], flow: Plane, confidence: Plane) -> Plane:
    """How far the flow of each pixel is relied on: by its confidence, and the likeness of where it leads."""
    moved = cv2.remap(other, *positions(flow), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    difference = cv2.absdiff(image, np.asarray(moved, np.uint8)).mean(axis=2, dtype=np.float32) / 255
    return np.asarray(np.exp(-LIKENESS * difference) * (confidence + LEAST_CONFIDENCE), np.float32)


def _filled(sums: Plane, weights: Plane) -> Plane:
    """Sums (H, W, C) divided by their weights (H, W); where there are none, the mean of the surroundings.

    The surroundings are the smallest block of 2, 4, 8, ... px with any weight, blocks being joined bilinearly.
    """
    known = weights > LEAST_WEIGHT
    kept = known.astype(np.float32)
    mean = np.where(known[..., np.newaxis], sums / np.maximum(weights, LEAST_WEIGHT)[..., np.newaxis], 0)
    mean = np.asarray(mean, np.float32)
    if known.all() or not known.any():
        return mean
    height, width = known.shape
    half = ((width + 1) // 2, (height + 1) // 2)
    smaller_sums, smaller_weights = (
        np.asarray(cv2.resize(it, half, interpolation=cv2.INTER_AREA), np.float32) for it in (mean, kept)
    )
    coarse = _filled(smaller_sums, smaller_weights)
    around = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    return np.where(known[..., np.newaxis], mean, around)

"""Where a warm frame starts: earlier stylized frames, moved to where what they show is now.

`correspondence` looks at the photos only, so it runs ahead on a thread; `warm_start` adds the stylized frames.
The temporal term's target and weight are made here too, from several earlier frames at once: with the weights
c_j in the sense of Ruder et al. 2016, section 4.3 (each pixel counts for the nearest earlier frame that still sees it),
sum_j c_j |x - w_j|^2 equals C |x - w|^2 + const with C = sum c_j and w = sum c_j w_j / C. So one target and one weight
per pixel carry the long-term term, whatever the number of frames. We depart from the paper where trust is neither 0 nor
1: a farther frame gets what it is trusted more than the most trusted nearer one, instead of more than the sum of them
all. So C is the best trust that any frame has, and one frame more never loosens the hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.motion.consistency import inside, positions
from pipeline.motion.warp import warp
from pipeline.types import WarmStart

if TYPE_CHECKING:
    from pipeline.types import Motion

Picture = NDArray[np.float32]
Places = NDArray[np.intp]

CHANGE_BLUR: Final = 0.004
"""Of the longer side: what is compared is the photo without its grain."""
CHANGE_RAMP: Final = (0.03, 0.09)
"""Mean absolute difference of the photos, of 1, where a pixel begins to show something else, and where it does."""
LOOK_SIDE_PX: Final = 480
"""Photos are compared at this size."""
BROAD: Final = 0.02
"""Of the longer side: strokes are finer, light is broader."""
BROAD_SIDE_PX: Final = 240
"""Broad light is looked at on pictures of this size."""
COLD_BELOW: Final = 0.2
"""Where less of a frame than this can be taken over, it starts cold."""
LEAST_FRACTION: Final = 0.05
"""An earlier frame that adds less trust than this anywhere is not looked at."""


@dataclass(frozen=True, slots=True)
class Correspondence:
    """What happened to the picture between another photo and this one.

    `change` is float32 (H, W) in [0, 1]: 1 where the photo shows something else, even along the motion, and where it
    shows what was beyond the edge of the other one.
    """

    motion: Motion
    change: NDArray[np.float32]

    @property
    def confidence(self) -> NDArray[np.float32]:
        """How far the other frame's paint may be taken over: float32 (H, W) in [0, 1]."""
        kept: NDArray[np.float32] = self.motion.confidence * (1 - self.change)
        return kept


@dataclass(frozen=True, slots=True)
class NextKeyframe:
    """A keyframe that a segment heads for: its paint, the passage from it, and how far it rules already, in [0, 1]."""

    painted: NDArray[np.uint8]
    correspondence: Correspondence
    share: float


def correspondence(earlier: NDArray[np.uint8], content: NDArray[np.uint8], motion: Motion) -> Correspondence:
    """Compare two photos, uint8 (H, W, 3) sRGB, along the motion from the other one."""
    height, width = content.shape[:2]
    scale = min(1.0, LOOK_SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    before, now, flow = (
        np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
        for picture in (earlier, content, motion.backward_flow)
    )
    flow *= np.array([size[0] / width, size[1] / height], np.float32)
    moved = cv2.remap(before, *positions(flow), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    difference = np.abs(now - moved).mean(axis=2) / np.float32(255)
    grainless = cv2.GaussianBlur(difference, (0, 0), max(0.8, CHANGE_BLUR * max(size)))
    low, high = CHANGE_RAMP
    change = np.clip((grainless - low) / (high - low), 0, 1)
    change = np.asarray(cv2.resize(change, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    change[~inside(motion.backward_flow)] = 1
    return Correspondence(motion, change)


def warm_start(
    content: NDArray[np.uint8],
    painted: Mapping[int, NDArray[np.uint8]],
    correspondences: Mapping[int, Correspondence],
    goal: NextKeyframe | None = None,
) -> WarmStart | None:
    """Start of a frame from earlier ones; None if too little of it was there before, so that it must start cold.

    `content` is the photo; `painted` and `correspondences` hold, by index of the earlier frame, its stored paint and
    what happened since; all uint8 (H, W, 3) sRGB of one size. Nearer frames count first. A `goal` is blended in by its
    share, so that a segment ends in the paint that the next one begins with.

    What comes into the frame, and what the photo newly shows, starts in the light and colors of the photo as the paint
    would have them, with the strokes of other paint: a repeated edge would be drawn into streaks, a photo would show
    through, and gray would have to be painted away.
    """
    if not correspondences:
        return None
    nearest, *farther = sorted(correspondences, reverse=True)
    trust = correspondences[nearest].confidence
    target = _moved(painted[nearest], correspondences[nearest])
    init = target
    for index in farther:
        share = np.maximum(correspondences[index].confidence - trust, 0)
        if share.max() >= LEAST_FRACTION:
            target = _blend(
                target, _moved(painted[index], correspondences[index]), share / np.maximum(trust + share, 1e-6)
            )
            trust = trust + share
    if trust.mean() < COLD_BELOW:
        return None
    if target is not init:
        init = _blend(init, target, trust)
    fresh = (1 - trust) * correspondences[nearest].change
    new_fraction = float(fresh.mean())
    if fresh.any():
        init = init.copy()
        rows, columns = np.nonzero(fresh)
        old = init[rows, columns]
        init[rows, columns] += fresh[rows, columns, None] * (_new_paint(content, target, rows, columns) - old)
    if goal is not None:
        share = goal.share * goal.correspondence.confidence
        ahead = _moved(goal.painted, goal.correspondence)
        init, target = _blend(init, ahead, share), _blend(target, ahead, share)
        trust = trust + share * (1 - trust)
    held = target.clip(0, 1)
    return WarmStart(held if init is target else init.clip(0, 1), held, np.minimum(trust, 1), new_fraction)


def _blend(picture: Picture, other: Picture, share: Picture) -> Picture:
    """`picture` where `share` (H, W) is 0, `other` where it is 1."""
    mixed: Picture = picture + share[..., None] * (other - picture)
    return mixed


def _new_paint(content: NDArray[np.uint8], paint: Picture, rows: Places, columns: Places) -> Picture:
    """A start for pixels that were not there before, (n, 3): light and color of the photo, strokes of other paint.

    The strokes are taken at a fixed distance towards the middle. So in a pan every strip that comes in continues the
    one before it without a seam, like a stamp that is moved along with the hand.
    """
    height, width = content.shape[:2]
    source = _towards_the_middle(rows, height), _towards_the_middle(columns, width)
    scale = BROAD_SIDE_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    photo = np.asarray(cv2.resize(content, size, interpolation=cv2.INTER_AREA), np.uint8)
    broad = np.asarray(cv2.resize(paint, size, interpolation=cv2.INTER_AREA), np.float32)
    sigma = BROAD * BROAD_SIDE_PX
    light, base = (
        cv2.resize(cv2.GaussianBlur(each, (0, 0), sigma), (width, height), interpolation=cv2.INTER_LINEAR)
        for each in (recolored(photo, broad), broad)
    )
    found: Picture = light[rows, columns] + paint[source] - base[source]
    return found


def _towards_the_middle(places: Places, count: int) -> Places:
    """Places of `count` that are a sixth of them nearer to the other side."""
    distance = count // 6
    return np.where(places < count // 2, places + distance, places - distance)


def recolored(content: NDArray[np.uint8], painted: NDArray[np.float32]) -> NDArray[np.float32]:
    """The photo, uint8 (H, W, 3), with the colors of the paint, float32 (H, W, 3) in [0, 1]; float32, not clipped.

    The linear map that takes one Gaussian of colors to the other (Pitie and Kokaram 2007, "The linear
    Monge-Kantorovitch linear colour mapping for example-based colour transfer").
    """
    source = content.reshape(-1, 3).astype(np.float64) / 255
    goal = painted.reshape(-1, 3).astype(np.float64)
    some = np.eye(3) * 1e-4  # a gray photo has no spread in color to begin with
    root = _root(np.cov(source, rowvar=False) + some)
    inverse = np.linalg.inv(root)
    mapping = inverse @ _root(root @ (np.cov(goal, rowvar=False) + some) @ root) @ inverse
    moved = (source - source.mean(axis=0)) @ mapping.T + goal.mean(axis=0)
    return np.asarray(moved.reshape(content.shape), np.float32)


def _moved(painted: NDArray[np.uint8], found: Correspondence) -> Picture:
    """Stored paint in the place where what it shows is now, values of [0, 1]."""
    return warp(painted.astype(np.float32) / np.float32(255), found.motion.backward_flow)


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square root of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    result: NDArray[np.float64] = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    return result

"""What a warm frame starts from: previous stylized frames, warped to the current one.

Correspondences between content frames (`find_correspondence`) can be computed ahead, because they need no stylized
frame; `warm_start` needs both. The `WarmStarter` protocol is the seam for devices: `warm_start` is the implementation
in NumPy and OpenCV on the CPU, `pipeline.motion.device_warm_start` the one in torch for accelerators. What changes here
changes there too; a test compares them.

The target and weight of the temporal term are made here too, from several previous frames at once: with the weights c_j
of Ruder et al. 2016, section 4.3 (each pixel counts for the nearest previous frame that shows it),
sum_j c_j |x - w_j|^2 equals C |x - w|^2 + const with C = sum c_j and w = sum c_j w_j / C. So one target and one weight
per pixel express the long-term term, whatever the number of frames. We depart from the paper where a confidence is
neither 0 nor 1: a farther frame gets the amount by which its confidence exceeds the highest confidence of a nearer one,
instead of the amount by which it exceeds their sum. So C is the highest confidence of any frame, and another frame
never reduces it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.motion.light_change import light_change
from pipeline.motion.new_areas import start_of_new_pixels
from pipeline.motion.region_change import Maps
from pipeline.motion.warp import warp
from pipeline.types import StyleColors, WarmStart

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.motion.correspondence import Correspondence

Plane = NDArray[np.float32]
Image = NDArray[np.float32]

COLD_BELOW: Final = 0.2
"""A frame starts cold if the mean confidence is below this."""
MIN_ADDED_CONFIDENCE: Final = 0.05
"""A farther frame that adds less confidence than this at every pixel is not warped."""
RELEASE_EXPONENT: Final = 1.5
"""Of how recent a change is, from 0 to 1: to its power the confidence is reduced, to 0 where the content changed since
the previous frame."""
RENEWAL, RENEWAL_EXPONENT = 0.25, 3
"""How far a frame starts from its own content, as new pixels do, where the content changed since the previous frame,
and the exponent of how recent the change is. So what changes slowly (a scene that the day brings out of the dark,
houses in rising fog) is stylized as what it has become."""


@dataclass(frozen=True, slots=True)
class NextKeyframe:
    """The keyframe that a segment approaches: its stylized frame, uint8 (H, W, 3), and the correspondence from it.

    `fraction` in [0, 1] is the weight that it already has.
    """

    stylized: NDArray[np.uint8]
    correspondence: Correspondence
    fraction: float


class WarmStarter(Protocol):
    """Makes the warm start of a frame. May be called from several threads."""

    def __call__(
        self,
        content: NDArray[np.uint8],
        stylized: Mapping[int, NDArray[np.uint8]],
        correspondences: Mapping[int, Correspondence],
        next_keyframe: NextKeyframe | None = None,
        *,
        recent_change: Plane | None = None,
        style_colors: StyleColors | None = None,
        regions: Maps | None = None,
    ) -> WarmStart | None:
        """The start of a frame from previous ones; None if too little of it corresponds, so that it must start cold.

        `content` is the content frame; `stylized` and `correspondences` hold, by index of the previous frame, its
        stored stylized frame and the correspondence from it; all frames are uint8 (H, W, 3) sRGB of one size. Where
        several frames correspond, the nearest one (the highest index) counts first. `next_keyframe` is blended in with
        the weight of its fraction, so that a segment ends in the stylized frame that the next segment begins with.
        `recent_change` (h, w) in [0, 1], of any size, says where the content changed recently (`RecentChanges`): there
        the temporal term is weaker, and the start is renewed from the content. With `style_colors` the stylized frames
        are taken to the light of the current one. `regions` are the maps of its regions, see `region_maps`.
        """
        ...


def warm_start(
    content: NDArray[np.uint8],
    stylized: Mapping[int, NDArray[np.uint8]],
    correspondences: Mapping[int, Correspondence],
    next_keyframe: NextKeyframe | None = None,
    *,
    recent_change: Plane | None = None,
    style_colors: StyleColors | None = None,
    regions: Maps | None = None,
) -> WarmStart | None:
    """The `WarmStarter` on the CPU.

    Pixels that enter the frame or that newly show something start from the content in the colors of the style, with
    strokes from elsewhere. A repeated edge would be drawn out into streaks, content colors would show through, and gray
    would cost evaluations to remove.
    """
    if not correspondences:
        return None
    nearest = max(correspondences)
    init = _warped(stylized[nearest], correspondences[nearest], style_colors, regions)
    target, confidence = _combine(init, stylized, correspondences, style_colors, regions)
    if confidence.mean() < COLD_BELOW:
        return None
    if target is not init:
        init = _blend(init, target, confidence)
    new = (1 - confidence) * correspondences[nearest].change
    new_fraction = float(new.mean())
    size = content.shape[:2]
    if recent_change is not None:  # powers are taken at the small size, where they cost nothing
        new = np.maximum(new, np.float32(RENEWAL) * _enlarged(recent_change**RENEWAL_EXPONENT, *size))
    if new.any():
        init = _blend(init, start_of_new_pixels(content, target, style_colors, regions), new)
    if next_keyframe is not None:
        weight = next_keyframe.fraction * next_keyframe.correspondence.confidence
        ahead = _warped(next_keyframe.stylized, next_keyframe.correspondence, style_colors, regions)
        init, target = _blend(init, ahead, weight), _blend(target, ahead, weight)
        confidence = confidence + weight * (1 - confidence)
    confidence = np.minimum(confidence, 1)
    if recent_change is not None:
        confidence = confidence * (1 - _enlarged(recent_change**RELEASE_EXPONENT, *size))
    clipped = _tensor(target.clip(0, 1))
    return WarmStart(
        clipped if init is target else _tensor(init.clip(0, 1)),
        clipped,
        _tensor(confidence),
        new_fraction,
        None if recent_change is None else _tensor(_enlarged(recent_change, *size)),
    )


def _combine(
    warped: Image,
    stylized: Mapping[int, NDArray[np.uint8]],
    correspondences: Mapping[int, Correspondence],
    style_colors: StyleColors | None,
    regions: Maps | None,
) -> tuple[Image, Plane]:
    """Target and weight (H, W) of the temporal term: the nearest frame, `warped`, and what farther frames add to it.

    The target is `warped` itself if no farther frame adds confidence.
    """
    nearest, *farther = sorted(correspondences, reverse=True)
    target, confidence = warped, correspondences[nearest].confidence
    for index in farther:
        added = np.maximum(correspondences[index].confidence - confidence, 0)
        if added.max() >= MIN_ADDED_CONFIDENCE:
            weight = added / np.maximum(confidence + added, 1e-6)
            other = _warped(stylized[index], correspondences[index], style_colors, regions)
            target = _blend(target, other, weight)
            confidence = confidence + added
    return target, confidence


def _blend(image: Image, other: Image, weight: Plane) -> Image:
    """`image` where `weight` (H, W) is 0, `other` where it is 1."""
    mixed: Image = other - image
    mixed *= np.asarray(cv2.merge([weight] * 3))  # broadcasting along the last axis is several times slower
    mixed += image
    return mixed


def _enlarged(image: Image, height: int, width: int) -> Image:
    """An image (h, w) or (h, w, C) of a small size at that of the frame."""
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _tensor(image: NDArray[np.float32]) -> Tensor:
    """An image (H, W, 3) or a plane (H, W) as a tensor (3, H, W) or (1, H, W) that shares its memory."""
    import torch

    tensor = torch.from_numpy(image)
    return tensor[None] if image.ndim == 2 else tensor.permute(2, 0, 1)


def _warped(
    stylized: NDArray[np.uint8], correspondence: Correspondence, style_colors: StyleColors | None, regions: Maps | None
) -> Image:
    """A stored stylized frame moved to where its content is now, and taken to the light of now.

    float32 (H, W, 3), values of [0, 1].
    """
    moved = warp(np.divide(stylized, 255, dtype=np.float32), correspondence.motion.backward_flow)
    if style_colors is not None and correspondence.light is not None:
        moved += _enlarged(light_change(correspondence.light, style_colors, regions), *stylized.shape[:2])
    return moved

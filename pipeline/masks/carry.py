"""Carrying a painted mask from one frame to the next, with its confidence.

The mask is warped along the flow. Near its edge, where the flow is not reliable, and in a narrow band even where it is,
the colors decide as well: by the histograms of what was inside and outside in the painted frame and in the one before,
as in Bai, Wang, Simons and Sapiro 2009, "Video SnapCut" (ACM SIGGRAPH), with one classifier instead of many local ones.
Both are joined by a guided filter that is weighted with their confidence, which puts the edge where the frame has one,
and a steeper slope keeps the edge from growing wider with every step.

A region of a style has its edge among strokes that follow the flow. There an edge that is put anew in every frame would
tremble beside them, so a *steady* mask follows a reliable flow too, and is corrected gradually.

What is carried are the 8 bits that are stored, so a pass that continues from a stored mask makes the same bytes as one
that never stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.masks.guided import apply_affine, fit_affine
from pipeline.motion.consistency import positions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.types import Motion

CARRY_SIDE_PX: Final = 480
"""Longer side of the frames in which masks are carried. Lengths below are in px of that size."""
RADIUS_PX: Final = 8
EPSILON: Final = 1e-3
EDGE_PX: Final = 8
"""Half the width of the band along the edge of the mask in which colors may contradict a reliable flow."""
REACH_PX: Final = 32
"""So far from the edge of the mask colors decide where the flow is not reliable."""
SURROUNDINGS_PX: Final = 48
"""So far from the mask pixels tell the colors of what is outside."""
COLOR_WEIGHT: Final = 0.5
"""Weight of colors that tell inside from outside clearly; a reliable flow has 1."""
UNRELIABLE_WEIGHT: Final = 0.15
"""Weight of a flow without confidence: it decides where the colors tell little."""
CONTRADICTION: Final = 0.8
"""How much of its confidence a flow loses where the colors clearly say the opposite."""
REGAINED: Final = 0.5
"""Confidence of what could not be carried and was filled in, at most: by what is around it, and by its color."""
STEEPNESS: Final = 1.5
"""Slope of the mask at one half after every step: about what a bilinear warp has flattened."""
CORRECTION: Final = 0.2
"""How far a steady mask goes in one step to where colors and edges of the frame put it, against a certain flow."""
LEAST: Final = 1e-3
"""Weight of a mask without confidence where two are blended."""

_BITS: Final = 5
_COUNT: Final = 1 << _BITS
_UNSEEN: Final = 1e-5
"""Density of colors that were seen neither inside nor outside."""
_BINOMIAL: Final = (1, 4, 6, 4, 1)


@dataclass(frozen=True, slots=True)
class Carried:
    """A mask and its confidence at some frame, both uint8 (h, w): 255 is inside, and certain."""

    mask: NDArray[np.uint8]
    confidence: NDArray[np.uint8]


def painted(mask: NDArray[np.float32]) -> Carried:
    """A painted mask, float32 (h, w) in [0, 1]: it is certain."""
    return Carried(_rounded(mask), np.full(mask.shape, 255, np.uint8))


def color_model(content: NDArray[np.uint8], known: Carried) -> NDArray[np.float32]:
    """How likely a pixel is inside, by its color: float32 (`_COUNT`^3,) in [0, 1], 0.5 for colors that tell nothing.

    Learned from the mask of `content`, uint8 (h, w, 3) sRGB, and its surroundings, where its confidence is high.
    """
    mask, confidence = (plane.astype(np.float32) / np.float32(255) for plane in (known.mask, known.confidence))
    width = 2 * max(2, round(SURROUNDINGS_PX * max(mask.shape) / CARRY_SIDE_PX)) + 1
    near = cv2.dilate((mask > 0.5).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
    weight = np.square(confidence)
    bins = _bins(content).ravel()
    inside, outside = (
        _density(np.bincount(bins, (part * weight).ravel(), _COUNT**3).astype(np.float64))
        for part in (mask, (1 - mask) * near)
    )
    return ((inside + _UNSEEN) / (inside + outside + 2 * _UNSEEN)).astype(np.float32)


def carry(
    before: Carried,
    content_before: NDArray[np.uint8],
    content: NDArray[np.uint8],
    motion: Motion,
    colors: NDArray[np.float32],
    *,
    steady: bool = False,
) -> Carried:
    """The mask of the frame before, or after, carried to this one. Contents are uint8 (h, w, 3) sRGB.

    `motion` leads from each pixel of `content` to where it was in `content_before`. `colors` is the `color_model` of
    the painted frame that the mask comes from: with those of the frame before alone, errors would confirm themselves.
    `steady`: the edge follows the flow where that is reliable, and is put where the frame has one over several frames.
    """
    side = max(content.shape[:2]) / CARRY_SIDE_PX
    x, y = positions(motion.backward_flow)
    mask, confidence = (plane.astype(np.float32) / np.float32(255) for plane in (before.mask, before.confidence))
    model = (colors + color_model(content_before, before)) / 2
    likely = model[_bins(content)]
    likely = np.asarray(cv2.GaussianBlur(likely, (0, 0), 1), np.float32)
    warped = np.asarray(cv2.remap(mask, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
    confidence = np.asarray(cv2.remap(confidence, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.float32)
    confidence *= motion.confidence

    clear = np.square(2 * likely - 1)
    smooth = np.asarray(cv2.GaussianBlur(warped, (0, 0), max(0.5, EDGE_PX / 2 * side)), np.float32)
    edge = np.clip(6 * smooth * (1 - smooth), 0, 1)
    confidence *= 1 - CONTRADICTION * edge * clear * np.abs(likely - warped)
    covered = (warped > 0.5).astype(np.uint8)
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(2, round(REACH_PX * side)) + 1,) * 2)
    near = cv2.dilate(covered, reach) - cv2.erode(covered, reach)
    color_weight = COLOR_WEIGHT * clear * np.maximum(edge, (1 - confidence) * near)
    flow_weight = confidence + np.float32(UNRELIABLE_WEIGHT)
    weight = flow_weight + color_weight
    joined = (flow_weight * warped + color_weight * likely) / weight
    radius = max(2, round(RADIUS_PX * side))
    fitted = apply_affine(fit_affine(content, joined, radius_px=radius, epsilon=EPSILON, weight=weight), content)
    if steady:
        fitted = warped + (fitted - warped) * (1 - np.float32(1 - CORRECTION) * confidence)

    confidence *= 1 - np.abs(fitted - warped)
    around = np.asarray(cv2.blur(confidence, (2 * radius + 1,) * 2), np.float32)
    by_color = clear * np.abs(2 * fitted - 1) * (np.abs(likely - fitted) < 0.3) * near
    confidence = np.maximum(confidence, REGAINED * np.maximum(around, by_color))
    return Carried(_rounded((fitted - np.float32(0.5)) * STEEPNESS + np.float32(0.5)), _rounded(confidence))


def blend(earlier: Carried, later: Carried, fraction: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mask and confidence, float32 (h, w) in [0, 1], from the masks that were carried forward and backward to a frame.

    `fraction` of the way from the earlier painted frame, in [0, 1], and confidence weight the two. The confidence is
    that of the weighted masks, less where they contradict each other.
    """
    first, second = (
        one.confidence.astype(np.float32) / np.float32(255) + np.float32(LEAST) for one in (earlier, later)
    )
    first, second = first * np.float32(1 - fraction), second * np.float32(fraction)
    masks = [one.mask.astype(np.float32) / np.float32(255) for one in (earlier, later)]
    mask = (first * masks[0] + second * masks[1]) / (first + second)
    confidence = np.clip(first + second - np.float32(LEAST), 0, 1)
    return np.asarray(mask, np.float32), np.asarray(confidence * (1 - 2 * np.minimum(mask, 1 - mask)), np.float32)


def _bins(content: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Index of each pixel's color in a histogram of `_COUNT`^3 colors; (h, w)."""
    coarse = (content >> (8 - _BITS)).astype(np.intp)
    return np.asarray((coarse[..., 0] * _COUNT + coarse[..., 1]) * _COUNT + coarse[..., 2], np.intp)


def _density(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """A histogram of colors, smoothed over neighboring colors and divided by its sum."""
    cube = counts.reshape((_COUNT,) * 3) / max(float(counts.sum()), 1e-6)
    for axis in range(3):
        padded = np.pad(cube, [(2, 2) if other == axis else (0, 0) for other in range(3)], mode="edge")
        shifted = [np.take(padded, range(offset, offset + _COUNT), axis) for offset in range(5)]
        cube = np.tensordot(np.array(_BINOMIAL) / 16, np.stack(shifted), 1)
    return np.asarray(cube).ravel()


def _rounded(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)

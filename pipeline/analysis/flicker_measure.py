"""By how much the exposure changed from one frame to the next: tone shifts along the optical flow.

Small neighboring frames are aligned along their motion, and the differences of logits of the pixels that show the same
point are summarized by level and channel. So neither a moving camera nor moving objects count; percentiles of whole
frames, the usual measure, mistake both for a change of exposure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.tone_curve import NODE_LOGITS, logit
from pipeline.motion.consistency import positions
from pipeline.motion.estimate import estimate_motion
from pipeline.types import TONE_NODES

Floats = NDArray[np.float64]

SMALL_PX: Final = 160
"""Longer side of the frames that are measured."""
NODES: Final = len(TONE_NODES)
NOISE: Final = 0.01
"""Smallest spread that is assumed of the shifts of pixels of one level, in logits."""

_MAX_SPREAD: Final = 0.3
"""Pixels of one level whose shifts are spread more than this, in logits, do not measure exposure."""
_CLIPPED: Final = (4, 251)
"""Levels from which on a pixel may have been clipped and does not measure exposure."""
_MIN_PIXELS: Final = 100
_MIN_CONFIDENT_FRACTION: Final = 0.2
"""Fraction of the frame that two neighbors must have in common."""
_CORRELATED_PIXELS: Final = 100
"""Errors of neighboring pixels are correlated: so many pixels count as one observation."""
_TONE_PRIOR, _BEND_PRIOR, _CHANNEL_PRIOR = 0.2, 0.05, 0.1
"""Standard deviations of the prior, in logits: of the tone shift, of its change from node to node, and of the shift of
one channel. Few or inconsistent pixels do not outweigh it."""


@dataclass(frozen=True, slots=True)
class Gain:
    """Change of exposure from one frame to the next, in logits, and the number of pixels at each node.

    `shifts` (nodes + 3,): the shift at each of `TONE_NODES`, then those of R, G and B. `pixels` (nodes,).
    """

    shifts: Floats
    pixels: Floats


def measure_gain(previous: NDArray[np.uint8], current: NDArray[np.uint8]) -> Gain | None:
    """The gain of a frame over the previous one, both uint8 (H, W, 3) sRGB; None if too little of them corresponds."""
    motion = estimate_motion(previous, current, from_index=0, to_index=1)
    confident = motion.confidence > 0.5
    if confident.mean() < _MIN_CONFIDENT_FRACTION:
        return None
    # A small blur: less noise, and less influence of flow that is wrong by a fraction of a pixel.
    before, after = (cv2.GaussianBlur(frame.astype(np.float32), (0, 0), 1) for frame in (previous, current))
    before = cv2.remap(before, *positions(motion.backward_flow), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    low, high = _CLIPPED
    usable = confident[..., None] & (np.minimum(before, after) > low) & (np.maximum(before, after) < high)
    old, new = logit(before), logit(after)
    # By the mean of both: sorted by either alone, noise would look like a change of contrast.
    nodes = np.searchsorted(_EDGES, (old + new) / 2)
    medians, weights, pixels = _medians_by_node(new - old, nodes, usable)
    return Gain(_fit(medians, weights), pixels) if weights.any() else None


def _medians_by_node(
    shifts: NDArray[np.float32], nodes: NDArray[np.intp], usable: NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats]:
    """Median shift of each channel at each node and its weight (3, nodes), 0 where it says nothing; pixels (nodes,).

    All arguments are (H, W, 3): the shift of each value in logits, the node that it is at, and whether it counts.
    """
    medians, weights = np.zeros((3, NODES)), np.zeros((3, NODES))
    pixels = np.zeros(NODES)
    for channel in range(3):
        of_channel, node_of = shifts[..., channel][usable[..., channel]], nodes[..., channel][usable[..., channel]]
        for node in range(NODES):
            here = of_channel[node_of == node]
            pixels[node] += here.size
            if here.size < _MIN_PIXELS:
                continue
            median = np.median(here)
            spread = 1.4826 * float(np.median(np.abs(here - median)))
            if spread > _MAX_SPREAD:
                continue
            medians[channel, node] = median
            weights[channel, node] = here.size / _CORRELATED_PIXELS / (spread**2 + NOISE**2)
    return medians, weights, pixels


def _fit(medians: Floats, weights: Floats) -> Floats:
    """Tone shift at each node and shift of each channel whose sums explain the medians (3, nodes): ridge regression."""
    weighted = _DESIGN * weights.reshape(-1, 1)
    return np.asarray(np.linalg.solve(_DESIGN.T @ weighted + _PRIOR, weighted.T @ medians.reshape(-1)))


def _design_and_prior() -> tuple[Floats, Floats]:
    """Which unknowns add up to each median (3 x nodes, nodes + 3), and the precision matrix of their prior."""
    design = np.concatenate([np.tile(np.eye(NODES), (3, 1)), np.repeat(np.eye(3), NODES, axis=0)], axis=1)
    bends = np.diff(np.eye(NODES, NODES + 3), axis=0)
    own = np.diag([_TONE_PRIOR**-2] * NODES + [_CHANNEL_PRIOR**-2] * 3)
    return design, own + _BEND_PRIOR**-2 * bends.T @ bends


_EDGES: Final = (NODE_LOGITS[1:] + NODE_LOGITS[:-1]) / 2
_DESIGN, _PRIOR = _design_and_prior()

"""Aligning a burst: every photo directly to one of them, the anchor, by one model of motion, so that nothing drifts.

The anchor is one of the sharpest photos, and of several the one that most others have points in common with. A first
guess comes from such points, the exact motion from all pixels. The model is the simplest that explains the photos: each
is fitted to some of them, and the Bayesian information criterion (Schwarz 1978) weighs error against parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import log, log1p
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.analysis import features, registration
from pipeline.analysis.registration import MODELS, PARAMETERS, Model, Pyramid, Registration

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Gray = NDArray[np.uint8]
    Matrix = NDArray[np.float64]

MEASURED_SIDE_PX: Final = 1600
"""Longer side at most of the photos that are compared."""
MIN_CORRELATION: Final = 0.4
"""Photos whose evened out luma correlates less after the alignment do not show one scene from one place."""
MIN_OVERLAP: Final = 0.3
_CANDIDATES: Final = 3
"""Sharpest photos that could be the anchor, beside the one in the middle."""
_CONNECTED: Final = 8
"""Their connections are counted to so many photos."""
_PLENTY: Final = 100
"""More points in common connect two photos no better."""
_ENOUGH: Final = 0.98
"""The anchor's connection is at least this fraction of the best one."""
_SAMPLED: Final = 5
"""So many photos decide about the model."""
_SAMPLE_SCALE: Final = 1
_INDEPENDENT_PX: Final = 64
"""Pixels that tell as much as one: neighbors have their errors in common."""

Read = Callable[[Sequence[int]], Iterator["Gray"]]
"""Photos by index as gray uint8 (H, W), all of one size, one after the other."""


@dataclass(frozen=True, slots=True)
class Burst:
    """How the photos of a burst lie on its anchor.

    `matrices` (3, 3) take px of the anchor, at the size of the photos that were read, to px of each photo; None: it
    could not be aligned. `correlations` tell how well each lies.
    """

    anchor: int
    model: Model
    matrices: tuple[Matrix | None, ...]
    correlations: tuple[float, ...]


def align_burst(count: int, read: Read, model: Model | None = None) -> Burst:
    """Align `count` photos; `model` None chooses one. All are read twice, one after the other."""
    measured = [(features.find_features(gray), anchor_score(gray)) for gray in read(range(count))]
    points, sharpness = zip(*measured, strict=True)
    anchor = _best_anchor(points, sharpness)
    starts = [features.match(points[anchor], other)[0] for other in points]
    fixed = Pyramid(next(read([anchor])))
    if model is None:
        model = _simplest(anchor, fixed, starts, read)
    height, width = fixed.scales[0].shape
    matrices: list[Matrix | None] = []
    correlations: list[float] = []
    for index, (gray, start) in enumerate(zip(read(range(count)), starts, strict=True)):
        if index == anchor:
            matrices.append(np.eye(3))
            correlations.append(1.0)
            continue
        found = _registered(fixed, Pyramid(gray), model, start, (width, height))
        matrices.append(found.matrix if _good(found, max(width, height)) else None)
        correlations.append(round(found.correlation, 3))
    return Burst(anchor, model, tuple(matrices), tuple(correlations))


def anchor_score(gray: Gray) -> float:
    """How sharp a photo is, and how little of it is black or white; larger is better."""
    even = registration.evened_out(np.asarray(gray, np.float32))
    slopes = cv2.magnitude(cv2.Sobel(even, cv2.CV_32F, 1, 0), cv2.Sobel(even, cv2.CV_32F, 0, 1))
    shown = float(((gray > 8) & (gray < 247)).mean())
    return float(slopes.mean()) * shown


def _best_anchor(points: Sequence[features.Features], sharpness: Sequence[float]) -> int:
    """Of the sharpest photos and the one in the middle, the sharpest that has enough points in common with others."""
    count = len(points)
    ranking = sorted(range(count), key=lambda index: -sharpness[index])
    compared = sorted(set(range(0, count, -(-count // _CONNECTED))))

    def connection(index: int) -> float:
        common = (features.match(points[index], points[other])[1] for other in compared if other != index)
        return sum(log1p(min(count, _PLENTY)) for count in common)

    connections = {index: connection(index) for index in {*ranking[:_CANDIDATES], count // 2}}
    enough = _ENOUGH * max(connections.values())
    return max((index for index in connections if connections[index] >= enough), key=lambda index: sharpness[index])


def _registered(
    anchor: Pyramid, photo: Pyramid, model: Model, start: Matrix | None, size: tuple[int, int]
) -> Registration:
    """From the guess, if there is one, at the two finest scales; else from no motion, at all of them."""
    if start is None:
        return registration.register(anchor, photo, model)
    return registration.register(anchor, photo, model, registration.nearest(start, model, size), coarsest=1)


def _good(found: Registration, side_px: int) -> bool:
    return (
        found.correlation >= MIN_CORRELATION
        and found.overlap >= MIN_OVERLAP
        and features.plausible(found.matrix, side_px)
    )


def _simplest(anchor: int, fixed: Pyramid, starts: Sequence[Matrix | None], read: Read) -> Model:
    """The model with the least Bayesian information criterion over a sample of photos; they are sorted by index."""
    known = [index for index, start in enumerate(starts) if start is not None and index != anchor]
    sampled = known[:: max(1, len(known) // _SAMPLED)][:_SAMPLED]
    scale = min(_SAMPLE_SCALE, len(fixed.scales) - 1)
    height, width = fixed.scales[0].shape
    criteria = dict.fromkeys(MODELS, 0.0)
    for index, gray in zip(sampled, read(sampled), strict=True):
        photo = Pyramid(gray)
        start = starts[index]
        best = registration.register(fixed, photo, "homography", start, finest=scale, coarsest=scale)
        if not _good(best, max(width, height)):
            continue
        spread = registration.spread_of(fixed, photo, best.matrix, scale)
        for model in MODELS:
            nearest = registration.nearest(best.matrix, model, (width, height))
            own = registration.register(fixed, photo, model, nearest, finest=scale, coarsest=scale)
            cost, count = registration.cost_of(fixed, photo, own.matrix, scale, spread)
            samples = max(2, 2 * count // _INDEPENDENT_PX)
            criteria[model] += samples * log(max(cost, 1e-6)) + PARAMETERS[model] * log(samples)
    if not any(criteria.values()):
        return "similarity"  # nothing is known: two photos at most, or none that has points in common
    return min(MODELS, key=lambda model: criteria[model])

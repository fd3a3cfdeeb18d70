"""Flicker of exposure: measured between neighboring frames, told apart from light that really changes, evened out.

A timelapse flickers because the camera decides anew for every frame: shutter, aperture, white balance. Every stylizer
amplifies that. What we do, in the order of the file:

*Measure.* Small neighbors are laid over each other along their optical flow, and what pixels that show the same point
gained or lost is summed up by level and channel. So neither a moving camera nor moving objects count; percentiles of
whole frames, the usual measure, take both for exposure. Gains are differences of logits, log(v / (1 - v)): there
black stays black, white stays white, and no shift can fold a curve.

*Decide.* The sum of the gains is the shot's exposure over time. A robust local regression (Cleveland 1979, LOWESS)
follows sunrise, clouds and fades; what is left is flicker. It does not reach across a lasting step (a lamp switched
on), leaves events alone (lightning), and shots without flicker entirely.

*Correct.* One table of 256 values per channel and frame, which depends on nothing but the frame's curve in the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.motion.estimate import estimate_motion
from pipeline.types import MAX_TONE_SHIFT, TONE_NODES, TONE_UNIT, ToneCurve

if TYPE_CHECKING:
    from pipeline.types import Shot

Floats = NDArray[np.float64]

SMALL_PX: Final = 160
"""Longer side of the frames that are measured."""

THRESHOLD: Final = 0.6
"""Frames that flicker by less, in levels of 255, are left alone: see `_flicker_levels`. We measured 2.2 and 0.9 in
timelapses that flicker, and in videos at most 0.43: in an uneven fade, and as error of measurement
where the camera moves."""

BLOCK: Final = 60
"""So many frames of a shot are judged by the threshold together."""

MIN_FRAMES: Final = 5
"""Shorter runs of frames have no trend that flicker could be told from."""

WINDOW: Final = 15
"""Frames of a local regression: what takes longer is light, what is faster is flicker."""

_NODES: Final = len(TONE_NODES)
MAX_SHIFT: Final = MAX_TONE_SHIFT / TONE_UNIT
"""About one stop at middle gray. A frame that is further off is an event, not flicker, and is left as it is."""

STEP_SIDE, STEP_SIGNIFICANCE, STEP_MIN = 6, 5.0, 0.02
"""A lasting step: means of so many frames on each side differ by so many standard deviations, and logits."""

_CLIPPED: Final = (4, 251)
"""Levels from which on a pixel may have been clipped and says nothing about exposure."""
_LEAST_PIXELS: Final = 100
_LEAST_CONFIDENT_FRACTION: Final = 0.2
"""Share of the picture that two neighbors must have in common."""
_CORRELATED_PIXELS: Final = 100
"""Neighboring pixels err together: so many count as one observation."""
_NOISE, _CONTRADICTING = 0.01, 0.3
"""Spread of what pixels of one level gained, in logits: the least we believe, and the most that can be exposure."""
_TONE_PRIOR, _BEND_PRIOR, _CHANNEL_PRIOR = 0.2, 0.05, 0.1
"""Standard deviations of what we expect before we look, in logits: of the tone shift, of its change from node to node,
and of a channel's own shift. Few and contradicting pixels do not outweigh them."""
_ROBUST_ROUNDS: Final = 2


@dataclass(frozen=True, slots=True)
class Flicker:
    """What was measured and decided: one curve per frame, or none at all; and by how many levels of 255 frames are off
    where that is most, 0 if nothing is evened out."""

    curves: tuple[ToneCurve, ...]
    levels: float


@dataclass(frozen=True, slots=True)
class _Gain:
    """From one frame to the next: shifts (nodes and channels), and how many pixels lie at each node."""

    shifts: Floats
    pixels: Floats


class FlickerMeter:
    """Looks at every frame once, in order, and keeps only the frame before and a few numbers per pair."""

    def __init__(self) -> None:
        self._previous: NDArray[np.uint8] | None = None
        self._gains: list[_Gain | None] = []

    def add(self, rgb: NDArray[np.uint8]) -> None:
        """Measure the step from the frame before to this one, uint8 (H, W, 3) sRGB; all of one size."""
        ratio = SMALL_PX / max(rgb.shape[:2])
        if ratio < 1:
            size = (max(1, round(rgb.shape[1] * ratio)), max(1, round(rgb.shape[0] * ratio)))
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        if self._previous is not None:
            self._gains.append(_gain(self._previous, rgb))
        self._previous = rgb

    def flicker(self, shots: Sequence[Shot], strength: float) -> Flicker:
        """Curves for all frames of the shots, scaled by `strength` in [0, 1]: 1 removes the flicker whole.

        Raises ValueError unless the shots cover the frames that were added.
        """
        count = len(self._gains) + (self._previous is not None)
        if sum(shot.stop - shot.start for shot in shots) != count:
            raise ValueError(f"the shots do not cover the {count} frames that were measured")
        curves: list[ToneCurve] = []
        worst = 0.0
        for shot in shots:
            shifts, share = _flicker_of(self._gains[shot.start : shot.stop - 1])
            edges = [*range(0, max(1, len(shifts) - BLOCK // 2), BLOCK), len(shifts)]
            for start, stop in pairwise(edges):
                levels = _flicker_levels(shifts[start:stop], share[start:stop])
                if levels < THRESHOLD:
                    shifts[start:stop] = 0
                else:
                    worst = max(worst, levels)
            rows = np.rint(-strength * TONE_UNIT * shifts).astype(int).tolist()
            curves += [tuple(row) if any(row) else () for row in rows]
        return Flicker(tuple(curves) if any(curves) else (), worst)


def correct(rgb: NDArray[np.uint8], curve: ToneCurve) -> NDArray[np.uint8]:
    """A frame, uint8 (H, W, 3) sRGB, with its curve applied; the same array for an empty curve.

    Every curve is monotone and keeps 0 and 255, so nothing is clipped and no order of levels is turned around.
    """
    if not curve:
        return rgb
    return np.asarray(cv2.LUT(rgb, _table(curve)), np.uint8)


def correction(curves: Sequence[ToneCurve]) -> Callable[[int, NDArray[np.uint8]], NDArray[np.uint8]] | None:
    """A function of frame index and frame that applies the curves of a plan; None if the plan has none."""
    if not curves:
        return None
    return lambda index, rgb: correct(rgb, curves[index])


def _table(curve: ToneCurve) -> NDArray[np.uint8]:
    """The curve as a table (1, 256, 3)."""
    shifts = np.asarray(curve, float) / TONE_UNIT
    moved = before = np.repeat(_LEVEL_LOGITS[:, None], 3, axis=1)
    # A shift was measured, and holds, at the middle between the old level and the new one.
    for _ in range(2):
        moved = before + np.interp((before + moved) / 2, _NODE_LOGITS, shifts[:_NODES]) + shifts[_NODES:]
    values = 256 / (1 + np.exp(-moved)) - 0.5
    values[0], values[255] = 0, 255
    # Shifts that differ much from node to node could turn the order around.
    return np.maximum.accumulate(np.rint(values).clip(0, 255), axis=0).astype(np.uint8)[None]


def _logit(levels: NDArray[Any]) -> NDArray[Any]:
    """log(v / (1 - v)) with 256 levels spread evenly inside (0, 1)."""
    return np.log((levels + 0.5) / (255.5 - levels))


_NODE_LOGITS: Final = np.asarray(_logit(np.asarray(TONE_NODES, np.float64)))
_LEVEL_LOGITS: Final = np.asarray(_logit(np.arange(256, dtype=np.float64)))
_EDGES: Final = (_NODE_LOGITS[1:] + _NODE_LOGITS[:-1]) / 2
_SLOPES: Final = np.asarray(TONE_NODES, float) * (255 - np.asarray(TONE_NODES, float)) / 255
"""Levels per logit at the nodes."""


def _gain(previous: NDArray[np.uint8], current: NDArray[np.uint8]) -> _Gain | None:
    """What the current frame gained over the previous one; None if they have too little in common."""
    motion = estimate_motion(previous, current, from_index=0, to_index=1)
    trusted = motion.confidence > 0.5
    if trusted.mean() < _LEAST_CONFIDENT_FRACTION:
        return None
    # A little blur: less noise, and a motion that is wrong by a fraction of a pixel matters less.
    before, after = (cv2.GaussianBlur(frame.astype(np.float32), (0, 0), 1) for frame in (previous, current))
    height, width = trusted.shape
    x = motion.backward_flow[..., 0] + np.arange(width, dtype=np.float32)
    y = motion.backward_flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    before = cv2.remap(before, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    usable = trusted[..., None] & (np.minimum(before, after) > _CLIPPED[0]) & (np.maximum(before, after) < _CLIPPED[1])
    old, new = _logit(before), _logit(after)
    # Sorted by the mean of both: by either alone, noise would look like a change of contrast.
    nodes = np.searchsorted(_EDGES, (old + new) / 2)
    gained = new - old
    medians, weights = np.zeros((3, _NODES)), np.zeros((3, _NODES))
    pixels = np.zeros(_NODES)
    for channel in range(3):
        values, places = gained[..., channel][usable[..., channel]], nodes[..., channel][usable[..., channel]]
        for node in range(_NODES):
            here = values[places == node]
            pixels[node] += here.size
            if here.size < _LEAST_PIXELS:
                continue
            middle = np.median(here)
            spread = 1.4826 * float(np.median(np.abs(here - middle)))
            if spread > _CONTRADICTING:
                continue
            medians[channel, node] = middle
            weights[channel, node] = here.size / _CORRELATED_PIXELS / (spread**2 + _NOISE**2)
    return _Gain(_fit(medians, weights), pixels) if weights.any() else None


def _fit(medians: Floats, weights: Floats) -> Floats:
    """Tone shift at each node and shift of each channel whose sums explain the medians (3, nodes): ridge regression."""
    weighted = _DESIGN * weights.reshape(-1, 1)
    return np.asarray(np.linalg.solve(_DESIGN.T @ weighted + _PRIOR, weighted.T @ medians.reshape(-1)))


def _priors() -> tuple[Floats, Floats]:
    """Which unknowns make up each median (3 x nodes, nodes + 3), and the precision of what we expect of them."""
    design = np.concatenate([np.tile(np.eye(_NODES), (3, 1)), np.repeat(np.eye(3), _NODES, axis=0)], axis=1)
    bends = np.diff(np.eye(_NODES, _NODES + 3), axis=0)
    own = np.diag([_TONE_PRIOR**-2] * _NODES + [_CHANNEL_PRIOR**-2] * 3)
    return design, own + _BEND_PRIOR**-2 * bends.T @ bends


_DESIGN, _PRIOR = _priors()


def _flicker_of(gains: Sequence[_Gain | None]) -> tuple[Floats, Floats]:
    """How far each frame of a shot is off its own light, in logits (frames, nodes + 3); share of pixels per node."""
    still = _Gain(np.zeros(_NODES + 3), np.zeros(_NODES))
    steps = [still, *(gain or still for gain in gains)]
    pixels = np.array([step.pixels for step in steps])
    share = pixels / np.maximum(1, pixels.sum(axis=1, keepdims=True))
    shifts = np.array([step.shifts for step in steps])
    off = np.zeros_like(shifts)
    if len(off) < MIN_FRAMES:
        return off, share
    exposure = np.cumsum(shifts, axis=0)
    # What each channel did in the mean over its pixels: three numbers in which steps show best.
    overall = np.cumsum(_in_channels(shifts, share), axis=0)
    breaks = {place + 1 for place, gain in enumerate(gains) if gain is None} | set(_steps(overall))
    for start, stop in pairwise([0, *sorted(breaks), len(off)]):
        if stop - start >= MIN_FRAMES:
            off[start:stop] = exposure[start:stop] - _trend(exposure[start:stop], overall[start:stop])
    off[np.abs(_in_channels(off, share)).max(axis=1) > MAX_SHIFT] = 0
    return off.clip(-MAX_SHIFT, MAX_SHIFT), share


def _in_channels(shifts: Floats, share: Floats) -> Floats:
    """Mean shift of R, G and B (frames, 3), each node weighted by the share of pixels that lie there."""
    return np.asarray((shifts[:, :_NODES] * share).sum(axis=1, keepdims=True) + shifts[:, _NODES:])


def _flicker_levels(off: Floats, share: Floats) -> float:
    """Mean absolute second difference over the frames, in levels, as a part of what noise of that size would have.

    Second differences, because what the window smooths away of slower changes is not flicker, nor is the drift of the
    measurement where the camera moves. `off` is in logits (frames, nodes + 3), `share` the pixels at each node, of 1.
    """
    if len(off) < 3:
        return 0.0
    channels = off[:, :_NODES, None] + off[:, None, _NODES:]
    turns = np.abs(np.diff(channels, 2, axis=0)).mean(axis=2)
    return float((turns * share[1:-1] * _SLOPES).sum(axis=1).mean() / np.sqrt(6))


def _steps(series: Floats) -> list[int]:
    """Frames at which a lasting step of the exposure (frames, channels) begins.

    Around every place a line is fitted to the frames of both sides together, with and without a jump at that place. A
    flash, a zigzag and a ramp do not need the jump.
    """
    count = len(series)
    strength = np.zeros(count)
    for place in range(MIN_FRAMES - 1, count - MIN_FRAMES + 2):
        start, stop = max(0, place - STEP_SIDE), min(count, place + STEP_SIDE)
        time = np.arange(start, stop) - place
        design = np.stack([np.ones(len(time)), time, time >= 0], axis=1)
        inverse = np.linalg.inv(design.T @ design)
        fitted = inverse @ design.T @ series[start:stop]
        rest = np.square(series[start:stop] - design @ fitted).sum(axis=0) / (len(time) - 3)
        jump = np.abs(fitted[2])
        significance = jump / np.sqrt(rest * inverse[2, 2] + 1e-12)
        strength[place] = (significance * (jump > STEP_MIN)).max()
    found: list[int] = []
    for place in np.flatnonzero(strength > STEP_SIGNIFICANCE).tolist():
        near = strength[max(0, place - STEP_SIDE) : place + STEP_SIDE + 1]
        if strength[place] == near.max() and (not found or place - found[-1] >= MIN_FRAMES):
            found.append(place)
    return found


def _trend(series: Floats, overall: Floats) -> Floats:
    """The slow part of a series (frames, values): robust locally linear regression, LOWESS of Cleveland 1979.

    Frames that are far off in the overall exposure (frames, channels) count less, for all values alike.
    """
    robust = np.ones(len(series))
    for _ in range(_ROBUST_ROUNDS):
        rest = np.abs(overall - _local_lines(overall, robust)).max(axis=1)
        usual = _running_median(rest, min(WINDOW, len(rest))) + _NOISE / 6
        robust = np.square(np.clip(1 - np.square(rest / (6 * usual)), 0, None))
    return _local_lines(series, robust)


def _running_median(values: Floats, span: int) -> Floats:
    """The median of the nearest `span` values around each one."""
    medians = np.median(np.lib.stride_tricks.sliding_window_view(values, span), axis=1)
    return np.asarray(medians[(np.arange(len(values)) - span // 2).clip(0, len(medians) - 1)])


def _local_lines(series: Floats, robust: Floats) -> Floats:
    """A series (frames, values), each by a line through the nearest frames with tricube and robust weights."""
    count = len(series)
    span = min(WINDOW, count)
    fitted = np.empty_like(series)
    for place in range(count):
        start = min(max(0, place - span // 2), count - span)
        time = np.arange(start, start + span) - place
        near = (1 - (np.abs(time) / (np.abs(time).max() + 1)) ** 3) ** 3
        weights = near * np.maximum(robust[start : start + span], 1e-6)
        design = np.stack([np.ones(span), time], axis=1)
        line = np.linalg.solve(design.T @ (weights[:, None] * design), design.T * weights)
        fitted[place] = line[0] @ series[start : start + span]
    return fitted

"""Flicker told apart from light that really changes: what remains of the exposure when its slow trend is removed.

The sum of the gains is the exposure of a shot over time. A robust local regression (Cleveland 1979, LOWESS) follows
sunrise, clouds and fades; the remainder is flicker. The regression does not extend across a lasting step (a lamp
switched on), and frames that are far off (lightning) are left as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from pipeline.analysis.flicker_measure import NODES, NOISE, Floats, Gain
from pipeline.types import MAX_TONE_SHIFT, TONE_NODES, TONE_UNIT

MIN_FRAMES: Final = 5
"""Shorter runs of frames have no trend that flicker could be told apart from."""

WINDOW: Final = 15
"""Frames of a local regression: slower changes are light, faster ones are flicker."""

MAX_SHIFT: Final = MAX_TONE_SHIFT / TONE_UNIT
"""About one stop at middle gray. A frame that is further off is an event, not flicker, and is left as it is."""

STEP_SIDE, STEP_SIGNIFICANCE, STEP_MIN = 6, 5.0, 0.02
"""A lasting step: means of so many frames on each side differ by so many standard deviations, and logits."""

_ROBUST_ROUNDS: Final = 2
_LEVELS_PER_LOGIT: Final = np.asarray(TONE_NODES, float) * (255 - np.asarray(TONE_NODES, float)) / 255
"""At the nodes."""


def separate_flicker(gains: Sequence[Gain | None]) -> tuple[Floats, Floats]:
    """Distance of each frame of a shot from the trend, in logits (frames, nodes + 3); fraction of pixels at each node.

    `gains` are those between neighbors, None where none could be measured: the shot is divided there.
    """
    none = Gain(np.zeros(NODES + 3), np.zeros(NODES))
    steps = [none, *(gain or none for gain in gains)]
    pixels = np.array([step.pixels for step in steps])
    fractions = pixels / np.maximum(1, pixels.sum(axis=1, keepdims=True))
    shifts = np.array([step.shifts for step in steps])
    off = np.zeros_like(shifts)
    if len(off) < MIN_FRAMES:
        return off, fractions
    exposure = np.cumsum(shifts, axis=0)
    # The mean shift of each channel over its pixels: three values in which steps are clearest.
    overall = np.cumsum(_in_channels(shifts, fractions), axis=0)
    breaks = {index + 1 for index, gain in enumerate(gains) if gain is None} | set(_lasting_steps(overall))
    for start, stop in pairwise([0, *sorted(breaks), len(off)]):
        if stop - start >= MIN_FRAMES:
            off[start:stop] = exposure[start:stop] - _trend(exposure[start:stop], overall[start:stop])
    off[np.abs(_in_channels(off, fractions)).max(axis=1) > MAX_SHIFT] = 0
    return off.clip(-MAX_SHIFT, MAX_SHIFT), fractions


def flicker_levels(off: Floats, fractions: Floats) -> float:
    """Strength of flicker in levels of 255: mean absolute second difference over time, relative to that of white noise.

    Second differences, because neither slower changes that remain after the regression are flicker, nor the drift of
    the measurement where the camera moves. `off` is in logits (frames, nodes + 3), `fractions` (frames, nodes).
    """
    if len(off) < 3:
        return 0.0
    channels = off[:, :NODES, None] + off[:, None, NODES:]
    second_differences = np.abs(np.diff(channels, 2, axis=0)).mean(axis=2)
    return float((second_differences * fractions[1:-1] * _LEVELS_PER_LOGIT).sum(axis=1).mean() / np.sqrt(6))


def _in_channels(shifts: Floats, fractions: Floats) -> Floats:
    """Mean shift of R, G and B (frames, 3), each node weighted by the fraction of pixels at it."""
    return np.asarray((shifts[:, :NODES] * fractions).sum(axis=1, keepdims=True) + shifts[:, NODES:])


def _lasting_steps(series: Floats) -> list[int]:
    """Frames at which a lasting step of the exposure (frames, channels) begins.

    At every frame a line is fitted to the frames on both sides together, with and without a jump at that frame. A
    flash, an alternation and a ramp are explained without a jump.
    """
    count = len(series)
    strength = np.zeros(count)
    for index in range(MIN_FRAMES - 1, count - MIN_FRAMES + 2):
        start, stop = max(0, index - STEP_SIDE), min(count, index + STEP_SIDE)
        time = np.arange(start, stop) - index
        design = np.stack([np.ones(len(time)), time, time >= 0], axis=1)
        inverse = np.linalg.inv(design.T @ design)
        fitted = inverse @ design.T @ series[start:stop]
        variance = np.square(series[start:stop] - design @ fitted).sum(axis=0) / (len(time) - 3)
        jump = np.abs(fitted[2])
        significance = jump / np.sqrt(variance * inverse[2, 2] + 1e-12)
        strength[index] = (significance * (jump > STEP_MIN)).max()
    found: list[int] = []
    for index in np.flatnonzero(strength > STEP_SIGNIFICANCE).tolist():
        near = strength[max(0, index - STEP_SIDE) : index + STEP_SIDE + 1]
        if strength[index] == near.max() and (not found or index - found[-1] >= MIN_FRAMES):
            found.append(index)
    return found


def _trend(series: Floats, overall: Floats) -> Floats:
    """The slow part of a series (frames, values): robust locally linear regression, LOWESS of Cleveland 1979.

    Frames that are far off in the overall exposure (frames, channels) count less, for all values alike.
    """
    robust = np.ones(len(series))
    for _ in range(_ROBUST_ROUNDS):
        residual = np.abs(overall - _local_lines(overall, robust)).max(axis=1)
        usual = _running_median(residual, min(WINDOW, len(residual))) + NOISE / 6
        robust = np.square(np.clip(1 - np.square(residual / (6 * usual)), 0, None))
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
    for index in range(count):
        start = min(max(0, index - span // 2), count - span)
        time = np.arange(start, start + span) - index
        near = (1 - (np.abs(time) / (np.abs(time).max() + 1)) ** 3) ** 3
        weights = near * np.maximum(robust[start : start + span], 1e-6)
        design = np.stack([np.ones(span), time], axis=1)
        line = np.linalg.solve(design.T @ (weights[:, None] * design), design.T * weights)
        fitted[index] = line[0] @ series[start : start + span]
    return fitted

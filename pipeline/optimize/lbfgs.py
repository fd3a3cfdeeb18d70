"""Safeguarded L-BFGS on a batch of images, with one history, step size and acceptance test per sample.

`torch.optim.LBFGS` flattens its parameters into one vector, so the curvature of one frame would steer another.

Shapes: images (B, 3, H, W) float32 in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pipeline.optimize.curvature import CurvatureHistory
from pipeline.optimize.minimum import Evaluation, Minimum, ObjectiveFunction, Observer, evaluation_limits

MAX_STEP_RMS = 0.08
"""No step moves the pixels by more than this (root mean square, pixel values in [0, 1])."""
FIRST_STEP_RMS = 0.01
"""Length of the first step, before any curvature is known: a badly scaled one costs as much as ten evaluations."""
WARM_FIRST_STEP_RMS = 0.002
"""The same for an image that is nearly finished: 0.01 is rejected there, which wastes one evaluation in eight."""
ALLOWED_RISE = 0.02
"""A step that raises the loss by more than this fraction is rejected and tried again at a quarter of its length."""
EPSILON = 1e-12
MAX_REJECTIONS = 4
"""After so many rejections in a row the curvature pairs are dropped: they do not describe this region."""


def lbfgs(
    objective: ObjectiveFunction,
    start: Tensor,
    *,
    evaluations: int | Sequence[int],
    history: int = 12,
    first_step_rms: float = FIRST_STEP_RMS,
    min_evaluations: int = 1,
    tolerance: float = 0.0,
    subset: Callable[[list[int]], ObjectiveFunction] | None = None,
    observer: Observer | None = None,
) -> Minimum:
    """Minimize a batch of images with at most `evaluations` calls of the objective, or as many for each as given.

    Limited-memory BFGS (Liu and Nocedal 1989) without a line search: the unit step is taken, capped at `MAX_STEP_RMS`,
    and rejected and quartered where it raised that sample's loss by more than `ALLOWED_RISE` or made it non-finite.
    Pixels are clamped to [0, 1]; a curvature pair is formed from the clamped step.
    A sample whose first loss is not finite stays where it started and reports that loss.

    With a `tolerance` a sample is done, after `min_evaluations`, when its last two accepted evaluations lowered its
    loss by less than this fraction each (on average); the others go on. It does not change any more then, so that a
    batch does not change a result. `subset` gives the objective of some of the samples; without it the ones that are
    done are still evaluated, and their values are not used. `observer` is called after every evaluation.
    """
    batch, shape = start.shape[0], start.shape
    limits = evaluation_limits(evaluations, batch)
    points = list(start.detach().clamp(0, 1).reshape(batch, -1))
    values, gradients, terms = _per_sample(objective(_joined(points).reshape(shape)))
    pairs = CurvatureHistory(batch, max(1, min(history, max(limits) - 1)), len(points[0]), points[0])
    alive = [math.isfinite(value) and _finite(gradient) for value, gradient in zip(values, gradients, strict=True)]
    steps = [
        _first_step(gradient, first_step_rms) if going else torch.zeros_like(gradient)
        for gradient, going in zip(gradients, alive, strict=True)
    ]
    rejections = [0] * batch
    spent = [1] * batch
    gains: list[list[float]] = [[] for _ in range(batch)]
    evaluated = list(range(batch))

    def minimum() -> Minimum:
        return Minimum(_joined(points).reshape(shape), torch.tensor(values), torch.stack(terms), tuple(spent))

    for number in range(1, max(limits) + 1):
        if observer is not None:
            so_far = minimum()
            observer(number, so_far.images, so_far.losses, so_far.terms)
        alive = [going and used < limit for going, used, limit in zip(alive, spent, limits, strict=True)]
        if not any(alive):
            break
        if subset is not None and sum(alive) < len(evaluated):
            evaluated = [b for b in range(batch) if alive[b]]
            objective = subset(evaluated)
        trials = [(points[b] + steps[b]).clamp_(0, 1) for b in evaluated]
        found = _per_sample(objective(_joined(trials).reshape(-1, *shape[1:])))
        for b, trial, value, gradient, term in zip(evaluated, trials, *found, strict=True):
            if not alive[b]:
                continue
            spent[b] += 1
            ceiling = values[b] + ALLOWED_RISE * abs(values[b])
            if not value <= ceiling or not _finite(gradient):
                rejections[b] += 1
                if rejections[b] % MAX_REJECTIONS == 0:
                    pairs.forget(b)
                    steps[b] = _first_step(gradients[b], first_step_rms) * 0.25 ** (rejections[b] // MAX_REJECTIONS)
                else:
                    steps[b] = steps[b] * 0.25
                continue
            rejections[b] = 0
            pairs.add(b, (points[b], trial), (gradients[b], gradient))
            gains[b].append((values[b] - value) / (abs(value) + EPSILON))
            points[b], gradients[b], values[b], terms[b] = trial, gradient, value, term
            if spent[b] >= min_evaluations and len(gains[b]) >= 2 and sum(gains[b][-2:]) < 2 * tolerance:
                alive[b] = False
                continue
            steps[b] = _next_step(pairs, b, gradients[b], first_step_rms)
    return minimum()


def _per_sample(found: Evaluation) -> tuple[list[float], list[Tensor], list[Tensor]]:
    """Losses, gradients (N,) and terms (K,) of every sample."""
    gradients = found.gradients.reshape(len(found.gradients), -1)
    return found.losses.tolist(), list(gradients), list(found.terms.float().cpu())


def _joined(parts: list[Tensor]) -> Tensor:
    """Vectors as rows; a single one without a copy."""
    return parts[0][None] if len(parts) == 1 else torch.stack(parts)


def _finite(vector: Tensor) -> bool:
    """Whether all values are finite: if one is not, their sum is not either."""
    return math.isfinite(float(vector.sum()))


def _rms(vector: Tensor) -> float:
    return float(vector.square().mean().sqrt())


def _first_step(gradient: Tensor, length_rms: float) -> Tensor:
    size = _rms(gradient)
    return -gradient * (length_rms / size) if size > 0 else torch.zeros_like(gradient)


def _next_step(pairs: CurvatureHistory, sample: int, gradient: Tensor, first_step_rms: float) -> Tensor:
    found = pairs.direction(sample, gradient)
    if found is not None:
        step, squared, slope = found
        if math.isfinite(squared) and squared > 0 and slope < 0:
            size = math.sqrt(squared / len(step))
            return step.mul_(MAX_STEP_RMS / size) if size > MAX_STEP_RMS else step
    pairs.forget(sample)
    return _first_step(gradient, first_step_rms)

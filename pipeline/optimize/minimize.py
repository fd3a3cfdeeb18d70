"""Safeguarded L-BFGS and Adam on a batch of pictures, one state per picture.

`torch.optim.LBFGS` flattens everything into one vector, so the curvature of one frame would steer another. Here every
sample has its own history, step size and acceptance test: a batch changes speed, never the result.

Shapes: pictures (B, 3, H, W) float32 in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An objective at B pictures: losses (B,), their gradients (B, 3, H, W), and the terms of each loss (B, K)."""

    losses: Tensor
    gradients: Tensor
    terms: Tensor


Objective = Callable[[Tensor], Evaluation]

MAX_STEP_RMS = 0.08
"""No step moves the pixels by more than this (root mean square, pixel values in [0, 1])."""
FIRST_STEP_RMS = 0.01
"""Length of the first step, before any curvature is known: a badly scaled one costs as much as ten evaluations."""
WARM_FIRST_STEP_RMS = 0.002
"""The same for a picture that is nearly finished: 0.01 is taken back there, which wastes one evaluation in eight."""
ALLOWED_RISE = 0.02
"""A step that raises the loss by more than this fraction is taken back and tried at a quarter of its length."""
EPSILON = 1e-12
MAX_REJECTIONS = 4
"""After so many rejections in a row the curvature pairs are forgotten: they do not describe this place."""


@dataclass(frozen=True, slots=True)
class Minimum:
    """The pictures found (B, 3, H, W), their losses (B,) and terms (B, K), and the evaluations spent on each."""

    images: Tensor
    losses: Tensor
    terms: Tensor
    evaluations: tuple[int, ...]


class _History:
    """Curvature pairs of B samples, and the L-BFGS direction from their dot products.

    The two-loop recursion runs on the small matrix of dot products between all pairs and the gradient instead of on
    full pictures ("vector-free L-BFGS", Chen, Wang and Zhou 2014): two passes over the history, whatever its length,
    and every sample may hold a different number of pairs.
    """

    def __init__(self, batch: int, size: int, length: int, like: Tensor) -> None:
        self.size = size
        # Row 2 k holds step k and row 2 k + 1 its gradient difference; only rows that are filled are ever read.
        self.pairs = like.new_empty(batch, 2 * size, length)
        self.latest = like.new_empty(3, length)
        self.dots = np.zeros((batch, 2 * size, 2 * size))
        self.gradient_products = np.zeros((batch, 2 * size))
        self.energy = np.zeros(batch)
        self.order: list[list[int]] = [[] for _ in range(batch)]

    def forget(self, sample: int) -> None:
        """Drop the pairs of one sample."""
        self.order[sample].clear()

    def add(self, sample: int, points: tuple[Tensor, Tensor], gradients: tuple[Tensor, Tensor]) -> None:
        """Keep the pair (step, gradient change) of one sample if its curvature is positive.

        Points and gradients are (N,), the old and the new one. The products of the new gradient with everything are
        taken in the same passes.
        """
        vectors = self.latest
        vectors[0] = gradients[1]
        torch.sub(points[1], points[0], out=vectors[1])
        torch.sub(gradients[1], gradients[0], out=vectors[2])
        own = _float64(vectors @ vectors.mT)
        self.energy[sample] = own[0, 0]
        order, dots, along = self.order[sample], self.dots[sample], self.gradient_products[sample]
        filled = 2 * len(order)
        products = _float64(torch.einsum("kn,rn->kr", vectors, self.pairs[sample, :filled]))
        along[:filled] = products[0]
        curvature, strength = own[1, 2], own[2, 2]
        if not curvature > 1e-10 * strength or strength == 0.0:
            return
        slot = order.pop(0) if len(order) == self.size else len(order)
        order.append(slot)
        rows = slice(2 * slot, 2 * slot + 2)
        self.pairs[sample, rows] = vectors[1:]
        dots[rows, :filled] = products[1:]
        dots[:filled, rows] = products[1:].T
        dots[rows, rows] = own[1:, 1:]
        along[rows] = own[0, 1:]

    def direction(self, sample: int, gradient: Tensor) -> tuple[Tensor, float, float] | None:
        """The quasi-Newton direction for the gradient (N,) of the last `add`, or None without pairs.

        With it its squared length and its product with the gradient, which follow from the small matrix.
        """
        order = self.order[sample]
        if not order:
            return None
        dots, along = self.dots[sample], self.gradient_products[sample]

        # Nocedal and Wright, Numerical Optimization, algorithm 7.4, on coefficients of the pairs and the gradient.
        weights, alphas = np.zeros(2 * self.size), np.zeros(self.size)
        for slot in reversed(order):
            step, change = 2 * slot, 2 * slot + 1
            alphas[slot] = (along[step] + dots[step] @ weights) / dots[step, change]
            weights[change] -= alphas[slot]
        newest = 2 * order[-1]
        gamma = float(dots[newest, newest + 1] / dots[newest + 1, newest + 1])
        weights *= gamma
        for slot in order:
            step, change = 2 * slot, 2 * slot + 1
            beta = (gamma * along[change] + dots[change] @ weights) / dots[step, change]
            weights[step] += alphas[slot] - beta
        filled = 2 * len(order)
        found = torch.from_numpy(-weights[:filled]).to(gradient) @ self.pairs[sample, :filled]
        found.sub_(gradient, alpha=gamma)
        energy, across = self.energy[sample], float(weights @ along)
        squared = float(weights @ dots @ weights) + 2 * gamma * across + gamma**2 * energy
        return found, squared, -(across + gamma * energy)


def _float64(small: Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = small.double().cpu().numpy()
    return found


def _finite(vector: Tensor) -> bool:
    """Whether all values are finite: if one is not, their sum is not either."""
    return math.isfinite(float(vector.sum()))


def _rms(vector: Tensor) -> float:
    return float(vector.square().mean().sqrt())


def lbfgs(
    objective: Objective,
    start: Tensor,
    *,
    evaluations: int | Sequence[int],
    history: int = 12,
    first_step_rms: float = FIRST_STEP_RMS,
    min_evaluations: int = 1,
    tolerance: float = 0.0,
    subset: Callable[[list[int]], Objective] | None = None,
) -> Minimum:
    """Minimize a batch of pictures with at most `evaluations` calls of the objective, or as many for each as given.

    Limited-memory BFGS (Liu and Nocedal 1989) without a line search: the unit step is taken, capped at `MAX_STEP_RMS`,
    and taken back and quartered where it raised that sample's loss by more than `ALLOWED_RISE` or made it non-finite.
    Pixels are clamped to [0, 1]; a curvature pair is formed from the clamped step, so it describes what happened.
    A sample whose first loss is not finite stays where it started and reports that loss.

    With a `tolerance` a sample is done, after `min_evaluations`, when its last two accepted evaluations lowered its
    loss by less than this share each (on average); the others go on. It is left as it is then, so that a batch does not
    change a result. `narrow` gives the objective of some of the samples; without it the ones that are done are still
    evaluated, for nothing.
    """
    batch, shape = start.shape[0], start.shape
    limits = [evaluations] * batch if isinstance(evaluations, int) else list(evaluations)
    points = list(start.detach().clamp(0, 1).reshape(batch, -1))
    values, gradients, terms = _evaluate(objective, points, shape)
    memory = _History(batch, max(1, min(history, max(limits) - 1)), len(points[0]), points[0])
    alive = [math.isfinite(value) and _finite(gradient) for value, gradient in zip(values, gradients, strict=True)]
    steps = [
        _first_step(gradient, first_step_rms) if going else torch.zeros_like(gradient)
        for gradient, going in zip(gradients, alive, strict=True)
    ]
    rejections = [0] * batch
    spent = [1] * batch
    gains: list[list[float]] = [[] for _ in range(batch)]
    asked = list(range(batch))
    for _ in range(max(limits) - 1):
        alive = [going and used < limit for going, used, limit in zip(alive, spent, limits, strict=True)]
        if not any(alive):
            break
        if subset is not None and sum(alive) < len(asked):
            asked = [b for b in range(batch) if alive[b]]
            objective = subset(asked)
        trials = [(points[b] + steps[b]).clamp_(0, 1) for b in asked]
        evaluated = zip(asked, trials, *_evaluate(objective, trials, shape), strict=True)
        for b, trial, value, gradient, term in evaluated:
            if not alive[b]:
                continue
            spent[b] += 1
            ceiling = values[b] + ALLOWED_RISE * abs(values[b])
            if not value <= ceiling or not _finite(gradient):
                rejections[b] += 1
                if rejections[b] % MAX_REJECTIONS == 0:
                    memory.forget(b)
                    steps[b] = _first_step(gradients[b], first_step_rms) * 0.25 ** (rejections[b] // MAX_REJECTIONS)
                else:
                    steps[b] = steps[b] * 0.25
                continue
            rejections[b] = 0
            memory.add(b, (points[b], trial), (gradients[b], gradient))
            gains[b].append((values[b] - value) / (abs(value) + EPSILON))
            points[b], gradients[b], values[b], terms[b] = trial, gradient, value, term
            if spent[b] >= min_evaluations and len(gains[b]) >= 2 and sum(gains[b][-2:]) < 2 * tolerance:
                alive[b] = False
                continue
            steps[b] = _next_step(memory, b, gradients[b], first_step_rms)
    return Minimum(_joined(points).reshape(shape), torch.tensor(values), torch.stack(terms), tuple(spent))


def _evaluate(
    objective: Objective, points: list[Tensor], shape: torch.Size
) -> tuple[list[float], list[Tensor], list[Tensor]]:
    """Losses, gradients (N,) and terms (K,) of every sample."""
    found = objective(_joined(points).reshape(-1, *shape[1:]))
    return found.losses.tolist(), list(found.gradients.reshape(len(points), -1)), list(found.terms.float().cpu())


def _joined(parts: list[Tensor]) -> Tensor:
    """Vectors as rows; a single one without a copy."""
    return parts[0][None] if len(parts) == 1 else torch.stack(parts)


def _first_step(gradient: Tensor, length_rms: float) -> Tensor:
    size = _rms(gradient)
    return -gradient * (length_rms / size) if size > 0 else torch.zeros_like(gradient)


def _next_step(memory: _History, sample: int, gradient: Tensor, first_step_rms: float) -> Tensor:
    found = memory.direction(sample, gradient)
    if found is not None:
        step, squared, slope = found
        if math.isfinite(squared) and squared > 0 and slope < 0:
            size = math.sqrt(squared / len(step))
            return step.mul_(MAX_STEP_RMS / size) if size > MAX_STEP_RMS else step
    memory.forget(sample)
    return _first_step(gradient, first_step_rms)


def adam(
    objective: Objective, start: Tensor, *, evaluations: int | Sequence[int], learning_rate: float = 0.02
) -> Minimum:
    """Minimize with Adam (Kingma and Ba 2015; betas 0.9 and 0.99), clamped to [0, 1]; returns each sample's best.

    Every sample takes its `evaluations`, and stays as it is while others take more. We depart from the paper by
    decaying the step size to a tenth along half a cosine, so that the last pictures settle.
    """
    batch = start.shape[0]
    limits = [evaluations] * batch if isinstance(evaluations, int) else list(evaluations)
    points = start.detach().clamp(0, 1).clone()
    first, second = torch.zeros_like(points), torch.zeros_like(points)
    best, losses, terms = points.clone(), torch.zeros(0), torch.zeros(0)
    for k in range(max(limits)):
        found = objective(points)
        found_losses, found_terms = found.losses.float().cpu(), found.terms.float().cpu()
        if k == 0:
            losses, terms = found_losses, found_terms
        else:
            better = (found_losses < losses) & torch.tensor([k < limit for limit in limits])
            best = torch.where(better.to(points.device)[:, None, None, None], points, best)
            losses = torch.where(better, found_losses, losses)
            terms = torch.where(better[:, None], found_terms, terms)
        # A sample whose loss has become non-finite stands still, and the best picture seen is what it returns.
        gradients = torch.nan_to_num(found.gradients, nan=0.0, posinf=0.0, neginf=0.0)
        first.lerp_(gradients, 0.1)
        second.lerp_(gradients.square(), 0.01)
        decay = points.new_tensor([_decay(k, limit) for limit in limits])[:, None, None, None]
        update = (first / (1 - 0.9 ** (k + 1))) / ((second / (1 - 0.99 ** (k + 1))).sqrt() + 1e-8)
        points = (points - learning_rate * decay * update).clamp_(0, 1)
    return Minimum(best, losses, terms, tuple(limits))


def _decay(k: int, evaluations: int) -> float:
    """From 1 to a tenth over the evaluations of a sample, and nothing after them."""
    return 0.55 + 0.45 * math.cos(math.pi * k / max(1, evaluations - 1)) if k < evaluations else 0.0

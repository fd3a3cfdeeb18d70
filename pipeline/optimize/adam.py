"""Adam on a batch of images, with one best image per sample."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.optimize.minimum import Minimum, ObjectiveFunction, Observer, evaluation_limits


def adam(
    objective: ObjectiveFunction,
    start: Tensor,
    *,
    evaluations: int | Sequence[int],
    learning_rate: float = 0.02,
    observer: Observer | None = None,
) -> Minimum:
    """Minimize with Adam (Kingma and Ba 2015; betas 0.9 and 0.99), clamped to [0, 1]; returns each sample's best image.

    Every sample takes its `evaluations`, and stays as it is while others take more. We depart from the paper by
    decaying the step size to a tenth along half a cosine, so that the last images settle. `observer` is called after
    every evaluation; without it the device is not waited for before the end.
    """
    limits = evaluation_limits(evaluations, start.shape[0])
    decays = start.new_tensor([[_decay(k, limit) for limit in limits] for k in range(max(limits))])
    points = start.detach().clamp(0, 1).clone()
    first, second = torch.zeros_like(points), torch.zeros_like(points)
    best, losses, terms = points.clone(), points.new_zeros(0), points.new_zeros(0)
    for k, decay in enumerate(decays):
        found = objective(points)
        if k == 0:
            losses, terms = found.losses.float().clone(), found.terms.float().clone()
        else:
            better = (found.losses < losses) & (decay > 0)
            best = torch.where(better[:, None, None, None], points, best)
            losses = torch.where(better, found.losses, losses)
            terms = torch.where(better[:, None], found.terms, terms)
        if observer is not None:
            observer(k + 1, best, losses.cpu(), terms.cpu())
        # A sample whose loss is no longer finite stays where it is; its best image is returned.
        gradients = torch.nan_to_num(found.gradients, nan=0.0, posinf=0.0, neginf=0.0)
        first.lerp_(gradients, 0.1)
        second.lerp_(gradients.square(), 0.01)
        update = (first / (1 - 0.9 ** (k + 1))).div_((second / (1 - 0.99 ** (k + 1))).sqrt_().add_(1e-8))
        points.sub_(update.mul_((learning_rate * decay)[:, None, None, None])).clamp_(0, 1)
    return Minimum(best, losses.cpu(), terms.cpu(), tuple(limits))


def _decay(k: int, evaluations: int) -> float:
    """Step size of evaluation `k`, relative to the first: from 1 to a tenth, and 0 after the last evaluation."""
    return 0.55 + 0.45 * math.cos(math.pi * k / max(1, evaluations - 1)) if k < evaluations else 0.0

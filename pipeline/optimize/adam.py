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
    every evaluation.
    """
    limits = evaluation_limits(evaluations, start.shape[0])
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
        if observer is not None:
            observer(k + 1, best, losses, terms)
        # A sample whose loss is no longer finite stays where it is; its best image is returned.
        gradients = torch.nan_to_num(found.gradients, nan=0.0, posinf=0.0, neginf=0.0)
        first.lerp_(gradients, 0.1)
        second.lerp_(gradients.square(), 0.01)
        decay = points.new_tensor([_decay(k, limit) for limit in limits])[:, None, None, None]
        update = (first / (1 - 0.9 ** (k + 1))) / ((second / (1 - 0.99 ** (k + 1))).sqrt() + 1e-8)
        points = (points - learning_rate * decay * update).clamp_(0, 1)
    return Minimum(best, losses, terms, tuple(limits))


def _decay(k: int, evaluations: int) -> float:
    """Step size of evaluation `k`, relative to the first: from 1 to a tenth, and 0 after the last evaluation."""
    return 0.55 + 0.45 * math.cos(math.pi * k / max(1, evaluations - 1)) if k < evaluations else 0.0

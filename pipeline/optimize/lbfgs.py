"""Safeguarded L-BFGS on a batch of images, with one history, step size and acceptance test per sample.

`torch.optim.LBFGS` flattens its parameters into one vector, so the curvature of one frame would steer another.

Shapes: images (B, 3, H, W) float32 in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline.optimize.curvature import Curvature, Floats, Integers
from pipeline.optimize.history import History, assign
from pipeline.optimize.minimum import Evaluation, Minimum, ObjectiveFunction, Observer, evaluation_limits
from pipeline.runtime.transfers import take, upload

MAX_STEP_RMS = 0.08
"""No step moves the pixels by more than this (root mean square, pixel values in [0, 1])."""
FIRST_STEP_RMS = 0.01
"""Length of the first step, before any curvature is known: a badly scaled one costs as much as ten evaluations."""
WARM_FIRST_STEP_RMS = 0.002
"""The same for an image that is nearly finished: 0.01 is rejected there, which wastes one evaluation in eight."""
ALLOWED_RISE = 0.02
"""A step that raises the loss by more than this fraction is rejected and tried again at a quarter of its length."""
PAIRS = 6
"""Curvature pairs that are kept."""
EPSILON = 1e-12
MAX_REJECTIONS = 4
"""After so many rejections in a row the curvature pairs are dropped: they do not describe this region."""


def lbfgs(
    objective: ObjectiveFunction,
    start: Tensor,
    *,
    evaluations: int | Sequence[int],
    history: int = PAIRS,
    history_dtype: torch.dtype = torch.float32,
    history_device: torch.device | None = None,
    first_step_rms: float = FIRST_STEP_RMS,
    min_evaluations: int = 1,
    tolerance: float | Sequence[float] = 0.0,
    subset: Callable[[list[int]], ObjectiveFunction] | None = None,
    observer: Observer | None = None,
) -> Minimum:
    """Minimize a batch of images with at most `evaluations` calls of the objective, or as many for each as given.

    Limited-memory BFGS (Liu and Nocedal 1989) without a line search: the unit step is taken, capped at `MAX_STEP_RMS`,
    and rejected and quartered where it raised that sample's loss by more than `ALLOWED_RISE`, or where the loss or the
    squared length of the gradient is not finite. Pixels are clamped to [0, 1]; a curvature pair is formed from the
    clamped step. A sample whose first loss or gradient is not finite stays where it started and reports that loss.

    With a `tolerance`, one for all or one for each, a sample is done, after `min_evaluations`, when its last two
    accepted evaluations lowered its loss by less than this fraction each (on average); the others go on. It does not
    change any more then, so that a batch does not change a result. `subset` gives the objective of some of the
    samples; without it the ones that are done are still evaluated, and their values are not used. `observer` is called
    after every evaluation.

    The device is waited for once per evaluation: losses, terms and all dot products come to the host together, which
    decides for every sample and sends back the weights of the next steps. While the objective is computed, three
    tensors of the size of the images are held, and two for each of `history` pairs. These may have another dtype
    (`torch.bfloat16`) or be on another device (the host's memory), which saves memory and takes time.
    """
    batch, shape = len(start), start.shape[1:]
    limits = np.array(evaluation_limits(evaluations, batch))
    tolerances = np.asarray(tolerance, np.float64)
    trial = start.detach().clamp(0, 1).reshape(batch, -1).contiguous()
    points = trial.clone()
    size = max(1, min(history, int(limits.max()) - 1))
    vectors = History(start, size, dtype=history_dtype, device=history_device)
    curvature, filled = Curvature(batch, size), 0
    images, evaluated = points, np.arange(batch)  # of all samples; and the samples that `points` and `trial` hold
    alive = np.ones(batch, np.bool_)
    spent, rejections = np.zeros((2, batch), np.int64)
    losses, gains, terms = np.full(batch, np.inf), np.full((batch, 2), np.inf), np.zeros((batch, 0))

    def minimum() -> Minimum:
        everything = points
        if len(evaluated) < batch:
            everything = images
            everything[upload(evaluated, points.device)] = points
        found_losses, found_terms = (torch.from_numpy(values).float() for values in (losses, terms))
        return Minimum(everything.view(batch, *shape), found_losses, found_terms, tuple(spent.tolist()))

    for number in range(1, int(limits.max()) + 1):
        found = objective(trial.view(-1, *shape))
        products = vectors.products(points, trial, found.gradients, filled)
        new_losses, new_terms, dots = _on_host(found, products, evaluated, batch)
        spent += alive
        finite = np.isfinite(new_losses) & np.isfinite(dots[:, 0, 0])
        accepted = alive & finite & (new_losses <= losses + ALLOWED_RISE * np.abs(losses))
        rejections = np.where(accepted, 0, rejections + 1)
        gain = (losses[accepted] - new_losses[accepted]) / (np.abs(new_losses[accepted]) + EPSILON)
        gains[accepted] = np.stack((gains[accepted, 1], gain), axis=1)
        if number == 1:  # also what is not finite is reported
            alive, losses, terms = accepted.copy(), new_losses, new_terms
        losses, terms = np.where(accepted, new_losses, losses), np.where(accepted[:, None], new_terms, terms)

        kept, slots = curvature.add(dots, accepted)
        vectors.accept(points, trial, found.gradients, accepted[evaluated], kept[evaluated], slots[evaluated])
        del found  # the next evaluation needs the memory
        if accepted[evaluated].all():
            points, trial = trial, points
        else:
            assign(points, trial, accepted[evaluated])
        curvature.forget((rejections > 0) & (rejections % MAX_REJECTIONS == 0))

        alive &= ~(accepted & (spent >= min_evaluations) & (gains.sum(axis=1) < 2 * tolerances))
        if observer is not None:
            so_far = minimum()
            observer(number, so_far.images, so_far.losses, so_far.terms)
        alive &= spent < limits
        if not alive.any():
            break
        if subset is not None and alive.sum() < len(evaluated):
            images = minimum().images.flatten(1)
            places = np.flatnonzero(alive[evaluated])
            evaluated = evaluated[places]
            points = take(points, places)
            trial = torch.empty_like(points)
            vectors.narrow(places)
            objective = subset(evaluated.tolist())
        weights = next_steps(curvature, rejections, points.shape[1], first_step_rms)
        filled = curvature.filled(evaluated)
        vectors.combine(points, weights[evaluated, : 1 + 2 * filled], out=trial)
    return minimum()


def _on_host(found: Evaluation, products: Tensor, evaluated: Integers, batch: int) -> tuple[Floats, Floats, Floats]:
    """Losses (B,), terms (B, K) and dot products (B, 3, R) on the host, 0 for the samples that were not evaluated.

    In one transfer: it waits for the device.
    """
    packed = torch.cat((found.losses[:, None], found.terms, products.flatten(1)), dim=1).cpu().numpy()
    values = np.zeros((batch, packed.shape[1]))
    values[evaluated] = packed
    losses, terms, dots = np.split(values, (1, 1 + found.terms.shape[1]), axis=1)
    return losses[:, 0], terms, dots.reshape(batch, *products.shape[1:])


def next_steps(curvature: Curvature, rejections: Integers, length: int, first_step_rms: float) -> Floats:
    """Weights (B, 1 + 2 size) of the next steps, of `length` values each, after so many rejections (B,) in a row.

    The quasi-Newton step, or one down the gradient where there is none that descends; the pairs are dropped there.
    """
    directions, squared, slopes = curvature.directions()
    descends = np.isfinite(squared) & (squared > 0) & (slopes < 0)
    curvature.forget(~descends)
    directions[~descends] = -np.eye(1, directions.shape[1])
    rms = np.sqrt(np.where(descends, squared, curvature.energy) / length)
    wanted = np.where(descends, np.minimum(rms, MAX_STEP_RMS), first_step_rms)
    factors = np.divide(wanted, rms, out=np.zeros_like(rms), where=rms > 0)
    factors *= 0.25 ** (rejections // MAX_REJECTIONS + rejections % MAX_REJECTIONS)
    return directions * factors[:, None]

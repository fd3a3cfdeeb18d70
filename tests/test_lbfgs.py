"""L-BFGS decides for every sample what it would decide for that sample alone, from one transfer per evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.config.settings import StylizeSettings
from pipeline.config.style import StyleImage, StyleSettings
from pipeline.encoders import load_encoder
from pipeline.media.image.arrays import to_tensor
from pipeline.optimize.curvature import Curvature
from pipeline.optimize.lbfgs import (
    ALLOWED_RISE,
    EPSILON,
    FIRST_STEP_RMS,
    MAX_REJECTIONS,
    MAX_STEP_RMS,
    lbfgs,
    next_steps,
)
from pipeline.optimize.minimum import Evaluation, ObjectiveFunction
from pipeline.optimize.objective import Objective, style_target
from tests.support.clips import texture
from tests.support.transfers import HostTransfers

SHAPE = (3, 8, 8)


def random(count: int, seed: int) -> Tensor:
    return torch.rand((count, *SHAPE), generator=torch.Generator().manual_seed(seed))


def evaluation(function: Callable[[Tensor], Tensor], images: Tensor) -> Evaluation:
    """Of a function from images to losses (B,)."""
    pixels = images.detach().requires_grad_()
    losses = function(pixels)
    (gradients,) = torch.autograd.grad(losses.sum(), pixels)
    return Evaluation(losses.detach(), gradients, losses.detach()[:, None])


def bowl(images: Tensor) -> Evaluation:
    """A quadratic with curvatures from 0.2 to 20 around points in and out of the range of pixels."""
    curvature, center = 0.2 + 19.8 * random(1, 1), 1.6 * random(1, 2) - 0.3
    return evaluation(lambda pixels: (curvature * (pixels - center).square()).sum(dim=(1, 2, 3)), images)


def valley(images: Tensor) -> Evaluation:
    """Rosenbrock's function of channels 0 and 1: curved and badly scaled, so that steps are rejected."""

    def value(pixels: Tensor) -> Tensor:
        x, y = pixels[:, 0], pixels[:, 1]
        return (100 * (y - x.square()).square() + (0.5 - x).square()).sum(dim=(1, 2))

    return evaluation(value, images)


def walled(images: Tensor) -> Evaluation:
    """The bowl where the mean is below 0.4, on the way to its center, and infinite above."""
    found = bowl(images)
    outside = images.mean(dim=(1, 2, 3)) >= 0.4
    return Evaluation(found.losses.masked_fill(outside, torch.inf), found.gradients, found.terms)


def torn(images: Tensor) -> Evaluation:
    """The same, but above it is the gradient that is not finite."""
    found = bowl(images)
    outside = images.mean(dim=(1, 2, 3)) >= 0.4
    gradients = found.gradients.masked_fill(outside[:, None, None, None], torch.inf)
    return Evaluation(found.losses, gradients, found.terms)


def not_a_number(images: Tensor) -> Evaluation:
    found = bowl(images)
    return Evaluation(found.losses * torch.nan, found.gradients * torch.inf, found.terms)


class Different:
    """Each sample of a batch has an objective of its own."""

    def __init__(self, functions: Sequence[ObjectiveFunction]) -> None:
        self.functions = functions
        self.counts: list[int] = []

    def subset(self, samples: list[int]) -> Different:
        part = Different([self.functions[sample] for sample in samples])
        part.counts = self.counts
        return part

    def __call__(self, images: Tensor) -> Evaluation:
        self.counts.append(len(images))
        found = [function(image[None]) for function, image in zip(self.functions, images, strict=True)]
        return Evaluation(*(torch.cat([getattr(one, name) for one in found]) for name in Evaluation.__slots__))


class Recording:
    """The images (1, 3, H, W) that an objective is asked for."""

    def __init__(self, objective: ObjectiveFunction) -> None:
        self.objective = objective
        self.images: list[Tensor] = []

    def __call__(self, images: Tensor) -> Evaluation:
        self.images.append(images.double())
        return self.objective(images)


def reference(
    objective: ObjectiveFunction, start: Tensor, *, evaluations: int, history: int, tolerance: float = 0.0
) -> tuple[Tensor, int]:
    """The method as it is described, for one image in float64, with the two-loop recursion on full vectors.

    Returns the image, and the most rejections in a row.
    """

    def at(image: Tensor) -> tuple[float, Tensor]:
        found = objective(image)
        return found.losses.item(), found.gradients

    def rms(vector: Tensor) -> float:
        return vector.square().mean().sqrt().item()

    def next_step() -> Tensor:
        if pairs:
            q, alphas = gradient.clone(), []
            for s, y in reversed(pairs):
                alphas.append((s * q).sum() / (s * y).sum())
                q -= alphas[-1] * y
            s, y = pairs[-1]
            q *= (s * y).sum() / (y * y).sum()
            for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
                q += s * (alpha - (y * q).sum() / (s * y).sum())
            if (q * gradient).sum() > 0:
                return -q * min(1.0, MAX_STEP_RMS / rms(q))
        pairs.clear()
        return -gradient * FIRST_STEP_RMS / rms(gradient)

    point = start.double()
    pairs: list[tuple[Tensor, Tensor]] = []
    gains: list[float] = []
    (loss, gradient), rejections, most = at(point), 0, 0
    step = next_step()
    for _ in range(1, evaluations):
        trial = (point + step).clamp(0, 1)
        new_loss, new_gradient = at(trial)
        if not new_loss <= loss + ALLOWED_RISE * abs(loss) or not new_gradient.isfinite().all():
            rejections += 1
            most = max(most, rejections)
            step = step / 4
            if rejections % MAX_REJECTIONS == 0:
                pairs.clear()
                step = next_step() / 4 ** (rejections // MAX_REJECTIONS)
            continue
        rejections = 0
        s, y = trial - point, new_gradient - gradient
        if (s * y).sum() > 1e-10 * (y * y).sum() > 0:
            pairs = [*pairs, (s, y)][-history:]
        gains.append((loss - new_loss) / (abs(new_loss) + EPSILON))
        point, loss, gradient = trial, new_loss, new_gradient
        if len(gains) > 1 and sum(gains[-2:]) < 2 * tolerance:
            break
        step = next_step()
    return point, most


@pytest.mark.parametrize("history", [1, 3, 12])
@pytest.mark.parametrize(
    ("objective", "evaluations", "rejections"),
    [(bowl, 25, 0), (valley, 16, 1), (walled, 25, MAX_REJECTIONS + 1), (torn, 25, MAX_REJECTIONS + 1)],
)
def test_images_are_those_of_the_method_as_described(
    objective: ObjectiveFunction, evaluations: int, rejections: int, history: int
) -> None:
    start = 0.3 * random(1, 7)
    expected, found = Recording(objective), Recording(objective)
    image, most = reference(expected, start, evaluations=evaluations, history=history)
    assert most >= rejections
    minimum = lbfgs(found, start, evaluations=evaluations, history=history)
    assert torch.allclose(torch.cat(found.images), torch.cat(expected.images), atol=1e-4)
    assert torch.allclose(minimum.images.double(), image, atol=1e-4)


def test_a_converged_image_is_the_one_of_the_method_as_described() -> None:
    start, expected = 0.3 * random(1, 7), Recording(bowl)
    image, _ = reference(expected, start, evaluations=40, history=5, tolerance=0.01)
    found = lbfgs(bowl, start, evaluations=40, history=5, tolerance=0.01)
    assert found.evaluations == (len(expected.images),) and len(expected.images) < 40
    assert torch.allclose(found.images.double(), image, atol=1e-4)


def test_pairs_whose_direction_does_not_descend_are_dropped() -> None:
    """Which rounding alone can cause: here the squared length of a step is negative, or not a number."""
    curvature = Curvature(3, 2)
    pair = np.array([[4.0, -1.0, 1.0], [-1.0, 1.0, 1.0], [1.0, 1.0, 2.0]])  # gradient, step and change
    found = np.stack((pair, pair, pair))
    found[1, 1, 1], found[2, 1, 1] = -1e6, np.nan
    curvature.add(found, np.ones(3, np.bool_))
    weights = next_steps(curvature, np.zeros(3, np.int64), 100, 0.01)
    assert [curvature.filled(np.array([sample])) for sample in range(3)] == [1, 0, 0]
    assert weights[0, 1:3].all()
    assert np.allclose(weights[1:], [[-0.01 / np.sqrt(4 / 100), 0, 0, 0, 0]] * 2)


FUNCTIONS = (walled, bowl, not_a_number, valley, torn, bowl)
LIMITS = [24, 12, 24, 16, 20, 24]


@pytest.mark.parametrize("narrowed", [True, False])
@pytest.mark.parametrize("tolerance", [0.0, 0.01])
def test_each_sample_of_a_wild_batch_is_as_alone(tolerance: float, narrowed: bool) -> None:
    """Some are rejected while others are not, drop their pairs, reach their limit, converge, or are never finite."""
    together, start = Different(FUNCTIONS), 0.3 * random(6, 7)
    options: dict[str, Any] = {"history": 4, "tolerance": tolerance, "min_evaluations": 3}
    subset = together.subset if narrowed else None
    found = lbfgs(together, start, evaluations=LIMITS, subset=subset, **options)
    for sample, (function, limit) in enumerate(zip(FUNCTIONS, LIMITS, strict=True)):
        alone = lbfgs(function, start[sample, None], evaluations=limit, **options)
        assert found.evaluations[sample] == alone.evaluations[0]
        assert torch.allclose(found.images[sample], alone.images[0], atol=1e-6)
        assert torch.allclose(found.losses[sample], alone.losses[0], equal_nan=True)
        assert torch.allclose(found.terms[sample], alone.terms[0], equal_nan=True)
    assert found.evaluations[2] == 1 and torch.equal(found.images[2], start[2]) and found.losses[2].isnan()
    assert len(together.counts) == max(found.evaluations)
    evaluations = sum(found.evaluations) if narrowed else 6 * max(found.evaluations)
    assert sum(together.counts) == evaluations


def test_permuting_a_wild_batch_permutes_the_result() -> None:
    start, order = 0.3 * random(6, 7), [4, 2, 0, 5, 1, 3]
    found = lbfgs(Different(FUNCTIONS), start, evaluations=LIMITS)
    permuted = lbfgs(
        Different([FUNCTIONS[sample] for sample in order]),
        start[order],
        evaluations=[LIMITS[sample] for sample in order],
    )
    assert torch.allclose(permuted.images, found.images[order], atol=1e-6)
    assert permuted.evaluations == tuple(found.evaluations[sample] for sample in order)


@pytest.mark.parametrize("batch", [1, 6])
def test_the_device_is_waited_for_once_per_evaluation(batch: int) -> None:
    objective = Different(FUNCTIONS[:batch])
    with HostTransfers() as transfers:
        found = lbfgs(objective, 0.3 * random(6, 7)[:batch], evaluations=LIMITS[:batch])
    assert transfers.count == max(found.evaluations) == len(objective.counts)


def test_bfloat16_pairs_reach_the_losses_of_float32_pairs() -> None:
    """On average: float32 rounding alone makes half a percent of difference in one image of this size."""
    contents = torch.stack([to_tensor(texture((64, 48), seed)) for seed in range(4)])
    settings = StylizeSettings(style=StyleSettings(images=(StyleImage(path=Path("style")),))).losses
    encoder = load_encoder("compact")
    style = style_target(encoder, settings, to_tensor(texture((64, 48), 9))[None], 100.0)
    objective = Objective.of(encoder, settings, contents, (style,))
    full = lbfgs(objective, contents, evaluations=20)
    half = lbfgs(objective, contents, evaluations=20, history_dtype=torch.bfloat16)
    assert not torch.equal(half.images, full.images)
    assert (half.losses / full.losses).mean() < 1.01

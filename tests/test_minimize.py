"""The minimizers find minima, reject bad steps, and treat the samples of a batch independently."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from pipeline.optimize.adam import adam
from pipeline.optimize.lbfgs import MAX_STEP_RMS, lbfgs
from pipeline.optimize.minimum import Evaluation, Minimum, ObjectiveFunction
from tests.support.transfers import HostTransfers

Minimize = Callable[..., Minimum]
SHAPE = (3, 8, 8)


def random(count: int, seed: int) -> Tensor:
    return torch.rand((count, *SHAPE), generator=torch.Generator().manual_seed(seed))


class Quadratic:
    """Per sample sum of a_i (x_i - c_i)^2, with curvatures a from 0.1 to 10."""

    def __init__(self, count: int) -> None:
        self.curvature = 0.1 + 9.9 * random(count, 1)
        self.center = random(count, 2)
        self.seen: list[Tensor] = []

    def only(self, sample: int) -> Quadratic:
        one = Quadratic(1)
        one.curvature, one.center = self.curvature[sample, None], self.center[sample, None]
        return one

    def __call__(self, images: Tensor) -> Evaluation:
        self.seen.append(images.clone())
        difference = images - self.center
        terms = (self.curvature * difference.square()).sum(dim=(2, 3))
        return Evaluation(terms.sum(dim=1), 2 * self.curvature * difference, terms)


def rosenbrock(images: Tensor) -> Evaluation:
    """Rosenbrock's valley in every pair of channels 0 and 1: curved, badly scaled, minimum 0 at (0.5, 0.25)."""
    pixels = images.detach().requires_grad_()
    x, y = pixels[:, 0], pixels[:, 1]
    losses = (100 * (y - x.square()).square() + (0.5 - x).square()).sum(dim=(1, 2))
    (gradients,) = torch.autograd.grad(losses.sum(), pixels)
    return Evaluation(losses.detach(), gradients, losses.detach()[:, None])


MINIMIZERS: dict[str, Minimize] = {
    "lbfgs": partial(lbfgs, evaluations=40),
    "adam": partial(adam, evaluations=40, learning_rate=0.05),
}


def test_lbfgs_finds_the_minimum_of_a_quadratic() -> None:
    problem = Quadratic(2)
    found = lbfgs(problem, torch.full((2, *SHAPE), 0.5), evaluations=60)
    assert found.losses.max() < 1e-4
    assert torch.allclose(found.images, problem.center, atol=1e-2)
    assert found.evaluations == (60, 60)
    assert len(problem.seen) == 60


def test_adam_lowers_the_loss_of_a_quadratic() -> None:
    problem = Quadratic(2)
    start = torch.full((2, *SHAPE), 0.5)
    found = adam(problem, start, evaluations=80, learning_rate=0.05)
    assert (found.losses < 0.01 * problem(start).losses).all()


def test_lbfgs_descends_a_curved_valley() -> None:
    start = torch.full((1, *SHAPE), 0.9)
    found = lbfgs(rosenbrock, start, evaluations=120)
    assert found.losses.item() < 1e-3 * rosenbrock(start).losses.item()


@pytest.mark.parametrize("name", MINIMIZERS)
def test_reported_loss_and_terms_belong_to_the_image(name: str) -> None:
    problem = Quadratic(3)
    found = MINIMIZERS[name](problem, torch.zeros((3, *SHAPE)))
    again = problem(found.images)
    assert torch.allclose(found.losses, again.losses)
    assert torch.allclose(found.terms, again.terms)


@pytest.mark.parametrize("name", MINIMIZERS)
def test_batched_equals_one_by_one(name: str) -> None:
    problem = Quadratic(3)
    start = random(3, 5)
    together = MINIMIZERS[name](problem, start)
    for sample in range(3):
        alone = MINIMIZERS[name](problem.only(sample), start[sample, None])
        assert torch.allclose(together.images[sample], alone.images[0], atol=1e-5)


@pytest.mark.parametrize("name", MINIMIZERS)
def test_sample_that_is_not_finite_does_not_change_the_others(name: str) -> None:
    problem = Quadratic(2)
    start = random(2, 5)
    alone = MINIMIZERS[name](problem.only(0), start[0, None])

    def not_finite(images: Tensor) -> Evaluation:
        found = problem(images)
        losses, gradients = found.losses.clone(), found.gradients.clone()
        losses[1] = float("nan")
        gradients[1] = float("inf")
        return Evaluation(losses, gradients, found.terms)

    together = MINIMIZERS[name](not_finite, start)
    assert torch.allclose(together.images[0], alone.images[0], atol=1e-6)
    assert torch.isfinite(together.images).all()
    assert not torch.isfinite(together.losses[1])


def test_permuting_the_batch_permutes_the_result() -> None:
    problem = Quadratic(2)
    start = random(2, 5)
    forward = lbfgs(problem, start, evaluations=15)
    problem.curvature, problem.center = problem.curvature.flip(0), problem.center.flip(0)
    backward = lbfgs(problem, start.flip(0), evaluations=15)
    assert torch.allclose(forward.images, backward.images.flip(0), atol=1e-6)


@pytest.mark.parametrize("name", MINIMIZERS)
def test_pixels_stay_in_range_and_steps_below_the_cap(name: str) -> None:
    problem = Quadratic(1)
    problem.center = torch.full((1, *SHAPE), 3.0)
    found = MINIMIZERS[name](problem, torch.full((1, *SHAPE), 0.2))
    assert found.losses.item() < 1.02 * problem(torch.ones((1, *SHAPE))).losses.item()
    for previous, current in zip(problem.seen, problem.seen[1:], strict=False):
        assert current.min() >= 0 and current.max() <= 1
        if name == "lbfgs":
            assert (current - previous).square().mean().sqrt() <= 1.01 * MAX_STEP_RMS


def test_step_to_an_infinite_loss_is_rejected() -> None:
    """Above a mean of 0.6 the loss is infinite: the minimizer must stay below and still make progress."""

    def walled(images: Tensor) -> Evaluation:
        inside = images.mean() < 0.6
        losses = (images - 0.55).square().sum(dim=(1, 2, 3))
        gradients = 2 * (images - 0.55)
        # The gradient is 15 times too large, so that steps overshoot.
        return Evaluation(losses if inside else losses * float("inf"), 30 * gradients, losses[:, None])

    found = lbfgs(walled, torch.full((1, *SHAPE), 0.1), evaluations=60)
    assert torch.isfinite(found.losses).all()
    assert found.losses.item() < 0.1 * walled(torch.full((1, *SHAPE), 0.1)).losses.item()


def test_zero_gradient_leaves_the_image_unchanged() -> None:
    def constant(images: Tensor) -> Evaluation:
        return Evaluation(torch.ones(1), torch.zeros_like(images), torch.ones(1, 1))

    start = random(1, 3)
    assert torch.equal(lbfgs(constant, start, evaluations=5).images, start)


class Floored(Quadratic):
    """The same plus a constant, as the loss of real images has: late gains are small in comparison."""

    def only(self, sample: int) -> Floored:
        one = Floored(1)
        one.curvature, one.center = self.curvature[sample, None], self.center[sample, None]
        return one

    def __call__(self, images: Tensor) -> Evaluation:
        found = super().__call__(images)
        return Evaluation(found.losses + 50, found.gradients, found.terms)


def test_converged_sample_stops_and_the_others_continue() -> None:
    problem = Floored(2)
    start = torch.full((2, *SHAPE), 0.5)
    start[0] = problem.center[0] + 1e-3  # almost at the minimum
    found = lbfgs(problem, start, evaluations=30, min_evaluations=4, tolerance=0.02)
    near, far = found.evaluations
    assert 4 == near < far < 30
    for sample in range(2):
        alone = lbfgs(problem.only(sample), start[sample, None], evaluations=30, min_evaluations=4, tolerance=0.02)
        assert alone.evaluations == (found.evaluations[sample],)
        assert torch.allclose(alone.images[0], found.images[sample])


def test_finished_samples_are_not_evaluated_again() -> None:
    """With the objective of a subset; the result is the same as without."""
    problem, start = Quadratic(4), random(4, 3)
    plain = lbfgs(problem, start, evaluations=[3, 9, 1, 6])
    evaluated = [len(images) for images in problem.seen]
    assert evaluated == [4] * 9 and plain.evaluations == (3, 9, 1, 6)
    evaluated.clear()

    def subset(samples: list[int]) -> ObjectiveFunction:
        part = Quadratic(len(samples))
        part.curvature, part.center = problem.curvature[samples], problem.center[samples]

        def evaluate(images: Tensor) -> Evaluation:
            evaluated.append(len(images))
            return part(images)

        return evaluate

    found = lbfgs(problem, start, evaluations=[3, 9, 1, 6], subset=subset)
    assert evaluated == [3, 3, 2, 2, 2, 1, 1, 1] and found.evaluations == plain.evaluations
    assert torch.equal(found.images, plain.images) and torch.equal(found.terms, plain.terms)


def test_larger_tolerance_takes_no_more_evaluations_and_at_least_the_minimum() -> None:
    problem, start = Floored(1), torch.full((1, *SHAPE), 0.5)
    spent = [
        lbfgs(problem, start, evaluations=40, min_evaluations=5, tolerance=tolerance).evaluations[0]
        for tolerance in (0.0, 0.01, 0.1, 1.0, 10.0)
    ]
    assert spent == sorted(spent, reverse=True)
    assert spent[0] > spent[-1] == 5


@pytest.mark.parametrize("name", MINIMIZERS)
def test_observer_receives_after_every_evaluation_what_would_be_returned(name: str) -> None:
    start = random(2, 5)
    seen: list[tuple[int, Tensor, Tensor, Tensor]] = []
    observed = MINIMIZERS[name](
        Quadratic(2), start, observer=lambda *state: seen.append((state[0], *(part.clone() for part in state[1:])))
    )
    plain = MINIMIZERS[name](Quadratic(2), start)
    assert torch.equal(observed.images, plain.images) and torch.equal(observed.losses, plain.losses)
    assert [number for number, *_ in seen] == list(range(1, 41))
    for _, images, losses, terms in seen:
        there = Quadratic(2)(images)
        assert torch.allclose(losses, there.losses) and torch.allclose(terms, there.terms)
    assert torch.equal(seen[0][1], start)
    for last, returned in zip(seen[-1][1:], (plain.images, plain.losses, plain.terms), strict=True):
        assert torch.equal(last, returned)


def test_observer_receives_finished_samples_unchanged() -> None:
    seen: list[Tensor] = []
    found = lbfgs(
        Quadratic(2), random(2, 5), evaluations=[2, 6], observer=lambda _number, images, *_: seen.append(images.clone())
    )
    assert len(seen) == 6
    assert all(torch.equal(images[0], found.images[0]) for images in seen[1:])


def test_adam_gives_each_sample_its_evaluations() -> None:
    problem, start = Quadratic(2), random(2, 5)
    found = adam(problem, start, evaluations=[4, 12])
    for sample, limit in enumerate((4, 12)):
        alone = adam(problem.only(sample), start[sample, None], evaluations=limit)
        assert torch.allclose(found.images[sample], alone.images[0], atol=1e-6)


def test_adam_does_not_wait_for_the_device_before_the_end() -> None:
    with HostTransfers() as transfers:
        adam(Quadratic(2), random(2, 5), evaluations=[3, 9])
    assert transfers.count == 2

"""Objectives are recorded once and replayed; what is only on CUDA devices is replaced by a recorder that counts."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pipeline.config.settings import OptimizeSettings
from pipeline.optimize.graphs import WARM_UPS, Graphs
from pipeline.optimize.minimizers import MINIMIZERS, replaying
from pipeline.optimize.minimum import Evaluation, ObjectiveFunction

SHAPE = (3, 4, 4)


def random(count: int, seed: int) -> Tensor:
    return torch.rand((count, *SHAPE), generator=torch.Generator().manual_seed(seed))


class Bowl:
    """Squared distances from a center, which may be overwritten."""

    def __init__(self, count: int) -> None:
        self.center = random(count, 1)
        self.calls = 0

    def __call__(self, images: Tensor) -> Evaluation:
        self.calls += 1
        difference = images - self.center
        losses = difference.square().sum(dim=(1, 2, 3))
        return Evaluation(losses, 2 * difference, losses[:, None])


class FakeRecorder:
    """Replays by calling the function again and writing into the tensors that it gave first, as a graph does."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.recorded = self.replayed = 0

    def __call__(self, run: Callable[[], Evaluation]) -> tuple[Evaluation, Callable[[], None]]:
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.recorded += 1
        fixed = run()

        def replay() -> None:
            self.replayed += 1
            again = run()
            for name in Evaluation.__slots__:
                getattr(fixed, name).copy_(getattr(again, name))

        return fixed, replay


def on_cpu(recorder: FakeRecorder, limit: int = 4) -> Graphs:
    return Graphs(recorder, device_type="cpu", limit=limit)


def test_a_replayed_objective_gives_the_values_of_other_images() -> None:
    objective, recorder = Bowl(2), FakeRecorder()
    replayed = on_cpu(recorder).of(objective, random(2, 2))
    for seed in (3, 4):
        images = random(2, seed)
        found, expected = replayed(images), objective(images)
        assert torch.equal(found.losses, expected.losses) and torch.equal(found.gradients, expected.gradients)
        assert torch.equal(images, random(2, seed))
    assert (recorder.recorded, recorder.replayed) == (1, 2)


def test_each_objective_and_shape_has_one_graph() -> None:
    recorder = FakeRecorder()
    graphs, one, other = on_cpu(recorder), Bowl(1), Bowl(1)
    for _ in range(3):
        for objective in (one, other):
            for count in (1, 2):
                assert graphs.of(objective, random(count, 2)) is not objective
    assert recorder.recorded == 4
    assert graphs.of(one, random(1, 2))(random(1, 5)).losses == one(random(1, 5)).losses


def test_the_oldest_graph_is_dropped() -> None:
    recorder = FakeRecorder()
    graphs, objectives = on_cpu(recorder, limit=2), [Bowl(1) for _ in range(3)]
    for objective in (*objectives, objectives[2], objectives[1], objectives[0]):
        graphs.of(objective, random(1, 2))
    assert recorder.recorded == 4  # of the repeated ones only the first had to be recorded again


def test_an_objective_that_cannot_be_recorded_is_called_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    graphs = on_cpu(FakeRecorder(fails=True))
    with caplog.at_level(logging.WARNING):
        for objective in (Bowl(1), Bowl(2)):
            assert graphs.of(objective, objective.center) is objective
    (record,) = caplog.records
    assert "not permitted when stream is capturing" in record.getMessage()


def test_other_errors_of_an_objective_are_raised() -> None:
    def broken(images: Tensor) -> Evaluation:
        raise ValueError("not a number of channels")

    with pytest.raises(ValueError, match="channels"):
        on_cpu(FakeRecorder()).of(broken, random(1, 2))


def test_images_on_other_devices_are_not_recorded() -> None:
    objective = Bowl(1)
    assert Graphs(FakeRecorder(fails=True)).of(objective, random(1, 2)) is objective


@pytest.mark.parametrize("name", MINIMIZERS)
@pytest.mark.parametrize("fails", [False, True])
def test_a_replaying_minimizer_finds_the_same_minimum(name: str, fails: bool) -> None:
    """With a batch that stays whole, as its graph needs it; and with the subset where there is no graph."""
    minimize = MINIMIZERS[name](OptimizeSettings())
    recorder = FakeRecorder(fails=fails)
    sizes: list[int] = []

    def subset(samples: list[int]) -> ObjectiveFunction:
        part = Bowl(0)
        part.center = objective.center[samples]
        sizes.append(len(samples))
        return part

    objective, start = Bowl(3), random(3, 6)
    found = replaying(minimize, on_cpu(recorder))(objective, start, evaluations=[2, 9, 5], subset=subset)
    plain = minimize(Bowl(3), start, evaluations=[2, 9, 5])
    assert torch.allclose(found.images, plain.images, atol=1e-6)
    assert torch.allclose(found.losses, plain.losses) and found.evaluations == plain.evaluations
    assert recorder.replayed == (0 if fails else 9)
    assert sizes == ([2, 1] if fails and name == "lbfgs" else [])


def test_a_minimizer_with_graphs_works_where_there_are_none() -> None:
    """On the CPU, where nothing is recorded."""
    start = random(2, 6)
    found, plain = (
        MINIMIZERS["lbfgs"](OptimizeSettings(), graphs=graphs)(Bowl(2), start, evaluations=5)
        for graphs in (True, False)
    )
    assert torch.equal(found.images, plain.images)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_cuda_graph_gives_the_values_of_its_objective() -> None:
    objective = Bowl(2)
    objective.center = objective.center.cuda()
    replayed = Graphs().of(objective, random(2, 2).cuda())
    assert replayed is not objective and objective.calls == WARM_UPS + 1
    for seed in (3, 4):
        images = random(2, seed).cuda()
        found, expected = replayed(images).gradients.clone(), objective(images).gradients
        assert torch.equal(found, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_an_objective_that_waits_for_the_cuda_device_is_called_as_it_is() -> None:
    def waiting(images: Tensor) -> Evaluation:
        found = Bowl(1)(images.cpu())
        return Evaluation(found.losses.cuda(), found.gradients.cuda(), found.terms.cuda())

    images = random(1, 2).cuda()
    evaluate = Graphs().of(waiting, images)
    assert evaluate is waiting
    assert evaluate(images).losses.isfinite().all()

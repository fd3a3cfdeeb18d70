"""The directions of L-BFGS from dot products alone, and the two passes over its vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import pipeline.optimize.history
from pipeline.optimize.curvature import Curvature
from pipeline.optimize.history import History, assign

Array = NDArray[np.float64]
IMAGES = (3, 2, 6, 4)
ALL = np.ones(3, np.bool_)


def two_loops(pairs: list[tuple[Array, Array]], gradient: Array) -> Array:
    """Nocedal and Wright, algorithm 7.4, as printed."""
    q, alphas = gradient.copy(), []
    for step, change in reversed(pairs):
        alphas.append((step @ q) / (step @ change))
        q -= alphas[-1] * change
    step, change = pairs[-1]
    r = (step @ change) / (change @ change) * q
    for (step, change), alpha in zip(pairs, reversed(alphas), strict=True):
        r += step * (alpha - (change @ r) / (step @ change))
    return -r


def test_directions_equal_the_two_loop_recursion() -> None:
    """Each sample with a history of its own: one is never interrupted; of the next, evaluations are rejected, and one
    has negative curvature; the pairs of the last one are dropped in between."""
    random = np.random.default_rng(3)
    batch, size, length = 3, 3, 40
    curvatures = 0.5 + random.random((batch, length))
    curvature = Curvature(batch, size)
    slots = np.zeros((batch, 2 * size, length))  # the pairs where a device would have them
    kept: list[list[tuple[Array, Array]]] = [[] for _ in range(batch)]
    points = random.normal(size=(batch, length))
    gradients = curvatures * points
    for update in range(11):
        accepted = np.array([True, update not in (2, 6), True])
        steps = 0.3 * random.normal(size=points.shape)
        changes = curvatures * steps
        if update == 4:
            changes[1] *= -1  # not kept
        if update == 7:
            curvature.forget(np.array([False, False, True]))
            kept[2].clear()
        filled = curvature.filled(np.arange(batch))
        new = np.stack((gradients + changes, steps, changes), axis=1)
        found = new @ np.concatenate((new, slots[:, : 2 * filled]), axis=1).mT
        stored, places = curvature.add(found, accepted)
        gradients[accepted] += changes[accepted]
        assert stored.tolist() == [True, accepted[1] and update != 4, True]
        for sample in np.flatnonzero(stored).tolist():
            slots[sample, 2 * places[sample] : 2 * places[sample] + 2] = new[sample, 1:]
            kept[sample] = [*kept[sample], (steps[sample], changes[sample])][-size:]

        weights, squared, slopes = curvature.directions()
        assert np.allclose(curvature.energy, (gradients**2).sum(axis=1))
        for sample in range(batch):
            rows = np.concatenate((gradients[sample, None], slots[sample]))
            expected = two_loops(kept[sample], gradients[sample])
            assert np.allclose(weights[sample] @ rows, expected, rtol=1e-9, atol=1e-9)
            assert squared[sample] == pytest.approx(expected @ expected)
            assert slopes[sample] == pytest.approx(expected @ gradients[sample])


def test_without_pairs_there_is_no_direction() -> None:
    curvature = Curvature(2, 3)
    found = np.zeros((2, 3, 3))
    found[:, 0, 0] = 4
    stored, _ = curvature.add(found, np.array([True, False]))
    assert not stored.any() and curvature.filled(np.arange(2)) == 0
    assert curvature.energy.tolist() == [4, 0]
    assert not any(values.any() for values in curvature.directions())


def vectors(count: int, seed: int) -> list[Tensor]:
    """Old points, new points (B, N) and new gradients, with the channels last in memory."""
    generator = torch.Generator().manual_seed(seed)
    found = [torch.rand(IMAGES, generator=generator) for _ in range(count)]
    return [*(one.flatten(1) for one in found[:-1]), found[-1].contiguous(memory_format=torch.channels_last)]


def filled_history(dtype: torch.dtype = torch.float32) -> tuple[History, Tensor]:
    """A history with pairs in two slots of three, and its pairs as (B, 4, N) float32."""
    history = History(torch.zeros(IMAGES), 3, dtype=dtype, device=None)
    rows = []
    gradients = torch.zeros(3, 48)
    for slot in range(2):
        points, trial, found = vectors(3, slot)
        history.accept(points, trial, found, ALL, ALL, np.full(3, slot))
        rows += [trial - points, found.reshape(3, -1) - gradients]
        gradients = found.reshape(3, -1)
    return history, torch.stack(rows, dim=1).to(dtype).float()


@pytest.mark.parametrize("block", [2**14, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_passes_equal_plain_sums(dtype: torch.dtype, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in several blocks and parts, and with pairs that were rounded when they were stored."""
    monkeypatch.setattr(pipeline.optimize.history, "BLOCK", block)
    monkeypatch.setattr(pipeline.optimize.history, "CPU_PART_VALUES", 60)
    history, pairs = filled_history(dtype)
    assert history.block == (24 if block > 24 else 6)
    old_gradients = vectors(3, 1)[-1].reshape(3, -1)
    points, trial, gradients = vectors(3, 2)
    flat = gradients.reshape(3, -1)
    new = torch.stack((flat, trial - points, flat - old_gradients), dim=1)
    expected = new @ torch.cat((new, pairs), dim=1).mT
    torch.testing.assert_close(history.products(points, trial, gradients, 2), expected)

    # Nothing was accepted, so the gradient is the old one.
    weights = 0.3 * np.random.default_rng(0).normal(size=(3, 5))
    out = torch.empty_like(points)
    history.combine(points, weights, out)
    rows = torch.cat((old_gradients[:, None], pairs), dim=1)
    sums = torch.einsum("br,brn->bn", torch.from_numpy(weights).float(), rows)
    torch.testing.assert_close(out, (points + sums).clamp(0, 1))
    assert 0 < (out == 1).float().mean() < 0.9


def test_only_accepted_samples_are_taken_over() -> None:
    history, _ = filled_history()
    history.pairs[:, 4:] = torch.nan  # fresh memory
    before = history.gradients.clone(), history.pairs.clone()
    points, trial, gradients = vectors(3, 5)
    gradients[2] = torch.nan  # as after a step that is rejected
    history.accept(
        points, trial, gradients, np.array([True, True, False]), np.array([True, False, False]), np.array([2, 2, 0])
    )
    by_sample = [rows.view(3, -1, *rows.shape[1:]) for rows in (history.gradients, history.pairs)]
    old = [rows.view(3, -1, *rows.shape[1:]) for rows in before]
    assert torch.equal(by_sample[0][:2].flatten(1), gradients[:2].flatten(1))
    assert torch.equal(by_sample[0][2], old[0][2])
    assert torch.equal(by_sample[1][:, :, :4], old[1][:, :, :4])
    assert torch.equal(by_sample[1][0, :, 4].flatten(), (trial - points)[0])
    # A weight of 0 for a slot that only another sample has filled.
    out = torch.empty_like(points)
    history.combine(points, np.eye(1, 7).repeat(3, axis=0), out)
    assert out.isfinite().all()


def test_samples_with_different_slots_are_stored_at_once() -> None:
    history, pairs = filled_history()
    points, trial, gradients = vectors(3, 6)
    history.accept(points, trial, gradients, ALL, ALL, np.array([1, 0, 1]))
    stored = history.pairs.view(3, -1, 6, history.block).transpose(1, 2).flatten(2)
    for sample, slot in enumerate((1, 0, 1)):
        assert torch.equal(stored[sample, 2 * slot], (trial - points)[sample])
        other = slice(2 - 2 * slot, 4 - 2 * slot)
        assert torch.equal(stored[sample, other], pairs[sample, other])


def test_a_narrowed_history_gives_the_same_values() -> None:
    history, _ = filled_history()
    points, trial, gradients = vectors(3, 7)
    expected = history.products(points, trial, gradients, 2)
    address = history.pairs.data_ptr()
    history.narrow(np.array([0, 2]))
    assert history.pairs.data_ptr() == address  # not a second copy
    found = history.products(points[[0, 2]], trial[[0, 2]], gradients[[0, 2]], 2)
    assert torch.equal(found, expected[[0, 2]])


def test_assign_overwrites_the_chosen_samples() -> None:
    target, source = torch.zeros(6, 2), torch.ones(6, 2)
    assign(target, source, np.array([False, True, False]))
    assert target[:, 0].tolist() == [0, 0, 1, 1, 0, 0]
    assign(target, source, np.zeros(3, np.bool_))
    assert target.sum() == 4
    assign(target, source, ALL)
    assert torch.equal(target, source)

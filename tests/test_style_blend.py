"""Blends of style statistics: the barycenter of Gaussians, the mean of Gram matrices, and the targets of a styler."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.config.reading import parse_config
from pipeline.encoders.load import load_encoder
from pipeline.optimize.barycenter import barycenter
from pipeline.optimize.moments import Moments, moments
from pipeline.optimize.style_losses import style_loss
from pipeline.stylers.style_targets import StyleTargets
from tests.support.neural import style_images

ZERO = torch.zeros(5, dtype=torch.float64)


def covariance(seed: int, size: int = 5) -> Tensor:
    root = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return root @ root.mT + 0.1 * torch.eye(size, dtype=torch.float64)


def root_of(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    found: Tensor = (vectors * values.sqrt()) @ vectors.mT
    return found


def squared_distance(one: Tensor, other: Tensor) -> float:
    root = root_of(one)
    return float((one + other - 2 * root_of(root @ other @ root)).trace())


def test_gaussians_with_common_axes_have_the_mean_of_their_deviations() -> None:
    deviations, weights = ([1.0, 2.0, 0.5], [3.0, 1.0, 0.1], [2.0, 2.0, 4.0]), [1.0, 2.0, 5.0]
    own = [torch.tensor(values, dtype=torch.float64) for values in deviations]
    mean, found = barycenter([values * 2 for values in own], [torch.diag(values**2) for values in own], weights)
    expected = (own[0] + 2 * own[1] + 5 * own[2]) / 8
    assert torch.allclose(found, torch.diag(expected**2), atol=1e-9)
    assert torch.allclose(mean, 2 * expected)


@pytest.mark.parametrize("part", [0.0001, 0.25, 0.5, 0.8])
def test_two_gaussians_have_the_point_of_their_geodesic(part: float) -> None:
    """McCann's interpolation: ((1 - t) 1 + t T) C ((1 - t) 1 + t T), T the map from the one to the other."""
    one, other = covariance(1), covariance(2)
    root = root_of(one)
    inverse = torch.linalg.inv(root)
    step = (1 - part) * torch.eye(5, dtype=torch.float64) + part * inverse @ root_of(root @ other @ root) @ inverse
    _, found = barycenter([ZERO, ZERO], [one, other], [1 - part, part])
    assert torch.allclose(found, step @ one @ step, rtol=1e-8, atol=1e-9)
    whole = squared_distance(one, other)
    assert squared_distance(one, found) == pytest.approx(part**2 * whole, rel=1e-4, abs=1e-9)
    assert squared_distance(found, other) == pytest.approx((1 - part) ** 2 * whole, rel=1e-4)


def test_the_barycenter_of_three_solves_its_equation() -> None:
    own, weights = [covariance(seed) for seed in (1, 2, 3)], [0.2, 0.5, 0.3]
    _, found = barycenter([ZERO] * 3, own, weights)
    root = root_of(found)
    mapped = [weight * root_of(root @ matrix @ root) for weight, matrix in zip(weights, own, strict=True)]
    assert torch.allclose(torch.stack(mapped).sum(dim=0), found, rtol=1e-6, atol=1e-6)


def features(seed: int, size: int = 6) -> Moments:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(size, size, generator=generator)
    return moments((mixing @ torch.randn(size, 400, generator=generator)).view(1, size, 20, 20) + seed)


@pytest.mark.parametrize("name", ["wasserstein", "gram"])
def test_a_blend_of_equal_textures_is_that_texture(name: str) -> None:
    loss, own = style_loss(name), features(1)
    blended = loss.blend([own, own], [1, 3])
    assert float(loss.distances([own], [loss.statistics(blended)])) == pytest.approx(0, abs=1e-5)


def test_a_blend_of_grams_is_their_mean() -> None:
    blended = style_loss("gram").blend([features(1), features(2)], [1, 3])
    assert torch.allclose(blended.second, 0.25 * features(1).second + 0.75 * features(2).second)


def test_a_blend_lies_between_and_a_mixture_of_losses_does_not_vanish_there() -> None:
    loss, ends = style_loss("wasserstein"), [features(1), features(2)]
    middle = loss.blend(ends, [1, 1])
    middle = Moments(middle.mean.float(), middle.second.float(), middle.positions)
    apart = float(loss.distances([ends[0]], [loss.statistics(ends[1])]))
    halves = [float(loss.distances([middle], [loss.statistics(end)])) for end in ends]
    scale = float(ends[0].second.diagonal(dim1=1, dim2=2).sum() / ends[1].second.diagonal(dim1=1, dim2=2).sum())
    assert halves[1] == pytest.approx(apart / 4, rel=1e-3) and halves[0] * scale == pytest.approx(apart / 4, rel=1e-3)


def targets(**style: Any) -> StyleTargets:
    images = [{"path": "a"}, {"path": "b", "weight": 45}]
    settings = parse_config({"style": {"images": images, **style}, "encoder": "tiny"}, where="test")
    return StyleTargets(settings, style_images(), load_encoder("tiny"), torch.device("cpu"))


def test_weights_choose_targets_and_are_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = targets()
    one, other = found((40, 48))
    assert (one.weight, other.weight) == (100, 45)
    monkeypatch.setattr("pipeline.stylers.style_targets.style_moments", None)
    (alone,) = found((40, 48), None, (0, 7))
    assert alone.weight == 7 and alone.statistics is other.statistics


def test_blended_statistics_are_one_target_that_ends_at_its_images() -> None:
    found, apart = targets(blend="statistics"), targets()
    (middle,) = found((40, 48), None, (10, 30))
    assert middle.weight == 40
    one, other = apart((40, 48))
    assert torch.allclose(middle.variation_limits, 0.25 * one.variation_limits + 0.75 * other.variation_limits)
    (end,) = found((40, 48), None, (0, 30))
    layer = "relu1_1"
    assert torch.equal(end.statistics[layer].root, other.statistics[layer].root)
    (near,) = found((40, 48), None, (0.01, 99.99))
    assert torch.allclose(near.statistics[layer].mean, other.statistics[layer].mean, rtol=1e-2, atol=1e-3)
    for number in range(40):
        found((40, 48), None, (1, number + 1))
    assert len(found._blends) <= 16

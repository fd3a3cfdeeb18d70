"""The losses of the objective against closed forms, numeric gradients and one frame at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.config.losses import STYLE_LOSSES
from pipeline.optimize import wasserstein
from pipeline.optimize.losses import ContentTarget, TemporalTarget, content_loss, temporal_loss
from pipeline.optimize.matrix_root import RootMethod, overlap_by_eigenvectors, overlap_by_products
from pipeline.optimize.moments import BLOCK_VALUES, Moments, MomentSums, moments
from pipeline.optimize.style_losses import StyleLoss, style_loss
from pipeline.optimize.variation import total_variation

METHODS = {
    "eigenvectors": RootMethod(overlap_by_eigenvectors, torch.float64, pads=False),
    "products": RootMethod(overlap_by_products, torch.float64, pads=True),
    "products in float32": RootMethod(overlap_by_products, torch.float32, pads=True),
}


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def statistics(loss: StyleLoss, style_image: Tensor) -> Any:
    return loss.statistics(moments(style_image))


def distance(loss: StyleLoss, image: Tensor, target: Any) -> Tensor:
    """The distances (B,) of a batch of features from one target, differentiable."""
    rows = image.float().flatten(2)
    count = rows.shape[2]
    return loss.distances([Moments(rows.mean(dim=2), rows @ rows.mT / count, count)], [target])[:, 0]


def content(image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The content losses (B,) of a batch of features, and their gradients."""
    wanted = ContentTarget.of(target)
    return content_loss(image, wanted.features, wanted.energy, target[0].numel())


def channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


def test_content_loss_is_zero_at_the_target_and_one_at_zero_features() -> None:
    target = features(2, 4, 5, 6)
    assert content(target, target)[0].tolist() == [0.0, 0.0]
    assert content(torch.zeros_like(target), target)[0].tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e2])
@pytest.mark.parametrize("name", sorted(STYLE_LOSSES))
def test_losses_are_dimensionless(name: str, scale: float) -> None:
    loss = style_loss(name)
    image, style_image = features(1, 4, 9, 9), features(1, 4, 11, 7, seed=1) + 1
    plain = distance(loss, image, statistics(loss, style_image))
    scaled = distance(loss, scale * image, statistics(loss, scale * style_image))
    assert scaled.item() == pytest.approx(plain.item(), rel=1e-3)
    assert content(scale * image, scale * image + scale)[0].item() == pytest.approx(
        content(image, image + 1)[0].item(), rel=1e-3
    )


def test_total_variation_of_a_checkerboard_and_of_a_ramp() -> None:
    rows, columns = torch.meshgrid(torch.arange(6), torch.arange(8), indexing="ij")
    board = ((rows + columns) % 2).float().expand(1, 3, -1, -1)
    # Pairs of neighbors along the axes differ by 1 in a board; all but the vertical ones by the slope in a ramp. Each
    # counts a third of a pixel.
    along, diagonal = 6 * 7 + 5 * 8, 2 * 5 * 7
    assert total_variation(board).item() == pytest.approx(along / (3 * 48))
    ramp = columns.float().expand(1, 3, -1, -1) * 0.5
    assert total_variation(ramp).item() == pytest.approx(0.25 * (6 * 7 + diagonal) / (3 * 48))
    assert total_variation(torch.full((1, 3, 6, 8), 0.7)).item() == pytest.approx(0.0, abs=1e-6)


def test_gradient_of_the_content_loss_equals_autograd() -> None:
    image, target = features(2, 4, 5, 6).requires_grad_(), features(2, 4, 5, 6, seed=1)
    values, ours = content(image, target)
    (expected,) = torch.autograd.grad(values.sum(), image)
    assert torch.allclose(ours, expected)


def test_content_losses_of_parts_add_up() -> None:
    image, target = features(2, 4, 5, 6), ContentTarget.of(features(2, 4, 5, 6, seed=1))
    whole, _ = content_loss(image, target.features, target.energy, 120)
    parts = [
        content_loss(image[..., it], target.features[..., it], target.energy, 120)[0] for it in (slice(2), slice(2, 6))
    ]
    assert torch.allclose(parts[0] + parts[1], whole)


def test_moments_of_ones_and_of_known_features() -> None:
    mean, second, positions = moments(torch.ones(1, 3, 4, 5))
    assert torch.equal(mean, torch.ones(1, 3))
    assert torch.allclose(second, torch.ones(1, 3, 3))
    assert positions == 20
    known = features(2, 3, 4, 5)
    rows = known.flatten(2)
    mean, second, _ = moments(channels_last(known))
    assert torch.allclose(mean, rows.mean(dim=2), atol=1e-6)
    assert torch.allclose(second, rows @ rows.mT / 20, atol=1e-5)


def test_moments_of_large_maps_and_of_views_are_those_of_their_values() -> None:
    known = channels_last(features(1, 3, 1001, 1003))[:, :, 1:-1, 1:-1]
    assert known.numel() > BLOCK_VALUES
    mean, second, positions = moments(known.bfloat16())
    rows = known.bfloat16().double().flatten(2)
    assert positions == 999 * 1001
    assert torch.allclose(mean.double(), rows.mean(dim=2), atol=1e-6)
    assert torch.allclose(second.double(), rows @ rows.mT / positions, atol=1e-5)
    assert torch.equal(second, second.mT)


def test_moments_can_be_added_up_over_parts() -> None:
    known, sums = features(2, 3, 9, 8), MomentSums()
    for part in (known[:, :, :4], known[:, :, 4:, :5], known[:, :, 4:, 5:]):
        sums.add(part)
    for ours, expected in zip(sums.moments(), moments(known), strict=True):
        assert torch.allclose(torch.as_tensor(ours), torch.as_tensor(expected), atol=1e-6)
    with pytest.raises(ValueError, match="no features"):
        MomentSums().moments()


def test_gram_distance_of_ones() -> None:
    target = statistics(style_loss("gram"), torch.ones(1, 3, 4, 5))
    assert distance(style_loss("gram"), torch.ones(2, 3, 7, 2), target).tolist() == pytest.approx([0.0, 0.0])
    assert distance(style_loss("gram"), torch.zeros(1, 3, 7, 2), target).item() == pytest.approx(1.0)
    # Features twice as large have Gram matrices four times as large: (4 - 1)^2.
    assert distance(style_loss("gram"), 2 * torch.ones(1, 3, 7, 2), target).item() == pytest.approx(9.0)


def test_wasserstein_distance_of_gaussians_whose_covariances_commute() -> None:
    # For independent channels the distance is that of means and of standard deviations, channel by channel.
    torch.manual_seed(0)
    ticks = torch.tensor([-1.0, 1.0])
    grid = torch.stack(torch.meshgrid(ticks, ticks, ticks, indexing="ij")).reshape(1, 3, 2, 4)
    mean, mean_target = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([1.5, 0.0, 0.0])
    spread, spread_target = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([2.0, 1.0, 0.5])
    image = mean[:, None, None] + spread[:, None, None] * grid
    style_image = mean_target[:, None, None] + spread_target[:, None, None] * grid
    expected = (mean - mean_target).square().sum() + (spread - spread_target).square().sum()
    energy = mean_target.square().sum() + spread_target.square().sum()
    found = distance(style_loss("wasserstein"), image, statistics(style_loss("wasserstein"), style_image))
    assert found.item() == pytest.approx((expected / energy).item(), rel=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_wasserstein_distance_to_itself_with_channels_of_zeros_is_zero(method: str) -> None:
    style_image = features(1, 6, 9, 9)
    style_image[:, 4:] = 0
    target = wasserstein.statistics(moments(style_image), METHODS[method])
    itself, other = style_image.clone().requires_grad_(), features(1, 6, 9, 9, seed=1).requires_grad_()
    found = distance(style_loss("wasserstein"), torch.cat((itself, other)), target)
    here, there = torch.autograd.grad(found.sum(), (itself, other))
    assert found[0].item() == pytest.approx(0.0, abs=1e-6)
    assert here.norm() < 1e-3 * there.norm()


@pytest.mark.parametrize("method", METHODS)
def test_wasserstein_distances_of_layers_do_not_depend_on_each_other(method: str) -> None:
    own = [moments(features(2, channels, 12, 13, seed=channels)) for channels in (5, 3, 140, 5)]
    targets = [
        wasserstein.statistics(moments(features(1, channels, 9, 9, seed=channels + 1)), METHODS[method])
        for channels in (5, 3, 140, 5)
    ]
    parts = [[part.requires_grad_() for part in (pair.mean, pair.second)] for pair in own]
    together = wasserstein.distances(own, targets)
    weights = features(2, 4)
    gradients = torch.autograd.grad((together * weights).sum(), [part for pair in parts for part in pair])
    for layer, (whole, pair, target) in enumerate(zip(own, parts, targets, strict=True)):
        alone = wasserstein.distances([whole], [target])
        assert torch.allclose(together[:, layer : layer + 1], alone, rtol=1e-5)
        for part, gradient in zip(pair, gradients[2 * layer : 2 * layer + 2], strict=True):
            (expected,) = torch.autograd.grad((alone[:, 0] * weights[:, layer]).sum(), part, retain_graph=True)
            assert (gradient - expected).norm() < 1e-2 * expected.norm()


@pytest.mark.parametrize("method", METHODS)
def test_wasserstein_gradient_of_features_without_contrast_is_not_rounding_error(method: str) -> None:
    target = wasserstein.statistics(moments(features(1, 16, 24, 24).relu()), METHODS[method])
    sizes = []
    for contrast in (1.0, 1e-4, 0.0):
        image = (features(1, 16, 1, 1, seed=1).abs() * 3 + contrast * features(1, 16, 24, 24, seed=2)).requires_grad_()
        found = distance(style_loss("wasserstein"), image, target)
        sizes.append(torch.autograd.grad(found.sum(), image)[0].norm().item())
    assert max(sizes[1:]) < 3 * sizes[0]


@pytest.mark.parametrize("name", sorted(STYLE_LOSSES))
def test_style_gradient_matches_finite_differences(name: str) -> None:
    loss = style_loss(name)
    target = statistics(loss, features(1, 4, 8, 8, seed=3) * 2 + 0.5)
    image = features(2, 4, 6, 7).requires_grad_()
    (gradient,) = torch.autograd.grad(distance(loss, image, target).sum(), image)
    direction = features(2, 4, 6, 7, seed=4)
    step = 1e-2
    with torch.no_grad():
        above = distance(loss, image + step * direction, target).sum()
        below = distance(loss, image - step * direction, target).sum()
    assert (gradient * direction).sum().item() == pytest.approx(((above - below) / (2 * step)).item(), rel=0.02)


@pytest.mark.parametrize("name", sorted(STYLE_LOSSES))
def test_large_sample_does_not_change_the_others(name: str) -> None:
    loss = style_loss(name)
    target = statistics(loss, features(1, 4, 8, 8, seed=3))
    ordinary, large = features(1, 4, 6, 7), 1e4 * features(1, 4, 6, 7, seed=9)
    alone = distance(loss, ordinary, target)
    together = distance(loss, torch.cat((large, ordinary)), target)
    assert together[1].item() == pytest.approx(alone.item(), rel=1e-5)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", sorted(STYLE_LOSSES))
def test_sample_that_is_not_finite_does_not_change_the_others(name: str, value: float) -> None:
    loss = style_loss(name)
    target = statistics(loss, features(1, 4, 8, 8, seed=3))
    images = features(3, 4, 6, 7)
    expected = distance(loss, images, target)
    images[1, 2, 3, 4] = value
    found = distance(loss, images, target)
    assert not found[1].isfinite()
    assert torch.equal(found[::2], expected[::2])


def test_gram_distance_of_large_half_precision_features_does_not_overflow() -> None:
    huge = torch.full((1, 4, 64, 64), 3000.0, dtype=torch.float16)
    found = distance(style_loss("gram"), huge, statistics(style_loss("gram"), huge))
    assert found.item() == pytest.approx(0.0, abs=1e-6)


def test_temporal_loss_where_confidence_is_zero_has_no_value_and_no_gradient() -> None:
    warped = torch.rand((1, 3, 6, 8), generator=torch.Generator().manual_seed(0))
    images, confidence = 1 - warped, torch.zeros(1, 1, 6, 8)

    def found() -> tuple[float, Tensor]:
        gradient = torch.zeros_like(images)
        target = TemporalTarget.of(warped, confidence)
        return temporal_loss(images, target, gradients=gradient).item(), gradient

    value, gradient = found()
    assert value == 0.0
    assert not gradient.any()
    confidence[..., :4] = 1
    _, gradient = found()
    assert gradient[..., :4].abs().min() > 0
    assert not gradient[..., 4:].any()


def test_gradient_of_the_temporal_loss_equals_autograd() -> None:
    target = TemporalTarget.of(features(2, 3, 6, 8), features(2, 1, 6, 8, seed=1).abs())
    images, ours = features(2, 3, 6, 8, seed=2).requires_grad_(), torch.zeros(2, 3, 6, 8)
    (expected,) = torch.autograd.grad(temporal_loss(images, target).sum(), images)
    temporal_loss(images.detach(), target, weight=2.5, gradients=ours)
    assert torch.allclose(ours, 2.5 * expected, atol=1e-6)

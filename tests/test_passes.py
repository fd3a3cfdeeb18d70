"""The forward and backward pass of a network against the same network computed by autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pipeline.encoders.compact import Architecture, CompactNetwork
from pipeline.encoders.load import frozen
from pipeline.encoders.network import Encoder
from pipeline.encoders.passes import Cotangent, NetworkPass
from pipeline.encoders.pooling import max_pool, max_pool_choices, max_pool_gradient
from pipeline.encoders.steps import Pool, Pooling, layer_stride

WIDTHS = ((3, 5), (3, 3), (3, 4, 3, 5), (3, 3, 4, 4), (3,))
LAYERS = ("relu1_1", "relu2_2", "relu3_1", "relu3_2", "relu4_2", "relu5_1")
CPU = torch.device("cpu")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network_with(reductions: tuple[Pooling, ...] = ("max",) * 4) -> CompactNetwork:
    torch.manual_seed(0)
    return CompactNetwork(Architecture(WIDTHS, reductions)).double().eval().requires_grad_(False)


def cotangents(features: dict[str, Tensor]) -> dict[str, Cotangent]:
    """Of every kind: dense, linear in the features, with and without a shift."""
    found = {}
    for number, (layer, values) in enumerate(features.items()):
        batch, channels = values.shape[:2]
        found[layer] = Cotangent(
            dense=None if number == 2 else normal(*values.shape, seed=number),
            mixing=None if number in (0, 4) else normal(batch, channels, channels, seed=number),
            shift=None if number == 1 else normal(batch, channels, seed=number),
        )
    return found


def by_autograd(network: CompactNetwork, images: Tensor, given: dict[str, Cotangent]) -> Tensor:
    images = images.clone().requires_grad_(True)
    features = network(images, tuple(given))
    dense = []
    for layer, cotangent in given.items():
        dense.append(torch.zeros_like(features[layer]))
        cotangent.add_to(dense[-1], features[layer].detach())
    return torch.autograd.grad([features[layer] for layer in given], images, dense)[0]


@pytest.mark.parametrize("channel_multiple", [1, 8])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("size", [(18, 20), (37, 53), (16, 16)])
@pytest.mark.parametrize("reductions", [("max",) * 4, ("average", "max", "average", "max")])
def test_passes_equal_autograd(
    reductions: tuple[Pooling, ...], size: tuple[int, int], batch: int, channel_multiple: int
) -> None:
    network = network_with(reductions)
    images = normal(batch, 3, *size, seed=9).sigmoid()
    found = NetworkPass(network.steps().to(CPU, torch.float64, channel_multiple), images, LAYERS)
    expected = network(images, LAYERS)
    for layer in LAYERS:
        assert torch.allclose(found.features[layer], expected[layer])
    given = cotangents(expected)
    gradient = found.gradient(given)
    assert torch.allclose(gradient, by_autograd(network, images, given), atol=1e-12)


@pytest.mark.parametrize("layers", [("relu1_1",), ("relu2_2",), ("relu3_2", "relu4_2")])
def test_gradient_of_some_layers_is_theirs_alone(layers: tuple[str, ...]) -> None:
    network = network_with()
    images = normal(1, 3, 32, 36, seed=9).sigmoid()
    given = cotangents(network(images, layers))
    found = NetworkPass(network.steps(), images, LAYERS)
    assert torch.allclose(found.gradient(given), by_autograd(network, images, given), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradient_of_a_maximum_goes_to_one_of_equal_values(dtype: torch.dtype) -> None:
    """Where four values are equal, pooling hands on its gradient once, not four times."""
    network = network_with().float()
    for parameter in network.parameters():
        parameter.fill_(0.25 / 27) if parameter.dim() == 4 else parameter.fill_(0.5)
    steps = network.steps().to(CPU, dtype)
    steps = steps.__class__(steps.mean, steps.steps[:5], ("relu1_2", "relu2_1"), 16)
    assert isinstance(steps.steps[3], Pool)
    images = torch.full((1, 3, 16, 16), 0.5)
    found = NetworkPass(steps, images, ("relu1_2",))
    ones = Cotangent(dense=torch.ones_like(found.features["relu1_2"]))
    whole = found.gradient({"relu1_2": ones}).sum().item()
    pooled = NetworkPass(steps, images, ("relu1_2",))
    source = pooled.features["relu1_2"]
    assert source.amin() == source.amax()
    choices = max_pool_choices(source)
    handed_on = max_pool_gradient(torch.ones_like(choices.pooled), choices, 2)
    assert handed_on.sum().item() == choices.pooled.numel()
    assert handed_on.float().abs().sum().item() == choices.pooled.numel()
    assert whole > 0


def test_values_below_zero_and_infinite_ones_pass_as_in_torch() -> None:
    from pipeline.encoders.passes import _relu_

    values = torch.tensor([-torch.inf, -2.0, -0.0, 0.0, 1e-38, 3.0, torch.inf, 2.0])
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        grid = values.to(dtype).repeat(8).reshape(1, 1, 8, 8).contiguous(memory_format=torch.channels_last)
        found = _relu_(grid.clone())
        assert torch.equal(found, torch.relu(grid))
        expected = torch.max_pool2d(torch.relu(grid[:, :, :, :6]), 2)
        assert torch.equal(max_pool(found[:, :, :, :6]), expected)
        assert torch.equal(max_pool_choices(found[:, :, :, :6]).pooled, expected)


def test_a_cotangent_of_a_part_counts_only_there() -> None:
    network = network_with()
    images = normal(1, 3, 32, 48, seed=9).sigmoid()
    features = network(images, LAYERS)
    part = (slice(0, 1), slice(1, 3))
    given = {
        layer: Cotangent(mixing=normal(1, it.shape[1], it.shape[1]), shift=normal(1, it.shape[1]), part=part)
        for layer, it in features.items()
    }
    gradient = NetworkPass(network.steps(), images, LAYERS).gradient(given)
    assert torch.allclose(gradient, by_autograd(network, images, given), atol=1e-12)


def test_features_reach_as_far_as_the_network_says() -> None:
    """A change of one pixel is seen by no feature farther away, and by one that is just as far."""
    encoder = frozen("test", "", network_with(("average",) * 4).float(), CPU, torch.float32)
    assert isinstance(encoder, Encoder)
    for layer in ("relu1_1", "relu2_2", "relu3_2", "relu4_2"):
        stride, reach = layer_stride(layer), encoder.reach_px([layer])
        assert reach is not None
        images = torch.full((1, 3, 256, 256), 0.5)
        center = 128  # the first pixel of a feature's square
        changed = images.clone()
        changed[:, :, center, center] = 1.0
        difference = (encoder(images, [layer])[layer] - encoder(changed, [layer])[layer]).abs().amax(dim=(0, 1))
        seen = torch.nonzero(difference.amax(dim=0) > 0)[:, 0]
        far = -(-reach // stride)
        assert int(seen.min()) >= center // stride - far
        assert int(seen.max()) <= center // stride + far
        assert int(seen.max()) - int(seen.min()) >= 2 * (far - 1)

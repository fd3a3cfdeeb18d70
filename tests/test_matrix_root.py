"""Traces and transports by eigenvectors and by matrix products: closed forms, each other, and what must not be lost."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.encoders import load_encoder
from pipeline.media.image.arrays import to_tensor
from pipeline.optimize.matrix_root import (
    CONDITION,
    QUINTICS,
    ROOT_STEPS,
    SMALLEST_SIZE,
    RootMethod,
    overlap_by_eigenvectors,
    overlap_by_products,
    root_method,
)
from pipeline.optimize.moments import Moments, moments
from pipeline.optimize.wasserstein import GaussianStatistics, distances, statistics
from tests.support.clips import texture

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
EXACT = RootMethod(overlap_by_eigenvectors, torch.float64, pads=False)
PRODUCTS = {
    "float64": RootMethod(overlap_by_products, torch.float64, pads=True),
    "float32": RootMethod(overlap_by_products, torch.float32, pads=True),
}
METHODS = {"eigenvectors": EXACT, **PRODUCTS}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariance(size: int, seed: int, rank: int | None = None) -> Tensor:
    """(1, size, size) of trace 1, with the least variance that is resolved in every direction."""
    samples = random(size, rank or 2 * size, seed=seed)
    found = samples @ samples.T
    return (found / found.trace() + CONDITION * torch.eye(size))[None]


def square_root(matrices: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrices)
    root: Tensor = vectors * values.clamp_min(0).sqrt()[:, None, :] @ vectors.mT
    return root


def with_gradients(own: list[Moments], targets: list[GaussianStatistics]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Distances, and the gradients of their sum in all means and second moments."""
    parts = [part.clone().requires_grad_() for pair in own for part in (pair.mean, pair.second)]
    copies = [Moments(*both, 1) for both in zip(parts[::2], parts[1::2], strict=True)]
    found = distances(copies, targets)
    return found.detach(), torch.autograd.grad(found.sum(), parts)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.fixture(scope="module")
def compact() -> tuple[list[Moments], list[Moments]]:
    """Moments of two pictures, one of them in a batch of two, at the style layers of the encoder."""
    encoder = load_encoder("compact")
    own, other, style_image = (to_tensor(texture((96, 80), seed))[None] for seed in (1, 2, 3))
    noise = 0.1 * torch.randn(own.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        batch = encoder(torch.cat((own, other + noise)).clamp(0, 1), LAYERS)
        style = encoder(style_image, LAYERS)
    return [moments(batch[layer]) for layer in LAYERS], [moments(style[layer]) for layer in LAYERS]


@pytest.mark.parametrize(("quintics", "least"), [(QUINTICS, 4.5e-7), (QUINTICS[-ROOT_STEPS:], 6.3e-4)])
def test_quintics_take_their_interval_to_one(quintics: tuple[tuple[float, float, float], ...], least: float) -> None:
    x = torch.logspace(torch.tensor(least).log10().item(), torch.tensor(2.0).log10().item(), 20001, dtype=torch.float64)
    for a, b, c in quintics:
        x = x * (a + b * x**2 + c * x**4)
    assert (x - 1).abs().max() < 2e-10


@pytest.mark.parametrize("name", METHODS)
def test_overlap_of_covariances_that_commute(name: str) -> None:
    variances, targets = random(3, 8, seed=1).square() + 0.01, random(3, 8, seed=2).square() + 0.01
    covariances, roots = torch.diag_embed(variances), torch.diag_embed(targets.sqrt())
    method = METHODS[name]
    traces, transports = method.overlap(covariances, roots.to(method.dtype))
    assert torch.allclose(traces, (variances * targets).sqrt().sum(dim=1), rtol=1e-6)
    assert torch.allclose(transports.double(), torch.diag_embed((targets / variances).sqrt()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_transport_takes_one_covariance_to_the_other(name: str) -> None:
    own, target = covariance(24, 1), covariance(24, 2)
    method = METHODS[name]
    transport = method.overlap(own, square_root(target).to(method.dtype))[1].double()
    assert relative(transport @ own @ transport, target) < 1e-4


@pytest.mark.parametrize("name", ["eigenvectors", "float64"])
def test_half_the_transport_is_the_gradient_of_the_trace(name: str) -> None:
    own, root = covariance(12, 1), square_root(covariance(12, 2))
    direction = random(12, 12, seed=3)
    change = 1e-7 * (direction + direction.T)
    overlap = METHODS[name].overlap
    rise = overlap(own + change, root)[0] - overlap(own - change, root)[0]
    assert rise.item() == pytest.approx((overlap(own, root)[1] * change).sum().item(), rel=1e-3)


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_agree_with_eigenvectors_on_features(name: str, compact: tuple[list[Moments], list[Moments]]) -> None:
    own, style = compact
    exact, exact_gradients = with_gradients(own, [statistics(pair, EXACT) for pair in style])
    found, gradients = with_gradients(own, [statistics(pair, PRODUCTS[name]) for pair in style])
    assert (found - exact).abs().max() < 1e-6  # of the energy of the target
    tolerance = {"float64": 1e-5, "float32": 1e-2}[name]
    for one, other in zip(gradients, exact_gradients, strict=True):
        assert all(relative(*pair) < tolerance for pair in zip(one, other, strict=True))


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize(("size", "rank", "target_rank"), [(16, 1, 16), (64, 8, 40), (130, 100, 9)])
def test_products_agree_with_eigenvectors_where_channels_depend_on_each_other(
    name: str, size: int, rank: int, target_rank: int
) -> None:
    own, root = covariance(size, 1, rank), square_root(covariance(size, 2, target_rank))
    method = PRODUCTS[name]
    exact_trace, exact = overlap_by_eigenvectors(own, root)
    trace, transport = method.overlap(own, root.to(method.dtype))
    assert trace.item() == pytest.approx(exact_trace.item(), abs={"float64": 1e-9, "float32": 1e-5}[name])
    identity = torch.eye(size, dtype=torch.float64)
    assert relative(transport - identity, exact - identity) < {"float64": 1e-4, "float32": 2e-2}[name]


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_agree_with_eigenvectors_with_512_channels_of_which_many_never_fire(name: str) -> None:
    weights = random(512, 27, seed=1).float()
    weights[100:260] = -weights[100:260].abs()
    rows = [random(3000, 27, seed=seed).float().abs() @ weights.T for seed in (2, 3)]
    own, style = (moments(part.relu().T.reshape(1, 512, 60, 50) / 9) for part in rows)
    assert (own.mean == 0).sum() >= 160
    exact, (_, exact_gradient) = with_gradients([own], [statistics(style, EXACT)])
    found, (_, gradient) = with_gradients([own], [statistics(style, PRODUCTS[name])])
    assert found.item() == pytest.approx(exact.item(), abs=1e-6)
    assert relative(gradient, exact_gradient) < {"float64": 1e-4, "float32": 2e-2}[name]


@pytest.mark.parametrize("name", METHODS)
def test_a_matrix_that_is_not_finite_becomes_nan_alone(name: str) -> None:
    method = METHODS[name]
    covariances = torch.cat([covariance(10, seed) for seed in range(4)])
    roots = square_root(covariance(10, 9)).to(method.dtype).expand(4, -1, -1)
    expected = method.overlap(covariances, roots)
    covariances = covariances.clone()
    covariances[0, 3, 4] = covariances[0, 4, 3] = torch.nan
    covariances[2, 5, 5] = torch.inf
    traces, transports = method.overlap(covariances, roots)
    assert traces.isnan().tolist() == [True, False, True, False]
    assert torch.equal(traces[1::2], expected[0][1::2])
    assert torch.equal(transports[1::2], expected[1][1::2])


@pytest.mark.parametrize("name", METHODS)
def test_an_indefinite_covariance_counts_as_isotropic(name: str) -> None:
    size, deviation = 20, 1e-3
    signs = torch.ones(size, dtype=torch.float64)
    signs[::3] = -1
    method, root = METHODS[name], square_root(covariance(size, 1)).to(METHODS[name].dtype)
    trace, transport = method.overlap(torch.diag(deviation**2 * signs)[None], root)
    assert trace.item() == pytest.approx(deviation * root[0].trace().item(), rel=1e-4)
    assert relative(transport, root / deviation) < 1e-4


class _Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what is computed, except views."""

    calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.calls += not func.is_view
        return func(*args, **(kwargs or {}))


def test_layers_of_one_size_are_taken_together(compact: tuple[list[Moments], list[Moments]]) -> None:
    own, style = compact
    targets = [statistics(pair, PRODUCTS["float64"]) for pair in style]
    assert {target.root.shape[-1] for target in targets} == {SMALLEST_SIZE}
    counts = []
    for number in (2, 5):
        with_gradients(own[:number], targets[:number])  # what is made once is made here
        with torch.no_grad(), _Count() as count:  # type: ignore[no-untyped-call]
            distances(own[:number], targets[:number])
        counts.append(count.calls)
    assert counts[0] == counts[1]


def test_products_need_no_value_on_the_host(compact: tuple[list[Moments], list[Moments]]) -> None:
    # Tensors without data raise when a value is asked for.
    own, style = compact
    targets = []
    for pair in style:
        target = statistics(pair, PRODUCTS["float64"])
        tensors = {name: getattr(target, name).to("meta") for name in ("mean", "root", "trace", "energy", "channels")}
        targets.append(GaussianStatistics(**tensors, method=target.method))
    found, gradients = with_gradients([Moments(it.mean.to("meta"), it.second.to("meta"), 1) for it in own], targets)
    assert found.shape == (2, 5)
    assert [gradient.shape for gradient in gradients] == [part.shape for pair in own for part in pair[:2]]


@pytest.mark.parametrize(
    ("capability", "tf32", "expected"),
    [((9, 0), False, torch.float64), ((8, 9), False, torch.float32), ((8, 9), True, torch.float64)],
)
def test_precision_of_products_on_cuda(
    capability: tuple[int, int], tf32: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        method = root_method(torch.device("cuda"))
    finally:
        torch.set_float32_matmul_precision(before)
    assert (method.overlap, method.dtype, method.pads) == (overlap_by_products, expected, True)


def test_methods_of_the_other_devices() -> None:
    assert root_method(torch.device("cpu")) == EXACT
    assert root_method(torch.device("mps")) == PRODUCTS["float32"]


def test_sizes_of_padded_matrices() -> None:
    assert [PRODUCTS["float64"].padded_size(channels) for channels in (16, 128, 129, 256, 512)] == [
        128, 128, 256, 256, 512,
    ]  # fmt: skip
    assert EXACT.padded_size(59) == 59

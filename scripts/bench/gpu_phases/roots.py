"""The phase "roots": traces of square roots of covariance matrices, as the Wasserstein loss needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from gpu_phases import subjects
from gpu_phases.setting import Row, Setting, attempt
from gpu_phases.timing import activity, measure
from pipeline.optimize.moments import moments
from pipeline.optimize.style_losses import style_loss

SIDES = (16, 27, 59, 77, 99, 128, 256, 512)
"""Channels of the style layers of both encoders."""
ITERATIONS = 14
"""Of Newton-Schulz: the condition of these matrices needs about as many."""


def rows(setting: Setting) -> Iterator[Row]:
    """Milliseconds and error of the trace by method, side and batch; and the loss of all layers, with its gradient."""
    compact, vgg = ([(name, batch) for batch in setting.batches] for name in subjects.ENCODERS)
    yield from _losses(setting, compact)
    for side in SIDES[:3] if setting.small else SIDES:
        for batch in (1, setting.batches[-1]):
            matrices = _covariances(batch, side)
            for name in METHODS:
                facts = {"method": name, "side": side, "batch": batch}
                yield attempt(facts, partial(_trace, name, matrices, setting.device))
    yield from _losses(setting, vgg)


def _losses(setting: Setting, cases: list[tuple[str, int]]) -> Iterator[Row]:
    for name, batch in cases:
        facts = {"method": "wasserstein, all layers", "encoder": name, "batch": batch}
        yield attempt(facts, partial(_style, setting, name, batch))


def _covariances(batch: int, side: int) -> Tensor:
    """Covariances (B, n, n) whose eigenvalues fall over three decades; float64."""
    generator = torch.Generator().manual_seed(side)
    samples = torch.randn(batch, 4 * side, side, generator=generator, dtype=torch.float64)
    mixing = torch.linalg.qr(torch.randn(side, side, generator=generator, dtype=torch.float64))[0]
    samples = samples * torch.logspace(0, -1.5, side, dtype=torch.float64) @ mixing
    covariances: Tensor = samples.mT @ samples / samples.shape[1]
    return covariances


def _eigenvalues(matrices: Tensor) -> Tensor:
    values: Tensor = torch.linalg.eigh(matrices)[0]
    return values.clamp_min(0).sqrt().sum(dim=1)


def _on_the_host(matrices: Tensor) -> Tensor:
    return _eigenvalues(matrices.cpu()).to(matrices.device)


def _newton_schulz(matrices: Tensor) -> Tensor:
    """The coupled Newton-Schulz iteration (Higham 2008, "Functions of Matrices", eq. 6.35)."""
    scale = torch.linalg.matrix_norm(matrices, keepdim=True)
    identity = torch.eye(matrices.shape[1], device=matrices.device, dtype=matrices.dtype)
    root, inverse = matrices / scale, identity.expand_as(matrices)
    for _ in range(ITERATIONS):
        factor = 1.5 * identity - 0.5 * inverse @ root
        root, inverse = root @ factor, factor @ inverse
    found: Tensor = root.diagonal(dim1=1, dim2=2).sum(dim=1) * scale[:, 0, 0].sqrt()
    return found


METHODS: dict[str, tuple[Callable[[Tensor], Tensor], torch.dtype]] = {
    "eigh, float64": (_eigenvalues, torch.float64),
    "eigh, float32": (_eigenvalues, torch.float32),
    "eigh on the host, float64": (_on_the_host, torch.float64),
    "Newton-Schulz, float64": (_newton_schulz, torch.float64),
    "Newton-Schulz, float32": (_newton_schulz, torch.float32),
}


def _trace(name: str, matrices: Tensor, device: str) -> Row:
    method, dtype = METHODS[name]
    given = matrices.to(device, dtype)
    expected = _eigenvalues(matrices)
    error = ((method(given).cpu().double() - expected).abs() / expected).max()
    return {**measure(lambda: method(given), device, seconds=0.1), "error": float(f"{error:.3g}")}


def _style(setting: Setting, name: str, batch: int) -> Row:
    """The package's own style loss from the moments on, with the gradient, whatever method it uses."""
    device = setting.device
    layers = [layer for layer in subjects.LAYERS if layer != "relu4_2"]
    encoder = subjects.encoder(name, device, torch.bfloat16)
    loss = style_loss("wasserstein")
    with torch.no_grad():
        images = subjects.contents(batch + 1, (64, 96), device)
        features = encoder(images, layers)
        targets = [loss.statistics(moments(features[layer][-1:])) for layer in layers]
        found = [moments(features[layer][:-1]) for layer in layers]
    leaves = [part.requires_grad_(True) for each in found for part in (each.mean, each.second)]

    def run() -> object:
        return torch.autograd.grad(loss.distances(found, targets).sum(), leaves)

    return {**measure(run, device), **activity(run, device)}

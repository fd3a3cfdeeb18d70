"""The style loss "wasserstein": the Wasserstein distance between the Gaussians of the features.

It gives longer strokes and cleaner colors than Gram matrices, with the same layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.optimize.barycenter import barycenter
from pipeline.optimize.matrix_root import CONDITION, RootMethod, root_method
from pipeline.optimize.moments import Moments

EPSILON = 1e-16
"""Keeps a division by the energy of all-zero features finite."""


@dataclass(frozen=True, slots=True)
class GaussianStatistics:
    """A Gaussian, ready to be compared with: everything that does not depend on the image.

    `mean` (1, n) and `root` (1, n, n), the square root of the covariance, where n is the number of channels (1,) or
    more, filled up with zeros; `trace` (1,) of the covariance; `energy` (1,), the mean square of the features. Sums
    are in the precision of `mean`, matrix products in that of `root`, by `method`.
    """

    mean: Tensor
    root: Tensor
    trace: Tensor
    energy: Tensor
    channels: Tensor
    method: RootMethod


class _Gaussians(NamedTuple):
    """Covariances (..., n, n), their traces (...), and the mean squares (...) of the features."""

    covariance: Tensor
    trace: Tensor
    energy: Tensor


def _gaussians(mean: Tensor, second: Tensor, channels: Tensor) -> _Gaussians:
    """Of means (..., n) and second moments (..., n, n), with `CONDITION` times the mean square in every channel.

    Channels that never fire have no variance, and the second moments are rounded to float32: what is smaller than this
    cannot be told from nothing.
    """
    energy = second.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    floor = CONDITION * energy + EPSILON
    covariance = second - mean[..., :, None] * mean[..., None, :]
    covariance.diagonal(dim1=-2, dim2=-1).add_(floor[..., None])
    return _Gaussians(covariance, energy - mean.square().sum(dim=-1) + channels * floor, energy)


def statistics(moments: Moments, method: RootMethod | None = None) -> GaussianStatistics:
    """The Gaussian of a style image from the moments of its features (1, C).

    Distances to it are computed by `method`, by default the one for the device of the moments.
    """
    device = moments.mean.device
    method = method or root_method(device)
    home, precision = ("cpu", torch.float32) if device.type == "mps" else (device, torch.float64)
    mean, second = (moment.to(home).double() for moment in (moments.mean, moments.second))
    channels = mean.new_full((1,), mean.shape[1])
    gaussian = _gaussians(mean, second, channels)
    values, vectors = torch.linalg.eigh(gaussian.covariance)
    root = (vectors * values.clamp_min(0).sqrt()[:, None, :]) @ vectors.mT
    missing = method.padded_size(mean.shape[1]) - mean.shape[1]
    return GaussianStatistics(
        mean=F.pad(mean, (0, missing)).to(precision).to(device),
        root=F.pad(root, (0, missing, 0, missing)).to(method.dtype).to(device),
        trace=gaussian.trace.to(precision).to(device),
        energy=gaussian.energy.to(precision).to(device),
        channels=channels.to(precision).to(device),
        method=method,
    )


def blend(moments: Sequence[Moments], weights: Sequence[float]) -> Moments:
    """The moments (1, C) of the Gaussian between those of style images: their barycenter by weight."""
    device = moments[0].mean.device
    home, precision = ("cpu", torch.float32) if device.type == "mps" else (device, torch.float64)
    means, covariances = [], []
    for own in moments:
        mean, second = own.mean.to(home).double(), own.second.to(home).double()
        means.append(mean[0])
        covariances.append(_gaussians(mean, second, mean.new_full((1,), mean.shape[1])).covariance[0])
    mean, covariance = barycenter(means, covariances, weights)
    second = covariance + torch.outer(mean, mean)
    mean, second = (found[None].to(precision).to(device) for found in (mean, second))
    return Moments(mean, second, moments[0].positions)


def distances(moments: Sequence[Moments], targets: Sequence[GaussianStatistics]) -> Tensor:
    """Squared Wasserstein-2 distances between Gaussians of features over the targets' mean squares.

    For L pairs of moments (B, C) and targets: (B, L). A sample with moments that are not finite has the distance NaN.
    |m - m_t|^2 + tr(C + C_t - 2 (C_t^1/2 C C_t^1/2)^1/2) (Dowson and Landau 1982; as a style loss: Mroueh 2019,
    "Wasserstein Style Transfer"). We depart from it by adding `CONDITION` times the mean square of the features to the
    diagonals of both covariances. Value and gradient are of this one smooth function, whose minimum is 0.
    """
    found: Tensor = _Distances.apply(tuple(targets), *(part for own in moments for part in (own.mean, own.second)))  # type: ignore[no-untyped-call]
    return found


class _Distances(torch.autograd.Function):
    """Finds the gradient with the value, and takes layers together whose matrices have one size.

    By hand: autograd through a matrix root would divide by differences of eigenvalues.
    """

    @staticmethod
    def forward(ctx: Any, targets: Sequence[GaussianStatistics], *moments: Tensor) -> Tensor:
        groups: dict[int, list[int]] = {}
        for position, target in enumerate(targets):
            groups.setdefault(target.root.shape[-1], []).append(position)
        columns: dict[int, Tensor] = {}
        gradients: list[Tensor] = []
        for size, group in groups.items():
            mean, second = (_stacked([moments[2 * position + part] for position in group], size) for part in (0, 1))
            found, *both = _compare(mean, second, [targets[position] for position in group])
            columns.update(zip(group, found.unbind(dim=1), strict=True))
            gradients += both
        ctx.save_for_backward(*gradients)
        ctx.groups = list(groups.values())
        ctx.channels = [mean.shape[1] for mean in moments[::2]]
        return torch.stack([columns[position] for position in range(len(targets))], dim=1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        found: dict[int, Tensor] = {}
        for number, group in enumerate(ctx.groups):
            mean, second = ctx.saved_tensors[2 * number : 2 * number + 2]
            own = torch.stack([grad[:, position] for position in group], dim=1)
            mean, second = own[:, :, None] * mean, own[:, :, None, None] * second
            for place, position in enumerate(group):
                channels = ctx.channels[position]
                found[2 * position] = mean[:, place, :channels]
                found[2 * position + 1] = second[:, place, :channels, :channels]
        return None, *(found[number] for number in range(len(found)))


def _compare(mean: Tensor, second: Tensor, targets: Sequence[GaussianStatistics]) -> tuple[Tensor, Tensor, Tensor]:
    """Distances (B, K) of means (B, K, n) and second moments (B, K, n, n), and their gradients in both; float32."""
    target = _joined(targets)
    mean, second = mean.to(target.mean), second.to(target.mean)
    own = _gaussians(mean, second, target.channels)
    roots = target.root.expand(second.shape)
    overlap, transport = target.method.overlap(own.covariance.flatten(0, 1), roots.flatten(0, 1))
    overlap, transport = overlap.view(mean.shape[:2]), transport.view(second.shape)
    shift = mean - target.mean
    squared = shift.square().sum(dim=-1) + own.trace + target.trace - 2 * overlap
    # Of the trace minus twice the overlap, in the covariance: 1 - T. The floor follows the trace of the second moment.
    by_mean = shift - mean + (transport.to(mean) @ mean[..., None])[..., 0]
    diagonal = transport.diagonal(dim1=-2, dim2=-1)
    by_floor = target.channels - diagonal.sum(dim=-1)
    scale = 1 / (target.energy + EPSILON)
    by_second = transport * -scale[:, None, None]
    by_second.diagonal(dim1=-2, dim2=-1).add_((scale * (1 + CONDITION * by_floor))[..., None])
    return (squared.clamp_min(0) * scale).float(), (2 * scale[:, None] * by_mean).float(), by_second.float()


def _joined(targets: Sequence[GaussianStatistics]) -> GaussianStatistics:
    """K targets of one size as one."""
    if len(targets) == 1:
        return targets[0]
    return GaussianStatistics(
        mean=torch.cat([target.mean for target in targets]),
        root=torch.cat([target.root for target in targets]),
        trace=torch.cat([target.trace for target in targets]),
        energy=torch.cat([target.energy for target in targets]),
        channels=torch.cat([target.channels for target in targets]),
        method=targets[0].method,
    )


def _stacked(tensors: Sequence[Tensor], size: int) -> Tensor:
    """K vectors (B, C) or matrices (B, C, C) filled up with zeros, (B, K, size) or (B, K, size, size), in one copy."""
    if all(tensor.shape[-1] == size for tensor in tensors):
        return torch.stack(tuple(tensors), dim=1) if len(tensors) > 1 else tensors[0][:, None]
    first, order = tensors[0], tensors[0].dim() - 1
    places = _places(tuple(tensor.shape[-1] for tensor in tensors), size, order, first.device)
    zero = first.new_zeros(len(first), 1)
    flat = torch.cat([*(tensor.flatten(1) for tensor in tensors), zero], dim=1)
    return flat.index_select(1, places).view(len(first), len(tensors), *[size] * order)


@cache
def _places(channels: tuple[int, ...], size: int, order: int, device: torch.device) -> Tensor:
    """For every entry of the stack where it stands in the joined tensors, whose last entry is zero."""
    counts = [number**order for number in channels]
    ranges = torch.split(torch.arange(sum(counts)), counts)
    filled = [
        F.pad(own.view([number] * order), (0, size - number) * order, value=sum(counts))
        for own, number in zip(ranges, channels, strict=True)
    ]
    return torch.stack(filled).flatten().to(device)

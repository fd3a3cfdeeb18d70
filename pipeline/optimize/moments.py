"""The moments of feature maps, on which every style loss is built.

Statistics are computed in float32 whatever the precision of the features, because sums over a half-precision feature
map overflow.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Moments(NamedTuple):
    """Mean (B, C) and second moment E[x x^T] (B, C, C) of features over their positions, float32."""

    mean: Tensor
    second: Tensor


class _Moments(torch.autograd.Function):
    """Mean (B, C) and second moment E[x x^T] (B, C, C) of features over their positions, float32.

    Written by hand so that only the low-precision features are kept for the backward pass, and the float32 copy of a
    full-resolution map lives no longer than its matrix product, forward only.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(features)
        rows = _rows(features)
        count = rows.shape[1]
        return rows.mean(dim=1), rows.mT @ rows / count

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        grad_mean, grad_second = grads
        (features,) = ctx.saved_tensors
        batch, channels, height, width = features.shape
        count = height * width
        # In the precision of the features: rounding this small matrix changes the gradient by less than a percent
        # (bfloat16 features change it by ten), and float32 copies at full resolution would take most of the time.
        shift, mixing = (
            grad.to(features.dtype) for grad in (grad_mean / count, (grad_second + grad_second.mT) / count)
        )
        rows = features.permute(0, 2, 3, 1).reshape(batch, count, channels)
        gradient = torch.baddbmm(shift[:, None, :], rows, mixing)
        return gradient.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _rows(features: Tensor) -> Tensor:
    """Features as float32 (B, h*w, C): a view when they are dense channels-last float32, else one copy, never two."""
    batch, channels, height, width = features.shape
    return features.permute(0, 2, 3, 1).float().reshape(batch, height * width, channels)


def moments(features: Tensor) -> Moments:
    """The moments of features (B, C, h, w) over all positions, differentiable."""
    return Moments(*_Moments.apply(features))  # type: ignore[no-untyped-call]

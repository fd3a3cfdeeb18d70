"""The moments of feature maps, on which every style loss is built.

Statistics are computed in float32 whatever the precision of the features, because sums over a half-precision feature
map overflow.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import torch
from torch import Tensor

BLOCK_VALUES: Final = 1 << 20
"""Features are converted to float32 in blocks of so many values, which stay in the processor's cache."""
BLOCK_PARTS: Final = 8
"""Parts of a block whose products are taken side by side: one product of so narrow matrices would use one core."""


class Moments(NamedTuple):
    """Mean (B, C) and second moment E[x x^T] (B, C, C) of features over so many `positions`, float32."""

    mean: Tensor
    second: Tensor
    positions: int


class MomentSums:
    """Moments that are added up over the parts of a feature map."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: tuple[Tensor, Tensor] | None = None

    def add(self, features: Tensor) -> None:
        """Add features (B, C, h, w), of any precision."""
        self._count += features.shape[2] * features.shape[3]
        for block in feature_blocks(features):
            found = feature_sums(block)
            self._sums = found if self._sums is None else (self._sums[0] + found[0], self._sums[1] + found[1])

    def moments(self) -> Moments:
        """The moments of all features added so far. Raises ValueError if there are none."""
        if self._sums is None:
            raise ValueError("no features were added")
        mean, second = (total / self._count for total in self._sums)
        # A product of a matrix with its own transpose is rounded differently on both sides of the diagonal.
        return Moments(mean, 0.5 * (second + second.mT), self._count)


def moments(features: Tensor) -> Moments:
    """The moments of features (B, C, h, w) over all positions."""
    sums = MomentSums()
    sums.add(features)
    return sums.moments()


def feature_blocks(features: Tensor) -> list[Tensor]:
    """Rows of features (B, C, h, w), channels last: one block on an accelerator, some of a cache's size on the CPU."""
    rows = features.permute(0, 2, 3, 1)
    if features.device.type != "cpu":
        return [rows]
    lines = max(1, BLOCK_VALUES // (rows.shape[2] * rows.shape[3]))
    lines -= lines % BLOCK_PARTS if lines > BLOCK_PARTS else 0
    return [rows[:, start : start + lines] for start in range(0, rows.shape[1], lines)]


def feature_sums(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the positions of rows (B, h, w, C): of the features, and of their products."""
    batch, height, _, channels = rows.shape
    if rows.dtype != torch.float32 and rows.device.type == "cuda":
        dense = rows.reshape(batch, -1, channels)
        return dense.sum(dim=1, dtype=torch.float32), product(dense.mT, dense)
    parts = math.gcd(height, BLOCK_PARTS)
    dense = rows.float().reshape(batch * parts, -1, channels)
    products = torch.bmm(dense.mT, dense).view(batch, parts, channels, channels)
    return dense.sum(dim=1).view(batch, parts, channels).sum(dim=1), products.sum(dim=1)


def product(left: Tensor, right: Tensor) -> Tensor:
    """The product of batches of matrices in float32, to which half precision is never rounded on the way."""
    if left.dtype == torch.float32:
        return torch.bmm(left, right)
    return torch.bmm(left, right, out_dtype=torch.float32)  # only CUDA has it

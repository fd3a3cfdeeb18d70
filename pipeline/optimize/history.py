"""The full-size vectors of L-BFGS: gradients and curvature pairs of a batch, and the two passes over them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pipeline.optimize.curvature import Booleans, Floats, Integers
from pipeline.runtime.transfers import take, upload

BLOCK = 2**14
"""Most values of a block: short enough that sums in float32 are accurate and that one sample gives work to a whole
accelerator, long enough that the products of a block cost more than starting them."""
PART_VALUES = 2**25
"""Most values that are converted at a time on an accelerator."""
CPU_PART_VALUES = 2**20
"""Most values that are worked on at a time on the CPU: they stay in its cache."""


class History:
    """Gradients and curvature pairs of B samples of N values, one after the other in blocks that are handled alike.

    Both passes over the pairs, `products` and `combine`, take the same few operations whatever the batch. Gradients are
    float32 on the device of the images; the pairs may have another dtype or be kept on another device, and are then
    converted in parts, and multiplied in float32.
    """

    def __init__(self, like: Tensor, size: int, *, dtype: torch.dtype, device: torch.device | None) -> None:
        """Up to `size` pairs for images as in `like` (B, C, H, W), whose gradients are taken as 0 at first."""
        self.batch = len(like)
        area = like[0, 0].numel()
        self.block = next(block for block in range(min(BLOCK, area), 0, -1) if area % block == 0)
        blocks = like.numel() // self.block
        self.gradients = like.new_zeros(blocks, self.block)
        # Row 2 k is the step of slot k and row 2 k + 1 its change; only slots that are in use are ever read.
        self.pairs = torch.empty(blocks, 2 * size, self.block, dtype=dtype, device=device or like.device)
        self.used = 0

    def products(self, points: Tensor, trial: Tensor, gradients: Tensor, filled: int) -> Tensor:
        """Products of new gradient, step and change with each other and with the pairs of `filled` slots.

        From old and new points (B, N) and new gradients (B, C, H, W); (B, 3, 3 + 2 filled), float32.
        """
        points, trial, gradients = self._rows(points), self._rows(trial), self._rows(gradients)
        found = points.new_empty(len(points), 3, 3 + 2 * filled)
        for part, pairs in self._parts(filled):
            latest = points.new_empty(len(points[part]), 3, self.block)
            latest[:, 0] = gradients[part]
            torch.sub(trial[part], points[part], out=latest[:, 1])
            torch.sub(gradients[part], self.gradients[part], out=latest[:, 2])
            found[part, :, :3] = latest @ latest.mT
            found[part, :, 3:] = latest @ pairs.mT
        return _by_sample(found, self.batch).sum(dim=1)

    def accept(
        self,
        points: Tensor,
        trial: Tensor,
        gradients: Tensor,
        accepted: Booleans,
        kept: Booleans,
        slots: Integers,
    ) -> None:
        """Take over the gradients of the samples marked `accepted` (B,), and store the pairs of those `kept` (B,).

        Old and new points and new gradients are those given to `products`; the pair of each sample goes to its slot
        (B,).
        """
        points, trial, gradients = self._rows(points), self._rows(trial), self._rows(gradients)
        for slot in np.unique(slots[kept]):
            chosen = kept & (slots == slot)
            step, change = self.pairs[:, 2 * slot], self.pairs[:, 2 * slot + 1]
            if slot >= self.used:
                self.used = slot + 1
                if not chosen.all():
                    # What is in fresh memory could be NaN, which no weight of 0 removes.
                    step.zero_()
                    change.zero_()
            if chosen.all() and not self._converts:
                torch.sub(trial, points, out=step)
                torch.sub(gradients, self.gradients, out=change)
                continue
            for part in self._ranges(rows=2) if chosen.all() else [slice(None)]:
                assign(step[part], trial[part] - points[part], chosen)
                assign(change[part], gradients[part] - self.gradients[part], chosen)
        assign(self.gradients, gradients, accepted)

    def combine(self, points: Tensor, weights: Floats, out: Tensor) -> None:
        """Points (B, N) plus the weighted gradient and pairs, clamped to [0, 1]. `weights` is (B, 1 + 2 filled)."""
        points, out = self._rows(points), out.view(-1, self.block)
        per_sample = upload(weights.astype(np.float32), points.device).to(points.dtype)
        per_block = per_sample.repeat_interleave(len(points) // self.batch, dim=0, output_size=len(points))[:, None]
        for part, pairs in self._parts(weights.shape[1] // 2):
            target = out[part]
            torch.addcmul(points[part], self.gradients[part], per_block[part, 0, :1], out=target)
            target[:, None].baddbmm_(per_block[part, :, 1:], pairs)
            target.clamp_(0, 1)

    def narrow(self, samples: Integers) -> None:
        """Keep only these samples, in ascending order; the pairs are moved in place."""
        pairs = _by_sample(self.pairs, self.batch)
        for place, sample in enumerate(samples.tolist()):
            if place != sample:
                pairs[place] = pairs[sample]
        self.pairs = pairs[: len(samples)].flatten(0, 1)
        self.gradients = take(_by_sample(self.gradients, self.batch), samples).flatten(0, 1)
        self.batch = len(samples)

    @property
    def _converts(self) -> bool:
        """Whether the pairs have another dtype than the images or are on another device."""
        return (self.pairs.dtype, self.pairs.device) != (self.gradients.dtype, self.gradients.device)

    def _rows(self, values: Tensor) -> Tensor:
        """Values of the samples, (B, N) or (B, C, H, W), in blocks."""
        return values.reshape(-1, self.block)

    def _parts(self, filled: int) -> Iterator[tuple[slice, Tensor]]:
        """Ranges of blocks, and their pairs in float32 on the device of the images: views of them if they are there."""
        for part in self._ranges(rows=2 * filled + 3):
            yield part, self.pairs[part, : 2 * filled].to(self.gradients)

    def _ranges(self, rows: int) -> Iterator[slice]:
        """Ranges of blocks that are taken at a time, with so many rows of each: all, unless the memory is the limit."""
        count = len(self.gradients)
        if self.gradients.device.type == "cpu":
            count = max(1, CPU_PART_VALUES // (rows * self.block))
        elif self._converts:
            count = max(1, PART_VALUES // (rows * self.block))
        for first in range(0, len(self.gradients), count):
            yield slice(first, first + count)


def assign(target: Tensor, source: Tensor, chosen: Booleans) -> None:
    """Overwrite the chosen ones (B,) of the samples that stand one after the other along the first axis of both."""
    if chosen.all():
        target.copy_(source)
    elif chosen.any():
        samples = upload(np.flatnonzero(chosen), source.device)
        into, values = _by_sample(target, len(chosen)), _by_sample(source, len(chosen))
        into[samples.to(into.device)] = values[samples].to(into)


def _by_sample(rows: Tensor, batch: int) -> Tensor:
    """The first axis of a tensor split into samples and what belongs to each."""
    return rows.view(batch, -1, *rows.shape[1:])

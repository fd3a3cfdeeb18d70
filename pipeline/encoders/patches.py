"""The maps of regions at one layer, and the rectangles in which few of them have to be looked at.

Masks are 0 or 1 nearly everywhere. Where one region alone has weight 1 its features need no weights, and where a region
is 0 they need no product. So a map is divided into rectangles of one kind: what regions cost beyond a single one is
spent along their edges. Each rectangle is small enough for the processor's cache, where several steps on it are cheap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.runtime.transfers import take

CELL: Final = 16
"""Rectangles are made of squares of so many positions a side."""
PATCH_POSITIONS: Final = 1 << 14
"""A rectangle has at most so many positions, if it is more than one row of squares."""


class Patch(NamedTuple):
    """A rectangle of the maps of some samples.

    `regions` are those that are not 0 there; it is `whole` if there is only one, which is 1 everywhere.
    """

    samples: slice
    rows: slice
    columns: slice
    regions: tuple[int, ...]
    whole: bool

    def of(self, features: Tensor) -> Tensor:
        """The part (b, h, w, C) of features (B, C, H, W), channels last."""
        return features[self.samples, :, self.rows, self.columns].permute(0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class RegionMaps:
    """Maps (B, S, h, w) of S regions in [0, 1], float32, and the patches of all positions where one is not 0.

    On an accelerator there is one patch with all of it: looking at the maps would wait for the device.
    """

    maps: Tensor
    patches: Sequence[Patch]

    @classmethod
    def of(cls, maps: Tensor) -> RegionMaps:
        """The maps with their patches."""
        if maps.device.type != "cpu":
            return cls(maps, (Patch(slice(None), slice(None), slice(None), tuple(range(maps.shape[1])), False),))
        return cls(maps, tuple(patch for sample in range(len(maps)) for patch in _patches(maps[sample], sample)))

    def part(self, rows: slice, columns: slice) -> RegionMaps:
        """The maps of some rows and columns."""
        return RegionMaps.of(self.maps[:, :, rows, columns])

    def subset(self, samples: Sequence[int]) -> RegionMaps:
        """The maps of some of the samples."""
        return RegionMaps.of(take(self.maps, samples))

    def weights(self, patch: Patch, region: int) -> Tensor:
        """The map of one region in a patch, (b, h, w, 1)."""
        return self.maps[patch.samples, region, patch.rows, patch.columns, None]


def _patches(maps: Tensor, sample: int) -> Iterator[Patch]:
    """The patches of one sample's maps (S, h, w): runs of equal squares, which grow downward while they are equal."""
    height, width = maps.shape[1:]
    kinds = _kinds(maps)
    growing: dict[tuple[int, int], tuple[int, int]] = {}  # columns of squares: first row of squares, kind
    for row in range(len(kinds) + 1):
        runs = _runs(kinds[row]) if row < len(kinds) else {}
        for (start, stop), (first, kind) in list(growing.items()):
            positions = (row - first + 1) * (stop - start) * CELL**2
            if runs.get((start, stop)) == kind and positions <= PATCH_POSITIONS:
                del runs[start, stop]
                continue
            del growing[start, stop]
            rows, columns = (
                slice(first * CELL, min(row * CELL, height)),
                slice(start * CELL, min(stop * CELL, width)),
            )
            regions = tuple(region for region in range(len(maps)) if kind >> (region + 1) & 1)
            yield Patch(slice(sample, sample + 1), rows, columns, regions, bool(kind & 1))
        growing |= {span: (row, kind) for span, kind in runs.items() if kind}


def _kinds(maps: Tensor) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """What each square is, (rows, columns): bit 0 if the only region is 1 everywhere, then one bit for each region."""
    highest, negated = (F.max_pool2d(it[None], CELL, ceil_mode=True)[0] for it in (maps, -maps))
    found = (highest > 0).long()
    bits = 2 << torch.arange(len(maps))
    whole = (found.sum(dim=0) == 1) & (negated == -1).any(dim=0)
    return np.asarray((found * bits[:, None, None]).sum(dim=0).add(whole).numpy())


def _runs(kinds: np.ndarray[tuple[int], np.dtype[np.int64]]) -> dict[tuple[int, int], int]:
    """The runs of equal squares in a row: kinds by start and stop."""
    edges = [0, *(np.flatnonzero(np.diff(kinds)) + 1).tolist(), len(kinds)]
    return {(start, stop): int(kinds[start]) for start, stop in pairwise(edges)}

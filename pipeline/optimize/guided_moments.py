"""The moments of features within regions (Gatys et al. 2017, "Controlling Perceptual Factors ...", section 4).

With the map T of a region at a layer: mean = sum T f / sum T and second moment = sum T f f^T / sum T.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from pipeline.encoders.patches import RegionMaps
from pipeline.optimize.moments import Moments, feature_sums, product

EMPTY: Final = 1e-3
"""A region that covers less than so many positions of a layer has no moments there, and counts for nothing."""


class GuidedMoments(NamedTuple):
    """Moments of S regions: mean (B, S, C), second (B, S, C, C), and the sums (B, S) of their maps, float32.

    `positions` is the size of the whole map. The moments of an empty region are 0 and the identity matrix.
    """

    mean: Tensor
    second: Tensor
    sums: Tensor
    positions: int

    def of_region(self, region: int) -> Moments:
        """The moments of one region."""
        return Moments(self.mean[:, region], self.second[:, region], self.positions)

    @property
    def fractions(self) -> Tensor:
        """How much of the layer each region covers, (B, S); 0 for those that are empty."""
        return torch.where(self.sums < EMPTY, 0, self.sums / self.positions)


class GuidedSums:
    """Guided moments that are added up over the parts of a feature map."""

    def __init__(self) -> None:
        self._positions = 0
        self._sums: list[Tensor] | None = None

    def add(self, features: Tensor, maps: RegionMaps) -> None:
        """Add features (B, C, h, w), of any precision, and the maps of the same positions."""
        self._positions += features.shape[2] * features.shape[3]
        if self._sums is None:
            self._sums = _zeros(features, maps.maps.shape[1])
        mean, second, sums = self._sums
        sums += maps.maps.sum(dim=(2, 3))
        for patch in maps.patches:
            rows = patch.of(features)
            rows = rows if rows.device.type == "cuda" else rows.float()
            for region in patch.regions:
                own, place = rows, (patch.samples, region)
                if not patch.whole:
                    # The features times the root of the map have these second moments, whose product is symmetric.
                    root = maps.weights(patch, region).sqrt().to(rows.dtype)
                    own = rows * root
                    mean[place] += product(root.flatten(1, 2).mT, own.flatten(1, 2))[:, 0]
                first, products = feature_sums(own)
                second[place] += products
                if patch.whole:
                    mean[place] += first

    def moments(self) -> GuidedMoments:
        """The moments of all features added so far. Raises ValueError if there are none."""
        if self._sums is None:
            raise ValueError("no features were added")
        mean, second, sums = self._sums
        empty = sums < EMPTY
        divisor = torch.where(empty, 1, sums)
        one = torch.eye(mean.shape[2], device=mean.device)
        mean = torch.where(empty[:, :, None], 0, mean / divisor[:, :, None])
        second = torch.where(empty[:, :, None, None], one, second / divisor[:, :, None, None])
        return GuidedMoments(mean, 0.5 * (second + second.mT), sums, self._positions)


def _zeros(features: Tensor, regions: int) -> list[Tensor]:
    batch, channels = features.shape[:2]
    shapes = ((batch, regions, channels), (batch, regions, channels, channels), (batch, regions))
    return [torch.zeros(shape, device=features.device) for shape in shapes]

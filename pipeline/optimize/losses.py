"""The losses of the objective that compare with one frame: content and temporal.

Shapes: images (B, 3, H, W) float32 sRGB in [0, 1]; features (B, C, h, w) in the encoder's precision; values (B,)
float32. Nothing here reduces over the batch, so the gradient of a frame never depends on the other frames.
Gradients are written down with the values: autograd would move each image many more times.

Every loss is made dimensionless by its own target: 0 is a perfect match, and about 1 is the value of a gray image, for
every encoder, layer and size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from pipeline.runtime.transfers import take

EPSILON: Final = 1e-16
"""Keeps a division by the energy of an all-zero target finite."""
VARIANCE_FLOOR: Final = 1e-3
"""Added to the variance that divides the temporal loss, which is 0 for a frame of one color."""


@dataclass(frozen=True, slots=True)
class ContentTarget:
    """The features (B, C, h, w) of content frames at one layer, and their mean square (B,)."""

    features: Tensor
    energy: Tensor

    @classmethod
    def of(cls, features: Tensor) -> ContentTarget:
        """The target with these features."""
        return cls(features, features.float().square().mean(dim=(1, 2, 3)))

    def subset(self, samples: Sequence[int]) -> ContentTarget:
        """The target of some of the frames."""
        features = take(self.features, samples).contiguous(memory_format=torch.channels_last)
        return ContentTarget(features, take(self.energy, samples))


def content_loss(
    features: Tensor, target: Tensor, energy: Tensor, count: int, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean squared feature difference over the mean square of the target (Gatys et al. 2015, eq. 1).

    We depart from the paper by the division, which makes the term dimensionless. `features` and `target` (B, C, h, w)
    may be a part of maps with `count` values per frame; the losses of the parts add up to that of the whole. `weights`
    (B, 1, h, w) say how much each position counts (None: 1). Returns the values (B,), and their gradients with respect
    to the features, float32 (B, C, h, w).
    """
    difference = features.float() - target.float()
    scale = 1 / ((energy + EPSILON) * count)
    if weights is not None:
        weighted = difference * weights
        return (difference * weighted).sum(dim=(1, 2, 3)) * scale, weighted * (2 * scale)[:, None, None, None]
    return difference.square().sum(dim=(1, 2, 3)) * scale, difference * (2 * scale)[:, None, None, None]


@dataclass(frozen=True, slots=True)
class TemporalTarget:
    """The warped previous frames (B, 3, H, W), and their confidence (B, 1, H, W) in [0, 1].

    `divisor` (B,) is the variance of the warped frames, which makes the temporal loss dimensionless.
    """

    warped_previous: Tensor
    confidence: Tensor
    divisor: Tensor

    @classmethod
    def of(cls, warped_previous: Tensor, confidence: Tensor) -> TemporalTarget:
        """The target with these frames, in the memory order of the images that are compared with them."""
        warped_previous, confidence = warped_previous.contiguous(), confidence.contiguous()
        variance = warped_previous.var(dim=(2, 3), correction=0).mean(dim=1)
        return cls(warped_previous, confidence, variance + VARIANCE_FLOOR)

    def subset(self, samples: Sequence[int]) -> TemporalTarget:
        """The target of some of the frames."""
        return TemporalTarget(*(take(it, samples) for it in (self.warped_previous, self.confidence, self.divisor)))


def temporal_loss(
    images: Tensor, target: TemporalTarget, *, weight: float = 1.0, gradients: Tensor | None = None
) -> Tensor:
    """Confidence-weighted squared difference to the warped previous frame (Ruder et al. 2016, eq. 7): (B,).

    Where the confidence is 0 the value and the gradient are 0. We depart from the paper by dividing by the variance of
    the warped frame. `weight` times the gradient is added to `gradients` (B, 3, H, W).
    """
    difference = images - target.warped_previous
    weighted = difference * target.confidence
    scale = 1 / (target.divisor * images[0].numel())
    if gradients is not None:
        gradients.addcmul_(weighted, (2 * weight * scale)[:, None, None, None])
    return torch.einsum("bn,bn->b", difference.flatten(1), weighted.flatten(1)) * scale

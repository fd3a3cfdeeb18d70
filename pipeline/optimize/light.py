"""The light term: broad colors of the stylized frame are those of the content, recolored like the style images.

Style statistics do not say where a color goes, and content features hardly depend on broad color. So without this term
a warm-started chain keeps the arrangement of color of its first frame for ever.

Blurring is linear and separable: `rows @ image @ columns.T` with matrices of Gaussian weights, sampled at as many
positions as the blurred image needs. That is an exact Gaussian blur, and its gradient is as smooth (a mean over square
cells would draw the cells' edges into flat areas), for 2 percent of an evaluation.

Shapes: images (B, 3, H, W) float32 sRGB in [0, 1]; results (B,) float32. Scales are standard deviations as fractions of
the longer side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

from pipeline.runtime.transfers import take

SAMPLES_PER_SIGMA: Final = 1.25
"""Blurred images are sampled this often per standard deviation: what is lost is below 0.1 percent."""
REACH: Final = 5.0
"""Weights farther away than so many standard deviations are 0: as tiny numbers they would slow the product down."""
VARIANCE_FLOOR: Final = 1e-3
"""Added to the variance that divides the term, which is 0 for content of one color."""


@dataclass(frozen=True, slots=True)
class Blur:
    """A Gaussian blur of images (..., H, W) to fewer samples (..., h, w): `rows` (h, H) and `columns` (w, W)."""

    rows: Tensor
    columns: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        return self.rows @ (images @ self.columns.T)

    def add_transposed(self, samples: Tensor, images: Tensor) -> None:
        """Add the transposed map of samples (B, C, h, w) to images (B, C, H, W), which are contiguous, in place."""
        spread = (samples @ self.columns).flatten(0, 1)
        images.view(-1, *images.shape[2:]).baddbmm_(self.rows.T.expand(len(spread), -1, -1), spread)


@dataclass(frozen=True, slots=True)
class LightTarget:
    """What the light of B images is compared with at one scale.

    `light` (B, 3, h, w) is the blurred recolored content, `variance` (B,) its spatial variance; `weight` (B, 1, h, w)
    in [0, 1] says where it counts, None: everywhere.
    """

    blur: Blur
    light: Tensor
    variance: Tensor
    weight: Tensor | None = None

    def subset(self, samples: Sequence[int]) -> LightTarget:
        """The target of some of the images."""
        weight = None if self.weight is None else take(self.weight, samples)
        return replace(self, light=take(self.light, samples), variance=take(self.variance, samples), weight=weight)


def gaussian_blur(height: int, width: int, scale: float, like: Tensor) -> Blur:
    """The blur of images of (height, width) px by `scale` of the longer side, on the device of `like`.

    Borders are those of an image that goes on with its mirror image.
    """
    sigma_px = max(0.5, scale * max(height, width))
    return Blur(*(_weights(length, sigma_px, like.device) for length in (height, width)))


def light_target(
    content: Tensor,
    scale: float,
    changed: Tensor | None = None,
    recolor: Callable[[Tensor], Tensor] = lambda colors: colors,
) -> LightTarget:
    """The target at one scale from content (B, 3, H, W); `changed` (B, 1, H, W) restricts where it counts.

    `recolor` maps the colors of blurred content (B, 3, h, w). For an affine map that is the same as to recolor the
    content and blur the result, at a thousandth of the cost.
    """
    blur = gaussian_blur(content.shape[-2], content.shape[-1], scale, content)
    light = recolor(blur(content))
    variance = light.var(dim=(2, 3), correction=0).mean(dim=1) + VARIANCE_FLOOR
    return LightTarget(blur, light, variance, None if changed is None else blur(changed).clamp(0, 1))


def light_loss(images: Tensor, target: LightTarget, *, weight: float = 1.0, gradients: Tensor | None = None) -> Tensor:
    """Mean squared difference of the blurred images to the target over its variance, where it counts: (B,).

    0 is a perfect match, about 1 the value of an image without light and shade. `weight` times the gradient is added to
    `gradients` (B, 3, H, W).
    """
    difference = target.blur(images) - target.light
    weighted = difference if target.weight is None else difference * target.weight
    scale = 1 / (target.variance * difference[0].numel())
    if gradients is not None:
        target.blur.add_transposed(weighted * (2 * weight * scale)[:, None, None, None], gradients)
    return torch.einsum("bn,bn->b", difference.flatten(1), weighted.flatten(1)) * scale


@lru_cache(maxsize=32)
def _weights(length: int, sigma_px: float, device: torch.device) -> Tensor:
    """Weights (samples, length), each row of sum 1: a Gaussian around a position, folded at both ends; float32.

    Kept on the device, because every frame of a clip needs the same ones; they must not be modified.
    """
    count = max(2, math.ceil(SAMPLES_PER_SIGMA * length / sigma_px)) if length > 1 else 1
    count = min(count, length)
    centers = (torch.arange(count, dtype=torch.float64) + 0.5) * (length / count) - 0.5
    weights = torch.zeros(count, length, dtype=torch.float64)
    places = torch.arange(length, dtype=torch.float64)
    folds = math.ceil(REACH * sigma_px / length)
    for fold in range(-folds, folds + 1):
        # Pixel i appears again, mirrored at the edges, in every copy of the image beside the image.
        mirrored = places if fold % 2 == 0 else length - 1 - places
        distance = (mirrored + fold * length - centers[:, None]) / sigma_px
        weights += torch.where(distance.abs() <= REACH, torch.exp(-0.5 * distance**2), 0.0)
    return (weights / weights.sum(dim=1, keepdim=True)).float().to(device)

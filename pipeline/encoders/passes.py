"""The forward and the backward pass of a feature network, written out step by step.

What autograd cannot know makes the two passes several times faster, mostly on the CPU, where moving feature maps takes
longer than multiplying them:

- ReLU leaves values that are not negative, whose order is that of their bits as integers. Maxima of integers are
  several times as fast as those of half-precision numbers.
- Gradients are written straight into maps with a border of zeros, on which the next convolution needs no padding.
- Only what the gradient needs is kept: a map on which nothing but a pooling depends is given up.
- The gradient of a style loss is linear in the features (`Cotangent`), and is added by one product of matrices.

Shapes: images (B, 3, H, W) float32 sRGB in [0, 1]; feature maps (B, C, h, w) in the precision of the weights, in
channels-last memory order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.encoders.patches import RegionMaps
from pipeline.encoders.pooling import (
    Choices,
    average_pool_gradient,
    bordered,
    integers,
    max_pool,
    max_pool_choices,
    max_pool_gradient,
)
from pipeline.encoders.steps import Convolution, Mirror, Pool, Step, Steps
from pipeline.runtime.device import constants

Kept: TypeAlias = Tensor | Choices | torch.Size | None
"""What the gradient of a step needs: the result of a convolution, what a maximum pooling took, or the size averaged."""


@dataclass(frozen=True, slots=True)
class Cotangent:
    """The derivative of a loss with respect to the features (B, C, h, w) of one layer.

    At each position with features f it is `f @ mixing + shift`, with `mixing` (B, C, C) and `shift` (B, C), plus the
    value of `dense` (B, C, h, w) there. What is None counts as 0. `part` are the rows and columns of the map to which
    `dense` belongs, and outside of which the derivative is 0; None: all. With `maps` of S regions, of the size of
    `dense`, `mixing` is (B, S, C, C) and `shift` (B, S, C), and their sum over regions, each times its map,
    takes the place of `f @ mixing + shift`.
    """

    dense: Tensor | None = None
    mixing: Tensor | None = None
    shift: Tensor | None = None
    part: tuple[slice, slice] | None = None
    maps: RegionMaps | None = None

    def add_to(self, gradient: Tensor, features: Tensor) -> None:
        """Add the derivative at `features` to a map of the same shape."""
        if self.part is not None:
            gradient, features = (it[:, :, self.part[0], self.part[1]] for it in (gradient, features))
        if self.maps is not None:
            self._add_guided(gradient, features, self.maps)
        elif self.mixing is not None:
            gradient += torch.einsum("bchw,bcd->bdhw", features, self.mixing.to(features.dtype))
        if self.shift is not None and self.maps is None:
            gradient += self.shift.to(features.dtype)[:, :, None, None]
        if self.dense is not None:
            gradient += self.dense

    def _add_guided(self, gradient: Tensor, features: Tensor, maps: RegionMaps) -> None:
        """Add the part that depends on the regions, patch by patch and region by region."""
        assert self.mixing is not None and self.shift is not None
        mixing, shift = self.mixing.to(features.dtype), self.shift.to(features.dtype)[:, :, None]
        for patch in maps.patches:
            to, found = patch.of(gradient), patch.of(features)
            rows = found.flatten(1, 2)
            for region in patch.regions:
                added = torch.baddbmm(shift[patch.samples, region], rows, mixing[patch.samples, region])
                added = added.view(found.shape)
                # Two steps, each of which is vectorized: `addcmul_` with a map that is repeated is not.
                to += added if patch.whole else added.mul_(maps.weights(patch, region).to(added.dtype))


class NetworkPass:
    """The features of images, and from their cotangents the gradient with respect to the images.

    With `keep` False nothing is kept for the gradient.
    """

    def __init__(self, network: Steps, images: Tensor, layers: Sequence[str], *, keep: bool = True) -> None:
        self.features: dict[str, Tensor] = {}
        self._steps = network.until(layers)
        self._kept: list[Kept] = []
        self._dtype = images.dtype
        x = centered(images, network.mean, network.dtype)
        for step, following in zip_longest(self._steps, self._steps[1:]):
            kept: Kept = None
            if keep and isinstance(step, Pool) and step.kind == "max":
                kept = max_pool_choices(x)
                x = kept.pooled
            else:
                if isinstance(step, Pool):
                    kept = x.shape
                x = _forward(step, x)
            if isinstance(step, Convolution):
                if step.layer in layers:
                    self.features[step.layer] = _inside(x, step.margin)[:, : step.channels]
                if step.layer in layers or not (isinstance(following, Pool) and following.kind == "max"):
                    kept = x
            if keep:
                self._kept.append(kept)

    def gradient(self, cotangents: Mapping[str, Cotangent], *, keep: bool = False) -> Tensor:
        """The gradient with respect to the images (B, 3, H, W), in their precision, from cotangents of some layers.

        What it needs is given up on the way, unless it is to be kept for another gradient.
        """
        left = list(self._kept) if keep else self._kept
        gradient: Tensor | None = None
        masked: Tensor | None = None
        shifts: Tensor | None = None
        for position in reversed(range(len(self._steps))):
            step, kept = self._steps[position], left.pop()
            if isinstance(step, Convolution):
                cotangent = cotangents.get(step.layer)
                if cotangent is not None:
                    assert isinstance(kept, Tensor)
                    gradient = _added(cotangent, step, kept, gradient, shifts)
                    masked = None
                if gradient is None:
                    continue
                if masked is None:
                    assert isinstance(kept, Tensor)
                    masked = _masked(gradient, kept, 2 - step.padding)
                shifts = _shifts(self._steps[position - 1], cotangents, masked) if position else None
                gradient, masked = _reverse_convolution(step, masked, shifts), None
            elif gradient is not None and isinstance(step, Mirror):
                gradient = _mirror_gradient(gradient, step.margin)
            elif gradient is not None and isinstance(kept, Choices):
                below = self._steps[position - 1]
                border = 2 - below.padding if isinstance(below, Convolution) else 0
                masked = max_pool_gradient(gradient, kept, border)
                gradient = _inside(masked, border)
            elif gradient is not None and isinstance(kept, torch.Size):
                gradient = average_pool_gradient(gradient, kept)
        assert gradient is not None
        return gradient.to(self._dtype, memory_format=torch.contiguous_format)


def centered(images: Tensor, mean: tuple[float, float, float], dtype: torch.dtype) -> Tensor:
    """Images minus the mean color, channels-last: in float32 first, because half precision is finer near 0."""
    difference = images - constants(mean, images.device).to(images.dtype)[:, None, None]
    return difference.to(dtype=dtype, memory_format=torch.channels_last)


def _forward(step: Step, x: Tensor) -> Tensor:
    if isinstance(step, Convolution):
        return _relu_(F.conv2d(x, step.weight, step.bias, padding=step.padding))
    if isinstance(step, Mirror):
        return mirrored(x, step.margin)
    return F.avg_pool2d(x, 2) if step.kind == "average" else max_pool(x)


def _relu_(x: Tensor) -> Tensor:
    """ReLU in place: numbers below 0 are integers below 0, and so are some NaN, which become 0."""
    integers(x).clamp_min_(0)
    return x


def mirrored(x: Tensor, margin: int) -> Tensor:
    """`x` with `margin` px more on every side: mirrored, or repeated where there is too little."""
    mode = "reflect" if min(x.shape[-2:]) > margin else "replicate"
    return F.pad(x, (margin,) * 4, mode=mode)


def _mirror_gradient(gradient: Tensor, margin: int) -> Tensor:
    """The inside of `gradient`, to which what lies on the margins is added where it was mirrored from."""
    for axis in (2, 3):
        inside = gradient.shape[axis] - 2 * margin
        first, last = gradient.narrow(axis, 0, margin), gradient.narrow(axis, margin + inside, margin)
        if min(gradient.shape[-2:]) - 2 * margin > margin:
            gradient.narrow(axis, margin + 1, margin).add_(first.flip(axis))
            gradient.narrow(axis, inside - 1, margin).add_(last.flip(axis))
        else:
            gradient.narrow(axis, margin, 1).add_(first.sum(dim=axis, keepdim=True))
            gradient.narrow(axis, margin + inside - 1, 1).add_(last.sum(dim=axis, keepdim=True))
    return _inside(gradient, margin)


def _inside(x: Tensor, margin: int) -> Tensor:
    """`x` without `margin` px of every side."""
    return x[:, :, margin:-margin, margin:-margin] if margin else x


def _masked(gradient: Tensor, features: Tensor, border: int) -> Tensor:
    """The gradient where the features are above 0 (the gradient of ReLU), else 0, with a border of zeros."""
    found = bordered(features.shape, features, border)
    torch.ops.aten.threshold_backward.grad_input(gradient, features, 0, grad_input=_inside(found, border))
    return found


def _shifts(step: Step, cotangents: Mapping[str, Cotangent], like: Tensor) -> Tensor | None:
    """The shifts (B, C) of a convolution's cotangent, if the bias of the convolution above can add them.

    It is the same for a whole batch, so that on an accelerator a larger batch would need several calls.
    """
    cotangent = cotangents.get(step.layer) if isinstance(step, Convolution) else None
    if cotangent is None or cotangent.shift is None or cotangent.mixing is None or cotangent.maps is not None:
        return None
    if len(cotangent.shift) > 1 and like.device.type != "cpu":
        return None
    assert isinstance(step, Convolution)
    missing = len(step.bias) - cotangent.shift.shape[1]
    return F.pad(cotangent.shift.to(like.dtype), (0, missing))


def _reverse_convolution(step: Convolution, masked: Tensor, shifts: Tensor | None) -> Tensor:
    """The gradient of a convolution by its input, plus the shifts (B, C)."""
    if shifts is None:
        return F.conv2d(masked, step.reverse)
    found = [F.conv2d(it[None], step.reverse, shift) for it, shift in zip(masked, shifts, strict=True)]
    return found[0] if len(found) == 1 else torch.cat(found)


def _added(
    cotangent: Cotangent, step: Convolution, features: Tensor, gradient: Tensor | None, shifts: Tensor | None
) -> Tensor:
    """The gradient with a cotangent of the layer added inside its margin; None counts as 0.

    `shifts` (B, C) are those that have been added everywhere already, also outside; None: none have.
    """
    if gradient is None:
        gradient = torch.zeros_like(features)
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    if cotangent.mixing is not None and cotangent.maps is None:
        _add_product(cotangent, step, features, gradient, shifts)
        cotangent = replace(cotangent, mixing=None, shift=cotangent.shift if shifts is None else None)
    inside, own = (_inside(it, step.margin)[:, : step.channels] for it in (gradient, features))
    cotangent.add_to(inside, own)
    return gradient


def _add_product(
    cotangent: Cotangent, step: Convolution, features: Tensor, gradient: Tensor, shifts: Tensor | None
) -> None:
    """Add `features @ mixing` to the gradient in place, which is fastest for all of it; what is outside is put back."""
    assert cotangent.mixing is not None
    batch, channels = features.shape[:2]
    outside = _outside(gradient, step.margin, cotangent.part)
    kept = [(it, it.clone() if shifts is None else it - shifts[:, :, None, None]) for it in outside]
    missing = channels - cotangent.mixing.shape[1]
    mixing = F.pad(cotangent.mixing.to(features.dtype), (0, missing, 0, missing))
    own, other = (it.permute(0, 2, 3, 1).reshape(batch, -1, channels) for it in (gradient, features))
    if batch > 1 and features.device.type != "cpu":
        own.baddbmm_(other, mixing)
    else:
        for to, rows, product in zip(own, other, mixing, strict=True):
            to.addmm_(rows, product)
    for strip, old in kept:
        strip.copy_(old)


def _outside(x: Tensor, margin: int, part: tuple[slice, slice] | None) -> list[Tensor]:
    """The strips of a map with a margin that lie outside a part of its inside; None: outside all of it."""
    height, width = x.shape[2:]
    rows, columns = part or (slice(0, height - 2 * margin), slice(0, width - 2 * margin))
    top, bottom, left, right = (margin + edge for edge in (rows.start, rows.stop, columns.start, columns.stop))
    strips = (x[:, :, :top], x[:, :, bottom:], x[:, :, top:bottom, :left], x[:, :, top:bottom, right:])
    return [strip for strip in strips if strip.numel()]

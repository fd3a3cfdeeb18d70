"""The callable `Encoder`, and the layers that several feature networks are built of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.errors import ConfigError, InputError

Pooling = Literal["max", "average"]


class FeatureNetwork(Protocol):
    """Computes named feature maps; `layers` are the valid names, shallow to deep."""

    layers: tuple[str, ...]
    min_side_px: int

    def __call__(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]: ...


@dataclass(frozen=True, slots=True)
class Encoder:
    """A frozen feature network: `encoder(images, layers)` gives the features of images at named layers.

    `images`: float32 (B, 3, H, W), sRGB in [0, 1] (values slightly outside are fine), on the encoder's device. The
    result maps each layer to (B, C, h, w) in the encoder's `dtype`, h = H // 2^(block - 1) for `relu<block>_<index>`,
    in channels-last memory order, differentiable with respect to `images` (once: no second derivatives). Everything
    comes from one forward pass that ends at the deepest layer asked for. No parameter of the network requires a
    gradient.
    """

    name: str
    digest: str
    """SHA-256 of the weights, hexadecimal: of the file, or of the tensors where there is no file."""
    dtype: torch.dtype
    device: torch.device
    _network: FeatureNetwork = field(repr=False)

    @property
    def layers(self) -> tuple[str, ...]:
        """Valid layer names, shallow to deep."""
        return self._network.layers

    @property
    def min_side_px(self) -> int:
        """Smallest height and width of an image, px."""
        return self._network.min_side_px

    def __call__(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Features of `images` at `layers`, in the order asked for.

        Raises ConfigError for a name that is not a layer, InputError for images below `min_side_px`.
        """
        self._check(layers)
        height, width = images.shape[-2:]
        if min(height, width) < self.min_side_px:
            raise InputError(
                f"an image of {width}x{height} px is too small for the encoder {self.name!r}, "
                f"which needs {self.min_side_px} px along each side",
                hint="use larger images, or a larger --width",
            )
        features = self._network(images, layers)
        return {layer: features[layer] for layer in layers}

    def _check(self, layers: Sequence[str]) -> None:
        unknown = [layer for layer in layers if layer not in self.layers]
        if unknown:
            raise ConfigError(
                f"the encoder {self.name!r} has no layer {', '.join(map(repr, unknown))}",
                hint=f"its layers are {', '.join(self.layers)}",
            )


class _BranchOff(torch.autograd.Function):
    """Returns features and their middle, without `margin` px of every side.

    The same as slicing, but the gradient of the slice is added in place to the gradient of the whole instead of being
    spread over a zero-filled map first: at full resolution that costs more than the convolution.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, margin: int) -> tuple[Tensor, Tensor]:
        ctx.margin = margin
        ctx.shape = features.shape
        ctx.set_materialize_grads(False)
        return features, features[:, :, margin:-margin, margin:-margin]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None]:
        whole, middle = grads
        margin = ctx.margin
        if whole is None:
            return (None if middle is None else F.pad(middle, (margin,) * 4)), None
        if middle is not None:
            # Safe: `whole` was made by the backward pass of the next convolution, and nothing else refers to it.
            whole[:, :, margin:-margin, margin:-margin] += middle
        return whole, None


def branch_off(features: Tensor, margin: int) -> tuple[Tensor, Tensor]:
    """`(features, middle)`, the middle without `margin` px of every side; the first must go into another layer."""
    if margin == 0:
        return features, features
    whole, middle = _BranchOff.apply(features, margin)  # type: ignore[no-untyped-call]
    return whole, middle


def pad(features: Tensor, margin: int) -> Tensor:
    """Features (B, C, h, w) with `margin` px more on every side: mirrored, or repeated where there is too little."""
    mode = "reflect" if min(features.shape[-2:]) > margin else "replicate"
    return F.pad(features, (margin,) * 4, mode=mode)


class _PadAndConvert(torch.autograd.Function):
    """Mirrors `margin` px around images and converts them; its backward pass converts first and folds in place."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, margin: int, dtype: torch.dtype) -> Tensor:
        ctx.margin, ctx.dtype = margin, images.dtype
        return F.pad(images, (margin,) * 4, mode="reflect").to(dtype=dtype, memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        margin = ctx.margin
        whole = grads[0].to(dtype=ctx.dtype, memory_format=torch.contiguous_format, copy=True)
        for axis in (2, 3):
            side = whole.shape[axis]
            inside = side - 2 * margin
            first, last = whole.narrow(axis, 0, margin), whole.narrow(axis, side - margin, margin)
            whole.narrow(axis, margin + 1, margin).add_(first.flip(axis))
            whole.narrow(axis, inside - 1, margin).add_(last.flip(axis))
        height, width = whole.shape[-2:]
        return whole[:, :, margin : height - margin, margin : width - margin].contiguous(), None, None


def pad_and_convert(images: Tensor, margin: int, dtype: torch.dtype) -> Tensor:
    """Images (B, 3, H, W) with `margin` px more on every side, as `pad` does, in `dtype` and channels-last."""
    if min(images.shape[-2:]) <= margin:
        return pad(images, margin).to(dtype=dtype, memory_format=torch.channels_last)
    padded: Tensor = _PadAndConvert.apply(images, margin, dtype)  # type: ignore[no-untyped-call]
    return padded


class _MaxPool(torch.autograd.Function):
    """Maximum pooling by 2 whose backward pass writes every gradient instead of adding it.

    Windows do not overlap, so the sums and the bytes are the same. torch cannot know that: its own backward pass
    takes three times as long, on one core.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.size = features.shape[-2:]
        pooled: Tensor
        pooled, indices = torch.ops.aten.max_pool2d_with_indices(features, [2, 2])
        ctx.save_for_backward(indices)
        return pooled

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (indices,) = ctx.saved_tensors
        return F.max_unpool2d(grads[0], indices, [2, 2], output_size=ctx.size)


def pool(features: Tensor, kind: Pooling) -> Tensor:
    """Features at half the resolution; an odd last row or column is dropped, as VGG does."""
    if kind == "average":
        return F.avg_pool2d(features, 2)
    if features.device.type != "cpu":
        return F.max_pool2d(features, 2)
    pooled: Tensor = _MaxPool.apply(features)  # type: ignore[no-untyped-call]
    return pooled

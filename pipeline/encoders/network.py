"""The callable `Encoder`: a frozen feature network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from pipeline.encoders.passes import Cotangent, NetworkPass
from pipeline.encoders.steps import Steps
from pipeline.errors import ConfigError, InputError


class FeaturePass(Protocol):
    """The features (B, C, h, w) of images by layer, and the gradient from their cotangents."""

    features: dict[str, Tensor]

    def gradient(self, cotangents: Mapping[str, Cotangent], *, keep: bool = False) -> Tensor:
        """The gradient with respect to the images, float32 (B, 3, H, W): once, or with `keep` more often."""
        ...


class FeatureNetwork(Protocol):
    """Computes named feature maps, differentiable by autograd; `layers` are the valid names, shallow to deep."""

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
    _network: Steps | FeatureNetwork = field(repr=False)

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
        if torch.is_grad_enabled() and images.requires_grad:
            return dict(zip(layers, _Features.apply(images, self, tuple(layers)), strict=True))  # type: ignore[no-untyped-call]
        found = self.forward_pass(images, layers, keep=False)
        return {layer: found.features[layer] for layer in layers}

    def forward_pass(self, images: Tensor, layers: Sequence[str], *, keep: bool = True) -> FeaturePass:
        """The features of `images` at `layers`, with what their gradient needs if it is to be kept.

        Raises what calling the encoder raises.
        """
        self._check(images, layers)
        if isinstance(self._network, Steps):
            return NetworkPass(self._network, images, layers, keep=keep)
        return _AutogradPass(self._network, images, layers, keep=keep)

    def reach_px(self, layers: Sequence[str]) -> int | None:
        """How many px beyond its own square a feature of these layers depends on, at most; None: it is not known."""
        return self._network.reach_px(layers) if isinstance(self._network, Steps) else None

    def bytes_per_px(self, layers: Sequence[str]) -> float | None:
        """Bytes of features, for each px of the image, that the gradient of these layers needs; None: not known."""
        return self._network.bytes_per_px(layers) if isinstance(self._network, Steps) else None

    def _check(self, images: Tensor, layers: Sequence[str]) -> None:
        unknown = [layer for layer in layers if layer not in self.layers]
        if unknown:
            raise ConfigError(
                f"the encoder {self.name!r} has no layer {', '.join(map(repr, unknown))}",
                hint=f"its layers are {', '.join(self.layers)}",
            )
        height, width = images.shape[-2:]
        if min(height, width) < self.min_side_px:
            raise InputError(
                f"an image of {width}x{height} px is too small for the encoder {self.name!r}, "
                f"which needs {self.min_side_px} px along each side",
                hint="use larger images, or a larger --width",
            )


class _Features(torch.autograd.Function):
    """The features of an encoder, with the gradient of its backward pass."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, encoder: Encoder, layers: tuple[str, ...]) -> tuple[Tensor, ...]:
        found = encoder.forward_pass(images, layers)
        ctx.network_pass, ctx.layers = found, layers
        return tuple(found.features[layer].detach() for layer in layers)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        cotangents = {layer: Cotangent(dense=grad) for layer, grad in zip(ctx.layers, grads, strict=True)}
        return ctx.network_pass.gradient(cotangents, keep=True), None, None


class _AutogradPass:
    """The same for a network of any kind."""

    def __init__(self, network: FeatureNetwork, images: Tensor, layers: Sequence[str], *, keep: bool) -> None:
        with torch.set_grad_enabled(keep):
            self._images = images.detach().requires_grad_(True)
            self._found = network(self._images, layers)
        self.features = {layer: features.detach() for layer, features in self._found.items()}

    def gradient(self, cotangents: Mapping[str, Cotangent], *, keep: bool = False) -> Tensor:
        given = {layer: torch.zeros_like(self.features[layer]) for layer in cotangents}
        for layer, cotangent in cotangents.items():
            cotangent.add_to(given[layer], self.features[layer])
        (gradient,) = torch.autograd.grad(
            [self._found[layer] for layer in given], self._images, list(given.values()), retain_graph=keep
        )
        return gradient

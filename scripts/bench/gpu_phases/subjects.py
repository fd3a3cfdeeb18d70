"""What the phases measure: encoders, a styler with its objective, and frames of a moving texture."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.config.settings import StylizeSettings
from pipeline.config.style import StyleImage, StyleSettings
from pipeline.encoders.load import frozen, load_encoder
from pipeline.encoders.network import Encoder
from pipeline.encoders.vgg import VggNetwork
from pipeline.optimize.losses import TemporalTarget
from pipeline.stylers.neural import NeuralStyler

if TYPE_CHECKING:
    from pipeline.config.settings import OptimizeSettings
    from pipeline.optimize.objective import Objective

ENCODERS = ("compact", "vgg19")
LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")
"""What the objective asks for with the default settings."""
STEP_PX = (1, 2)
"""How far the texture moves from frame to frame, (y, x): whole pixels, so that a warp is exact without a library."""
STYLE_SIDE_PX = 256
"""Style images of this size need no library that resizes."""
_VGG19 = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 1))
"""Channels and number of convolutions of every block, as far as the losses look."""


@cache
def encoder(name: str, device: str, dtype: torch.dtype) -> Encoder:
    """The encoder that ships, or a VGG-19 up to relu5_1 with random weights, which are as fast as trained ones."""
    if name == "compact":
        return load_encoder("compact", device=device, dtype=dtype)
    torch.manual_seed(0)
    modules: list[nn.Module] = []
    channels = 3
    with torch.device(device):  # several times faster than on the host
        for block, (width, count) in enumerate(_VGG19):
            modules += [nn.MaxPool2d(2)] if block else []
            for _ in range(count):
                convolution = nn.Conv2d(channels, width, 3, padding=1)
                nn.init.kaiming_normal_(convolution.weight)
                modules += [convolution, nn.ReLU()]
                channels = width
    return frozen(name, "", VggNetwork(nn.Sequential(*modules)), torch.device(device), dtype)


def styler(encoder: Encoder, optimize: OptimizeSettings | None = None) -> NeuralStyler:
    """The neural styler with one style image and the default settings but those of the optimization."""
    settings = StylizeSettings(
        style=StyleSettings(images=(StyleImage(path=Path("texture"), weight=100.0),)),
        **({} if optimize is None else {"optimize": optimize}),
    )
    return NeuralStyler(settings, [texture(STYLE_SIDE_PX, STYLE_SIDE_PX, 99)], encoder, device=encoder.device)


def warm_objective(encoder: Encoder, content: Tensor) -> Objective:
    """The objective of warm frames (B, 3, H, W), with the temporal term."""
    objective = styler(encoder).objective(content)
    return replace(objective, temporal=TemporalTarget.of(content, torch.ones_like(content[:, :1])))


def contents(batch: int, size: tuple[int, int], device: str) -> Tensor:
    """Different frames (B, 3, H, W) in [0, 1]."""
    return torch.cat([tensor(frame) for frame in different(batch, size)]).to(device)


def different(count: int, size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Different frames uint8 (H, W, 3): one texture, cut at other places and put together again."""
    whole = texture(*size, 0)
    return [np.roll(whole, (37 * k, 61 * k), axis=(0, 1)) for k in range(count)]


def moving(count: int, size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Frames uint8 (H, W, 3) in which a texture moves by `STEP_PX` from one to the next."""
    height, width = size
    (down, across) = STEP_PX
    large = texture(height + down * count, width + across * count, 0)
    return [
        np.ascontiguousarray(large[down * k : down * k + height, across * k : across * k + width]) for k in range(count)
    ]


def moved(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) of one frame of `moving` where the next frame shows them; borders are repeated."""
    down, across = STEP_PX
    return F.pad(images[..., down:, across:], (0, across, 0, down), mode="replicate")


@cache
def texture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Noise at all scales, stronger where it is coarser, as in photographs: uint8 (H, W, 3), read-only."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(1, 3, height, width)
    cells = 2
    while cells < max(height, width):
        shape = (max(2, cells * height // max(height, width)), max(2, cells * width // max(height, width)))
        noise = torch.randn((1, 3, *shape), generator=generator)
        total += F.interpolate(noise, size=(height, width), mode="bicubic") / cells**0.7
        cells *= 2
    rgb: NDArray[np.uint8] = (127 + 70 * total[0]).clamp(0, 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    rgb.setflags(write=False)
    return rgb


def tensor(rgb: NDArray[np.uint8]) -> Tensor:
    """uint8 (H, W, 3) as float32 (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 255

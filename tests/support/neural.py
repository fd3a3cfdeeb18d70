"""The neural styler with the tiny encoder and what it is given: settings, style images, contents and cold batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.config.reading import parse_config
from pipeline.config.settings import Config
from pipeline.encoders.load import load_encoder
from pipeline.stylers.neural import NeuralStyler
from pipeline.types import FrameBatch

SIZE = (40, 48)
SETTINGS = {
    "encoder": "tiny",
    "optimize.cold.evaluations": 2,
    "optimize.warm.evaluations": 2,
    "optimize.cold.min_scale_px": 32,
    "losses.style.layers": {"relu1_1": 64, "relu2_1": 16},
}
"""Of a render that takes little time."""


def config(**optimize: Any) -> Config:
    return parse_config(
        {
            "style": {"images": [{"path": "a"}, {"path": "b", "weight": 45}]},
            "optimize": {"cold": {"evaluations": 6, "min_scale_px": 33}, "warm": {"evaluations": 4}, **optimize},
        },
        where="test",
    )


def style_images() -> list[Any]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (50, 60, 3), dtype=np.uint8) for _ in range(2)]


def styler(settings: Config | None = None, dtype: torch.dtype = torch.float32) -> NeuralStyler:
    encoder = load_encoder("tiny", dtype=dtype)
    return NeuralStyler(settings or config(), style_images(), encoder, device=torch.device("cpu"))


def contents(count: int) -> Tensor:
    """Smooth images, so that the content has structure."""
    coarse = torch.rand((count, 3, 5, 6), generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, size=SIZE, mode="bicubic").clamp(0, 1)


def cold(content: Tensor, seeds: tuple[int, ...]) -> FrameBatch:
    return FrameBatch("cold", content, None, seeds)

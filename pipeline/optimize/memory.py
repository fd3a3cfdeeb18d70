"""Which way of minimizing fits into memory: whole frames or tiles, and how much curvature is kept.

The estimates were fitted to the tensors that are alive at a time; tests/test_batch_size.py counts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from pipeline.encoders.steps import layer_stride
from pipeline.optimize.tiles import make_tiles

if TYPE_CHECKING:
    from pipeline.encoders.network import Encoder

IMAGES: Final = 10
"""Images of float32 that the minimizer and the terms of the objective hold at a time, beside the curvature pairs."""
MAP_FACTOR: Final = 1.5
"""Features need so many times the bytes that are kept for the gradient: the maps that a step works on come on top."""
RESERVE_BYTES: Final = 256 << 20
"""For everything else: blocks of float32 features, style statistics, frames that are read ahead and stored."""
TILE_SIDES_PX: Final = (1024, 768, 512)
"""Larger tiles cost less per pixel: their halo is a smaller part of them."""
FEWEST_PAIRS: Final = 3
UNKNOWN_BYTES_PER_PX: Final = 1300.0
"""VGG-19 in float32."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """How frames are minimized: `tile_px` is the side of the tiles (None: whole), `pairs` the curvature pairs kept."""

    tile_px: int | None
    pairs: int
    pairs_dtype: torch.dtype = torch.float32

    def __str__(self) -> str:
        tiles = "whole" if self.tile_px is None else f"in tiles of {self.tile_px} px"
        half = "" if self.pairs_dtype == torch.float32 else " in half precision"
        return f"{tiles}, with {self.pairs} curvature pairs{half}"


def memory_plans(pairs: int) -> Iterator[MemoryPlan]:
    """The ways from the fastest to the smallest: whole frames, then tiles, then less and less curvature."""
    yield MemoryPlan(None, pairs)
    for side in TILE_SIDES_PX:
        yield MemoryPlan(side, pairs)
    for fewer in dict.fromkeys((pairs, *(it for it in (8, 5, FEWEST_PAIRS) if it < pairs))):
        for side in TILE_SIDES_PX:
            yield MemoryPlan(side, fewer, torch.bfloat16)


@dataclass(frozen=True, slots=True)
class FeatureMemory:
    """What an encoder's features need: `bytes_per_px` for the gradient, and the stride and the reach of its layers.

    Without a known reach (None) frames cannot be taken in tiles.
    """

    bytes_per_px: float
    stride: int
    reach_px: int | None

    @classmethod
    def of(cls, encoder: Encoder, layers: Sequence[str]) -> FeatureMemory:
        """What an encoder needs for these layers; for one that does not say it, what VGG-19 needs."""
        known = encoder.bytes_per_px(layers)
        stride = max(layer_stride(layer) for layer in layers)
        return cls(UNKNOWN_BYTES_PER_PX if known is None else known, stride, encoder.reach_px(layers))


def needed_bytes(plan: MemoryPlan, size: tuple[int, int], batch: int, features: FeatureMemory) -> int:
    """Estimated bytes for `batch` frames of (height, width) px."""
    height, width = size
    side, reach = (max(size), 0) if plan.tile_px is None else (plan.tile_px, features.reach_px or 0)
    tiles = make_tiles(height, width, side, stride=features.stride, reach_px=reach)
    largest = max((it.rows.last - it.rows.first) * (it.columns.last - it.columns.first) for it in tiles)
    value_bytes = torch.finfo(plan.pairs_dtype).bits // 8
    images = height * width * 3 * (4 * IMAGES + 2 * plan.pairs * value_bytes)
    return RESERVE_BYTES + batch * (images + int(MAP_FACTOR * features.bytes_per_px * largest))


def fitting_plans(
    size: tuple[int, int], batch: int, pairs: int, available_bytes: int, features: FeatureMemory
) -> list[MemoryPlan]:
    """The plans from the fastest that fits to the smallest."""
    plans = [plan for plan in memory_plans(pairs) if plan.tile_px is None or features.reach_px is not None]
    while len(plans) > 1 and needed_bytes(plans[0], size, batch, features) > available_bytes:
        del plans[0]
    return plans

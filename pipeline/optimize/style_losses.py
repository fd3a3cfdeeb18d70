"""Style losses by name: a pair of plain functions, the statistics of a style image and the distance to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from torch import Tensor

from pipeline.config.settings import STYLE_LOSSES


@dataclass(frozen=True, slots=True)
class StyleLoss:
    """`statistics(features)` of a style image's features (1, C, h, w), and `distance(features, statistics)`.

    The distance is float32 (B,) for features (B, C, h, w), dimensionless, and differentiable.
    """

    statistics: Callable[[Tensor], Any]
    distance: Callable[[Tensor, Any], Tensor]


@cache  # asked for at every evaluation
def style_loss(name: str) -> StyleLoss:
    """The functions `statistics` and `distance` of the file of this room that is named like the style loss.

    Raises KeyError for a name that is not in `STYLE_LOSSES`.
    """
    if name not in STYLE_LOSSES:
        raise KeyError(name)
    module = import_module(f"pipeline.optimize.{name}")
    return StyleLoss(module.statistics, module.distance)

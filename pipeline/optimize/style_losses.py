"""Style losses by name: plain functions, the statistics of a style image, the distances to them, and their blend.

All are functions of the moments of the features and of nothing else, so that they do not depend on how the moments
were added up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from torch import Tensor

from pipeline.config.losses import STYLE_LOSSES
from pipeline.optimize.moments import Moments


@dataclass(frozen=True, slots=True)
class StyleLoss:
    """`statistics(moments)` of a style image's features, `distances(moments, statistics)`, `blend(moments, weights)`.

    The distances of L pairs, each of the moments of a batch (B, C) and the statistics of a style image at the same
    layer, are float32 (B, L), dimensionless, and differentiable. The blend of several style images is the moments
    (1, C) of a texture between them; the weights are positive.
    """

    statistics: Callable[[Moments], Any]
    distances: Callable[[Sequence[Moments], Sequence[Any]], Tensor]
    blend: Callable[[Sequence[Moments], Sequence[float]], Moments]


@cache  # asked for at every evaluation
def style_loss(name: str) -> StyleLoss:
    """The functions `statistics`, `distances` and `blend` of the file of this room that is named like the style loss.

    Raises KeyError for a name that is not in `STYLE_LOSSES`.
    """
    if name not in STYLE_LOSSES:
        raise KeyError(name)
    module = import_module(f"pipeline.optimize.{name}")
    return StyleLoss(module.statistics, module.distances, module.blend)

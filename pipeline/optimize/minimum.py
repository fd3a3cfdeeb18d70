"""What every minimizer takes and gives: an objective with one loss per sample, the minimum found, and an observer.

Shapes: images (B, 3, H, W) float32 in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An objective at B images: losses (B,), their gradients (B, 3, H, W), and the terms of each loss (B, K)."""

    losses: Tensor
    gradients: Tensor
    terms: Tensor


ObjectiveFunction = Callable[[Tensor], Evaluation]
"""Evaluates B images; the values of one sample do not depend on the others. The images may be overwritten after the
call, and what it returns by the next call."""


@dataclass(frozen=True, slots=True)
class Minimum:
    """The images found (B, 3, H, W), their losses (B,) and terms (B, K), and the evaluations spent on each."""

    images: Tensor
    losses: Tensor
    terms: Tensor
    evaluations: tuple[int, ...]


Observer = Callable[[int, Tensor, Tensor, Tensor], None]
"""Called after every evaluation with its number (from 1), and with the images (B, 3, H, W), losses (B,) and terms
(B, K) that would be returned if it were the last. It must not modify them, and must copy what it keeps."""


def evaluation_limits(evaluations: int | Sequence[int], batch: int) -> list[int]:
    """The most evaluations of every sample: the same for all, or as given."""
    return [evaluations] * batch if isinstance(evaluations, int) else list(evaluations)

"""The table of minimizers: from the settings to the function that minimizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import torch

from pipeline.optimize.adam import adam
from pipeline.optimize.graphs import Graphs
from pipeline.optimize.lbfgs import FIRST_STEP_RMS, PAIRS, lbfgs
from pipeline.optimize.minimum import Minimum, ObjectiveFunction, Observer

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.config.settings import OptimizeSettings


class Minimizer(Protocol):
    """Minimizes a batch of images; see `lbfgs` for what the arguments mean."""

    def __call__(
        self,
        objective: ObjectiveFunction,
        start: Tensor,
        *,
        evaluations: int | Sequence[int],
        first_step_rms: float = FIRST_STEP_RMS,
        min_evaluations: int = 1,
        tolerance: float | Sequence[float] = 0.0,
        subset: Callable[[list[int]], ObjectiveFunction] | None = None,
        observer: Observer | None = None,
    ) -> Minimum: ...


class MinimizerFactory(Protocol):
    """Makes a minimizer from the settings.

    `pairs` are the curvature pairs that it keeps, and `pairs_dtype` is their precision. With `graphs` it replays the
    objective as a CUDA graph where it can.
    """

    def __call__(
        self,
        settings: OptimizeSettings,
        *,
        pairs: int = PAIRS,
        pairs_dtype: torch.dtype = torch.float32,
        graphs: bool = False,
    ) -> Minimizer: ...


def _lbfgs(
    settings: OptimizeSettings,  # noqa: ARG001 - it chooses its own steps
    *,
    pairs: int = PAIRS,
    pairs_dtype: torch.dtype = torch.float32,
    graphs: bool = False,
) -> Minimizer:
    minimize: Minimizer = partial(lbfgs, history=pairs, history_dtype=pairs_dtype)
    return replaying(minimize, Graphs()) if graphs else minimize


def _adam(
    settings: OptimizeSettings,
    *,
    pairs: int = PAIRS,  # noqa: ARG001 - it keeps no curvature
    pairs_dtype: torch.dtype = torch.float32,  # noqa: ARG001
    graphs: bool = False,
) -> Minimizer:
    def minimize(
        objective: ObjectiveFunction,
        start: Tensor,
        *,
        evaluations: int | Sequence[int],
        first_step_rms: float = FIRST_STEP_RMS,  # noqa: ARG001 - Adam's steps follow its learning rate
        min_evaluations: int = 1,  # noqa: ARG001 - every sample takes its evaluations
        tolerance: float | Sequence[float] = 0.0,  # noqa: ARG001
        subset: Callable[[list[int]], ObjectiveFunction] | None = None,  # noqa: ARG001
        observer: Observer | None = None,
    ) -> Minimum:
        return adam(objective, start, evaluations=evaluations, learning_rate=settings.learning_rate, observer=observer)

    return replaying(minimize, Graphs()) if graphs else minimize


def replaying(minimize: Minimizer, graphs: Graphs) -> Minimizer:
    """The minimizer, with objectives replayed as graphs where they can be.

    A graph has a fixed batch: samples that are done are evaluated with it and not used.
    """

    def minimize_replayed(
        objective: ObjectiveFunction,
        start: Tensor,
        *,
        subset: Callable[[list[int]], ObjectiveFunction] | None = None,
        **options: Any,
    ) -> Minimum:
        replayed = graphs.of(objective, start)
        return minimize(replayed, start, subset=subset if replayed is objective else None, **options)

    return minimize_replayed


MINIMIZERS: Final[dict[str, MinimizerFactory]] = {"lbfgs": _lbfgs, "adam": _adam}

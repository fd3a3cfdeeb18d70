"""The table of minimizers: from the settings to the function that minimizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from pipeline.optimize.adam import adam
from pipeline.optimize.lbfgs import FIRST_STEP_RMS, lbfgs
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
        tolerance: float = 0.0,
        subset: Callable[[list[int]], ObjectiveFunction] | None = None,
        observer: Observer | None = None,
    ) -> Minimum: ...


def _lbfgs(settings: OptimizeSettings) -> Minimizer:
    return partial(lbfgs, history=settings.history)


def _adam(settings: OptimizeSettings) -> Minimizer:
    def minimize(
        objective: ObjectiveFunction,
        start: Tensor,
        *,
        evaluations: int | Sequence[int],
        first_step_rms: float = FIRST_STEP_RMS,  # noqa: ARG001 - Adam's steps follow its learning rate
        min_evaluations: int = 1,  # noqa: ARG001 - every sample takes its evaluations
        tolerance: float = 0.0,  # noqa: ARG001
        subset: Callable[[list[int]], ObjectiveFunction] | None = None,  # noqa: ARG001
        observer: Observer | None = None,
    ) -> Minimum:
        return adam(objective, start, evaluations=evaluations, learning_rate=settings.learning_rate, observer=observer)

    return minimize


MINIMIZERS: Final[dict[str, Callable[[OptimizeSettings], Minimizer]]] = {"lbfgs": _lbfgs, "adam": _adam}

"""The table of motion methods: from the setting `motion.method` to what estimates the flow between two frames.

A new method is a file with a `FlowEstimator`, a line in `METHODS`, and its name among the values of the setting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from pipeline.config.settings import MotionSettings


class FlowEstimator(Protocol):
    """Estimates the flow between two frames in both directions.

    Frames longer than `max_side_px` are halved before they are handed over. `digest` is the SHA-256 of a weights file,
    which belongs to the identity of a render, or empty. May be called from several threads.
    """

    @property
    def max_side_px(self) -> int: ...

    @property
    def digest(self) -> str: ...

    def __call__(
        self, previous: NDArray[np.uint8], current: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Backward and forward flow, each float32 (H, W, 2) in px, of two frames uint8 (H, W, 3) sRGB of one size."""
        ...


Load = Callable[["MotionSettings", "torch.device | str"], FlowEstimator]


@dataclass(frozen=True, slots=True)
class MotionMethod:
    """How motion is found: `load` makes the estimator (None: there is never any motion).

    With `skip_static`, frames between which nothing moves have no motion, without an estimate.
    """

    load: Load | None
    skip_static: bool = False


def _dis(settings: MotionSettings, _device: torch.device | str) -> FlowEstimator:
    from pipeline.motion.dis import DenseInverseSearch

    return DenseInverseSearch(settings.preset)


def _raft_small(_settings: MotionSettings, device: torch.device | str) -> FlowEstimator:
    from pipeline.motion.raft import load_raft

    return load_raft("raft_small", device=device)


def _raft_large(_settings: MotionSettings, device: torch.device | str) -> FlowEstimator:
    from pipeline.motion.raft import load_raft

    return load_raft("raft_large", device=device)


METHODS: Final[Mapping[str, MotionMethod]] = {
    "auto": MotionMethod(_dis, skip_static=True),
    "dis": MotionMethod(_dis),
    "raft_small": MotionMethod(_raft_small),
    "raft_large": MotionMethod(_raft_large),
    "none": MotionMethod(None),
}


def load_estimator(settings: MotionSettings, *, device: torch.device | str = "cpu") -> FlowEstimator | None:
    """What estimates the flow by the method of the settings; None if the method needs nothing.

    Raises MissingPartError if the weights of a network cannot be had.
    """
    method = METHODS[settings.method]
    return None if method.load is None else method.load(settings, device)

"""Stylers that depend on the colors of a shot: one for each shot, made when it is needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.analysis.shot_colors import decoded_colors
from pipeline.plan.region_colors import RegionColors, planned_region_colors
from pipeline.types import Observable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.settings import Config
    from pipeline.types import RenderPlan, Shot, Styler

_KEPT: Final = 8
"""Stylers that stay in memory: each has style statistics of its own."""
_DRIFT: Final = (24.0, 1 / 12)
"""Standard deviation of the time over which a drifting palette is taken: at least so many frames, or this fraction of
the shot if that is more."""


@dataclass(frozen=True, slots=True)
class ShotColors:
    """A sample of the colors of a shot of frames [start, stop), uint8 (n, 3) sRGB in order of time.

    `parts` are samples of what is in no region and of each region of a style that uses them, else empty.
    """

    colors: NDArray[np.uint8]
    start: int = 0
    stop: int = 1
    parts: tuple[NDArray[np.uint8], ...] = ()

    def weights_at(self, index: int) -> NDArray[np.float64]:
        """How much each of the colors (n,) counts around frame `index`, above 0."""
        frames = self.stop - self.start
        time = self.start + (np.arange(len(self.colors)) + 0.5) / len(self.colors) * frames
        sigma = max(_DRIFT[0], _DRIFT[1] * frames)
        return np.asarray(np.exp(-((time - index - 0.5) ** 2) / (2 * sigma**2)) + 1e-9, np.float64)


class ShotStylers:
    """The stylers of a style, one for each shot; `make(shot number)` builds one."""

    def __init__(self, make: Callable[[int], Styler]) -> None:
        self.observer: Any = None
        """See `Observable`: that of every styler that has one."""
        self._make = make
        self._stylers: OrderedDict[int, Styler] = OrderedDict()

    def of_shot(self, shot: int) -> Styler:
        """The styler of a shot, by its number."""
        if shot not in self._stylers:
            self._stylers[shot] = self._make(shot)
            if len(self._stylers) > _KEPT:
                self._stylers.popitem(last=False)
        self._stylers.move_to_end(shot)
        styler = self._stylers[shot]
        if isinstance(styler, Observable):
            styler.observer = self.observer
        return styler


def styler_of(styler: Styler | ShotStylers, shot: int) -> Styler:
    """The styler for the frames of a shot, by its number."""
    return styler.of_shot(shot) if isinstance(styler, ShotStylers) else styler


def planned_colors(plan: RenderPlan, config: Config) -> Sequence[ShotColors]:
    """The colors of the shots of a plan, in order, for one of its styles; empty where the plan has none."""
    return decoded_shots(plan.shots, plan.shot_colors, planned_region_colors(plan, config))


def decoded_shots(
    shots: Sequence[Shot], shot_colors: Sequence[str], region_colors: RegionColors
) -> Sequence[ShotColors]:
    """The colors of shots, in the form of `pipeline.analysis.shot_colors`; `region_colors` may be empty."""
    found = []
    for shot, colors, parts in zip(shots, shot_colors, region_colors or repeat(()), strict=False):
        whole = decoded_colors(colors)
        found.append(ShotColors(whole, shot.start, shot.stop, decoded_parts(parts, whole)))
    return found


def decoded_parts(parts: Sequence[str], whole: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ...]:
    """The colors of the parts of a shot: of one that covers too little to have some, those of the `whole` shot."""
    return tuple(decoded_colors(part) if part else whole for part in parts)

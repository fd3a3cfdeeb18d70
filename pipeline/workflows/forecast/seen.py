"""What a session of a render takes, remembered for the forecasts of later ones."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pipeline.runtime.progress import ForwardingReporter
from pipeline.workflows.forecast.cost import cold_work, work_of
from pipeline.workflows.forecast.remembered import output_key, remember, style_keys

if TYPE_CHECKING:
    from pipeline.runtime.progress import Reporter
    from pipeline.types import Chain, FrameStats, Phase
    from pipeline.workflows.prepare import Prepared

FEWEST_FRAMES: Final = 3
"""Warm frames, and frames of a video, that say something."""


class Seen(ForwardingReporter):
    """A reporter that also adds up the seconds of the frames of each style."""

    def __init__(self, reporter: Reporter, prepared: Prepared) -> None:
        super().__init__(reporter)
        self._prepared = prepared
        self._size = prepared.plan.height_px, prepared.plan.width_px
        self._seconds: dict[tuple[str, Phase], list[float]] = defaultdict(list)
        self._anew: dict[str, int] = defaultdict(int)
        self._writing: dict[str, float] = {}

    def started_anew(self, chain: Chain, index: int) -> None:
        """See `Reporter`."""
        self._anew[chain.style] += 1
        super().started_anew(chain, index)

    def frame_stored(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        """See `Reporter`."""
        if seconds > 0:  # else it is repeated
            self._seconds[chain.style, phase].append(seconds)
        super().frame_stored(chain, index, phase, stats, seconds)

    @contextmanager
    def writing(self, style: str) -> Iterator[None]:
        """While the result of a style is finished and written."""
        began = time.perf_counter()
        yield
        frames = self._prepared.plan.source.frame_count
        if frames >= FEWEST_FRAMES:
            config, suffix = self._prepared.configs[style], self._prepared.outputs[style].suffix
            key = output_key(config, self._prepared.resources[style], suffix)
            self._writing[key] = (time.perf_counter() - began) / (frames * work_of(self._size))

    def remember(self) -> None:
        """Keep what was seen: seconds for each pixel evaluation of cold frames, pixel of warm ones, and so on."""
        found: dict[str, dict[str, float]] = {key: {"write": value} for key, value in self._writing.items()}
        for style, config in self._prepared.configs.items():
            cold, warm = self._seconds[style, "cold"], self._seconds[style, "warm"]
            own: dict[str, float] = {}
            if cold:
                own["cold"] = sum(cold) / (len(cold) * cold_work(config, self._size))
            if len(warm) + self._anew[style] >= FEWEST_FRAMES:
                own["anew"] = self._anew[style] / (len(warm) + self._anew[style])
            if len(warm) >= FEWEST_FRAMES:
                own["warm"] = sum(warm) / (len(warm) * work_of(self._size))
            if own:
                found[style_keys(config, self._prepared.resources[style], self._size)[0]] = own
        remember(found)

"""Dense inverse search (Kroeger et al. 2016, arXiv:1603.03590) by OpenCV, in both directions: the default method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.motion.static import luma_of

Preset = Literal["ultrafast", "fast", "medium"]
PRESETS: Final[dict[Preset, int]] = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
"""`medium` is the default: half the median error of `fast` (0.08 against 0.19 px on FlyingChairs) for 0.2 s instead of
0.07 at 1280x720, where stylizing a frame takes seconds (`scripts/bench/results/flow.json`)."""

MIN_SIDE_PX: Final[dict[Preset, int]] = {"ultrafast": 32, "fast": 32, "medium": 16}
"""A patch of 8 px at the finest scale that a preset searches: OpenCV crashes on frames with a shorter side."""


@dataclass(frozen=True, slots=True)
class DenseInverseSearch:
    """A `FlowEstimator` on luma. It depends on the frames alone: its stripes are the same for any number of threads.

    Raises ValueError for an unknown preset.
    """

    preset: Preset = "medium"
    max_side_px: ClassVar[int] = 1280
    digest: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if self.preset not in get_args(Preset):
            raise ValueError(f"unknown preset {self.preset!r}, expected one of {', '.join(get_args(Preset))}")

    def __call__(
        self, previous: NDArray[np.uint8], current: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Backward and forward flow, float32 (H, W, 2) in px, of two frames uint8 (H, W, 3) sRGB of one size."""
        before, after = luma_of(previous), luma_of(current)
        return self._search(after, before), self._search(before, after)

    def _search(self, start: NDArray[np.uint8], target: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Flow from `start` to `target`, both (H, W) luma. A new searcher each time, so that threads share nothing."""
        height, width = start.shape
        least = MIN_SIDE_PX[self.preset]
        missing = (0, max(0, least - height), 0, max(0, least - width))
        padded = [cv2.copyMakeBorder(luma, *missing, cv2.BORDER_REPLICATE) for luma in (start, target)]
        flow: NDArray[np.float32] = cv2.DISOpticalFlow.create(PRESETS[self.preset]).calc(*padded, None)  # type: ignore[call-overload]
        return np.ascontiguousarray(flow[:height, :width])

"""Motion between two frames: dense inverse search (Kroeger et al. 2016, arXiv:1603.03590) both ways, or a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.motion.consistency import flow_confidence
from pipeline.motion.static import camera_is_static, halved, is_static, luma_of, zero_where_static
from pipeline.motion.textureless import propagate_into_textureless
from pipeline.types import Motion

if TYPE_CHECKING:
    from pipeline.config.settings import MotionSettings

Preset = Literal["ultrafast", "fast", "medium"]
PRESETS: dict[str, int] = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
"""`medium` is the default: half the median error of `fast` (0.08 against 0.19 px on FlyingChairs) for 0.2 s instead of
0.07 at 1280x720, where a painted frame takes seconds (`scripts/bench/results/flow.json`)."""

MAX_SIDE_PX = 1280
"""Frames longer than this are halved before the search."""

SMALLEST_SIDE_PX = {"ultrafast": 32, "fast": 32, "medium": 16}
"""A patch of 8 px at the finest scale that a preset looks at: OpenCV crashes on pictures with a shorter side."""


class FlowNetwork(Protocol):
    """What can search instead: `pipeline.motion.raft.load_raft` gives one."""

    max_side_px: int

    def __call__(
        self, previous: NDArray[np.uint8], current: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Backward and forward flow, each float32 (H, W, 2) in px, of two frames uint8 (H, W, 3) sRGB of one size."""


def estimate_motion(
    previous: NDArray[np.uint8],
    current: NDArray[np.uint8],
    *,
    from_index: int,
    to_index: int,
    preset: Preset = "medium",
    max_side_px: int | None = None,
    network: FlowNetwork | None = None,
) -> Motion:
    """How the picture moved between two frames, uint8 (H, W, 3) sRGB of the same size; flow in px of that size.

    The search runs on luma, or `network` on colors, at half resolution (repeatedly) while the longer side exceeds
    `max_side_px` (None: `MAX_SIDE_PX`, or what the network can bear). The search depends on nothing but the frames: it
    cuts its work into the same stripes however many threads there are.

    Flat areas move with what has texture around them. Where the camera stands still, everything that resting explains
    as well as moving is given exactly no motion: the search follows the noise, and the paint would swim along.
    """
    if previous.shape != current.shape or previous.ndim != 3 or previous.shape[2] != 3:
        raise ValueError(f"two frames of one size (H, W, 3) expected, not {previous.shape} and {current.shape}")
    if preset not in get_args(Preset):
        raise ValueError(f"unknown preset {preset!r}, expected one of {', '.join(get_args(Preset))}")
    limit = max_side_px or (MAX_SIDE_PX if network is None else network.max_side_px)
    small = [halved(frame, max(limit, SMALLEST_SIDE_PX[preset])) for frame in (previous, current)]
    before, after = (luma_of(frame) for frame in small)
    if network is None:
        backward, forward = _search(after, before, preset), _search(before, after, preset)
    else:
        backward, forward = network(*small)
    backward, forward = (
        propagate_into_textureless(flow, flow_confidence(flow, other), luma)
        for flow, other, luma in ((backward, forward, after), (forward, backward, before))
    )
    if camera_is_static(before, after):
        backward = zero_where_static(backward, before, after)
        forward = zero_where_static(forward, after, before)
    backward, forward = (_enlarged(flow, *current.shape[:2]) for flow in (backward, forward))
    return Motion(from_index, to_index, backward, flow_confidence(backward, forward))


def motion_between(
    earlier: NDArray[np.uint8],
    current: NDArray[np.uint8],
    settings: MotionSettings,
    *,
    from_index: int,
    to_index: int,
    network: FlowNetwork | None = None,
) -> Motion:
    """Motion from an earlier frame to the current one, by the method of the settings; frames as `estimate_motion`.

    With "none", and with "auto" between frames at rest, there is none, and all of it is trusted. `network` is what
    methods of that kind use.
    """
    if settings.method == "none" or (settings.method == "auto" and is_static(earlier, current)):
        height, width = current.shape[:2]
        return Motion(
            from_index, to_index, np.zeros((height, width, 2), np.float32), np.ones((height, width), np.float32)
        )
    return estimate_motion(
        earlier, current, from_index=from_index, to_index=to_index, preset=settings.preset, network=network
    )


def _search(start: NDArray[np.uint8], goal: NDArray[np.uint8], preset: Preset) -> NDArray[np.float32]:
    """Flow from `start` to `goal`, both (H, W) luma, in px. A new searcher each time, so threads share nothing."""
    height, width = start.shape
    least = SMALLEST_SIDE_PX[preset]
    missing = (0, max(0, least - height), 0, max(0, least - width))
    padded = [cv2.copyMakeBorder(luma, *missing, cv2.BORDER_REPLICATE) for luma in (start, goal)]
    flow: NDArray[np.float32] = cv2.DISOpticalFlow.create(PRESETS[preset]).calc(*padded, None)  # type: ignore[call-overload]
    return np.ascontiguousarray(flow[:height, :width])


def _enlarged(flow: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """The flow of a shrunk frame for the frame itself: resampled, and its displacements scaled axis by axis."""
    if flow.shape[:2] == (height, width):
        return flow
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    larger: NDArray[np.float32] = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * scale
    return larger

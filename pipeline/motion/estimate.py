"""Motion between two content frames: an estimated flow, refined where it is uncertain, with its confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.motion.consistency import flow_confidence
from pipeline.motion.dis import DenseInverseSearch
from pipeline.motion.exposure import at_exposure_of
from pipeline.motion.methods import METHODS, FlowEstimator
from pipeline.motion.static import camera_is_static, halved, is_static, luma_of, zero_where_static
from pipeline.motion.textureless import propagate_into_textureless
from pipeline.types import Motion

if TYPE_CHECKING:
    from pipeline.config.settings import MotionSettings


def estimate_motion(
    previous: NDArray[np.uint8],
    current: NDArray[np.uint8],
    *,
    from_index: int,
    to_index: int,
    estimator: FlowEstimator | None = None,
    max_side_px: int | None = None,
) -> Motion:
    """Motion between two frames, uint8 (H, W, 3) sRGB of one size; the flow is in px of that size.

    `estimator` (None: dense inverse search, preset `medium`) sees the frames at half resolution, repeatedly, while
    the longer side exceeds `max_side_px` (None: the estimator's own limit).

    Textureless areas get the motion of the textured areas around them. Where the camera is static, every pixel that no
    motion explains as well as the estimated motion is given exactly no motion: an estimator follows the noise there,
    and the stylized content would drift along. Raises ValueError if the frames differ in size.
    """
    backward, forward = _flows(previous, current, estimator, max_side_px)
    return Motion(from_index, to_index, backward, flow_confidence(backward, forward))


def estimate_both_ways(
    previous: NDArray[np.uint8],
    current: NDArray[np.uint8],
    *,
    from_index: int,
    to_index: int,
    estimator: FlowEstimator | None = None,
) -> tuple[Motion, Motion]:
    """`estimate_motion`, and the motion the other way round, in which the previous frame comes from the current one."""
    backward, forward = _flows(previous, current, estimator, None)
    return (
        Motion(from_index, to_index, backward, flow_confidence(backward, forward)),
        Motion(to_index, from_index, forward, flow_confidence(forward, backward)),
    )


def motion_between(
    previous: NDArray[np.uint8],
    current: NDArray[np.uint8],
    settings: MotionSettings,
    *,
    from_index: int,
    to_index: int,
    estimator: FlowEstimator | None = None,
) -> Motion:
    """Motion from a previous frame (not necessarily the last one) to the current one, by the method of the settings.

    The frames are as in `estimate_motion`. With "none", and with "auto" where nothing moves, the flow is zero with full
    confidence. `estimator` is what `load_estimator` returned for these settings; None: dense inverse search with the
    preset of the settings. Where the exposure differs, the previous frame is first taken to that of the current one.
    """
    method = METHODS[settings.method]
    if method.load is not None:
        previous = at_exposure_of(current, previous)
    if method.load is None or (method.skip_static and is_static(previous, current)):
        height, width = current.shape[:2]
        return Motion(
            from_index, to_index, np.zeros((height, width, 2), np.float32), np.ones((height, width), np.float32)
        )
    return estimate_motion(
        previous,
        current,
        from_index=from_index,
        to_index=to_index,
        estimator=estimator or DenseInverseSearch(settings.preset),
    )


def _flows(
    previous: NDArray[np.uint8], current: NDArray[np.uint8], estimator: FlowEstimator | None, max_side_px: int | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Backward and forward flow, each float32 (H, W, 2) in px; see `estimate_motion`."""
    if previous.shape != current.shape or previous.ndim != 3 or previous.shape[2] != 3:
        raise ValueError(f"two frames of one size (H, W, 3) expected, not {previous.shape} and {current.shape}")
    if estimator is None:
        estimator = DenseInverseSearch()
    small = [halved(frame, max_side_px or estimator.max_side_px) for frame in (previous, current)]
    before, after = (luma_of(frame) for frame in small)
    backward, forward = estimator(*small)
    backward, forward = (
        propagate_into_textureless(flow, flow_confidence(flow, other), luma)
        for flow, other, luma in ((backward, forward, after), (forward, backward, before))
    )
    if camera_is_static(before, after):
        backward = zero_where_static(backward, before, after)
        forward = zero_where_static(forward, after, before)
    height, width = current.shape[:2]
    return _enlarged(backward, height, width), _enlarged(forward, height, width)


def _enlarged(flow: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """The flow of a shrunk frame for the frame itself: resampled, and its displacements scaled axis by axis."""
    if flow.shape[:2] == (height, width):
        return flow
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    larger: NDArray[np.float32] = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * scale
    return larger

"""Hard cuts: where one shot ends and the next begins, so that no frame starts from a picture it has nothing to do with.

Every frame is reduced to 64 px. Two neighbors differ by *structure* (one minus the contrast-structure term of SSIM on
luma, at the best of all shifts up to a quarter of the frame, so that pans and shake do not count and a change of
exposure hardly does), by *color* (blurred histogram of Cb and Cr, for cuts between pictures of like structure; hue and
saturation would jump about in gray and dark frames) and by a jump of brightness beyond what exposure does. A cut is a
difference above the threshold that also stands out from the frames on both sides (a whip pan does not) and that does
not take itself back within a few frames (a flash does).

Why not PySceneDetect: it wants to open the video by its own backends, while our frames come from a reader that also
knows photos, and it brings an OpenCV wheel with windowing libraries that overwrites the headless one we need on
servers. What it taught us is the comparison with the neighborhood.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

from pipeline.types import Shot

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

LONG_SIDE_PX: Final = 64
_STRUCTURE_SHARE: Final = 0.6
_COLOR_SHARE: Final = 0.4
_COLOR_BLUR: Final = 1.5
"""Standard deviation in bins of 8 levels."""
_EXPOSURE_JUMP: Final = 0.2
"""Change of mean luma, of 1, that a camera's exposure may make from one frame to the next; only more counts."""
_NOISE_VARIANCE: Final = (0.03 * 255) ** 2
"""SSIM's constant: contrast below it is noise, so that black frames do not differ from each other."""
_NEIGHBORS: Final = 4
_STANDS_OUT: Final = 2.0
_FLASH_FRAMES: Final = 3
"""A picture that is back after at most so many frames was never away."""


@dataclass(frozen=True, slots=True)
class _Sketch:
    luma: NDArray[np.float32]
    colors: NDArray[np.float32]
    brightness: float


def find_cuts(frames: Iterable[NDArray[np.uint8]], *, threshold: float) -> list[int]:
    """Indices of the frames that start a new shot, ascending; 0 is never among them.

    `frames` are uint8 (H, W, 3) sRGB of one size, read once in order and not kept: any size will do, 64 px is enough.
    `threshold` in (0, 1] is the smallest difference that can be a cut; the hard cuts that we measured lie between 0.5
    and 0.7, everything else below 0.2. Dissolves are not found.
    """
    recent: deque[_Sketch] = deque(maxlen=_FLASH_FRAMES + 1)
    steps: list[float] = []  # steps[i]: from frame i to frame i + 1
    returns: dict[tuple[int, int], float] = {}  # (earlier, later): between frames around a candidate
    for index, rgb in enumerate(frames):
        sketch = _sketch(rgb)
        if recent:
            steps.append(_difference(recent[-1], sketch))
        # Frames further apart are compared only near a candidate: that is rare, so the usual cost is one comparison.
        if any(step >= threshold for step in steps[-_FLASH_FRAMES - 1 :]):
            for distance in range(2, len(recent) + 1):
                returns[index - distance, index] = _difference(recent[-distance], sketch)
        recent.append(sketch)
    return [place + 1 for place in range(len(steps)) if _is_cut(steps, returns, place, threshold)]


def split_shots(frame_count: int, cuts: Sequence[int]) -> tuple[Shot, ...]:
    """Shots that cover the frames [0, frame_count) once and in order, each beginning at 0 or at a cut.

    Raises ValueError unless the cuts are ascending and inside the range.
    """
    if frame_count < 0 or any(b <= a for a, b in zip([0, *cuts], [*cuts, frame_count], strict=True) if cuts):
        raise ValueError(f"cuts {list(cuts)} do not ascend inside 0 to {frame_count}")
    edges = [0, *cuts, frame_count] if frame_count else []
    return tuple(Shot(number, start, stop) for number, (start, stop) in enumerate(pairwise(edges)))


def _is_cut(steps: Sequence[float], returns: dict[tuple[int, int], float], place: int, threshold: float) -> bool:
    """Whether the step from frame `place` to the next is a cut."""
    step = steps[place]
    if step < threshold:
        return False
    # Medians of each side: a short shot whose other end is also a cut does not hide this one.
    before, after = steps[max(0, place - _NEIGHBORS) : place], steps[place + 1 : place + 1 + _NEIGHBORS]
    if step < _STANDS_OUT * max((median(side) for side in (before, after) if side), default=0.0):
        return False
    alike = min(step / 2, threshold)
    for distance in range(2, _FLASH_FRAMES + 2):
        taken_back = returns.get((place, place + distance), 1.0)
        takes_back = returns.get((place + 1 - distance, place + 1), 1.0)
        if min(taken_back, takes_back) < alike:
            return False
    return True


def _sketch(rgb: NDArray[np.uint8]) -> _Sketch:
    height, width = rgb.shape[:2]
    ratio = LONG_SIDE_PX / max(height, width)
    size = (max(8, round(width * ratio)), max(8, round(height * ratio)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    chroma = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)
    # The blur makes a shift of white balance a small difference instead of one from bin to bin.
    colors = cv2.GaussianBlur(cv2.calcHist([chroma], [1, 2], None, [32, 32], [0, 256, 0, 256]), (0, 0), _COLOR_BLUR)
    luma = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.float32)
    return _Sketch(luma, np.asarray(colors / colors.sum(), dtype=np.float32), float(luma.mean()) / 255)


def _difference(a: _Sketch, b: _Sketch) -> float:
    """How different two frames are, from 0 to about 1; symmetric."""
    structure = min(_structure(a.luma, b.luma), _structure_shifted(a.luma, b.luma), _structure_shifted(b.luma, a.luma))
    color = 1 - float(np.minimum(a.colors, b.colors).sum())
    jump = max(0.0, abs(a.brightness - b.brightness) - _EXPOSURE_JUMP)
    return _STRUCTURE_SHARE * structure + _COLOR_SHARE * color + jump


def _structure(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """1 - (2 cov + c) / (var + var + c), at least 0 and at most 1: 0 for equal structure, 1 for none in common."""
    covariance = float(((a - a.mean()) * (b - b.mean())).mean())
    return _structure_term(covariance, float(a.var()), float(b.var()))


def _structure_term(covariance: float, variance_a: float, variance_b: float) -> float:
    similarity = (2 * covariance + _NOISE_VARIANCE) / (variance_a + variance_b + _NOISE_VARIANCE)
    return min(1.0, max(0.0, 1 - similarity))


def _structure_shifted(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """`_structure` of the middle of `a` and the place in `b` where it fits best."""
    margin_y, margin_x = a.shape[0] // 4, a.shape[1] // 4
    middle = a[margin_y : a.shape[0] - margin_y, margin_x : a.shape[1] - margin_x]
    if float(middle.var()) < 1e-3:
        return 1.0  # nothing in it that could fit anywhere: the whole frame decides
    fits: NDArray[Any] = np.nan_to_num(cv2.matchTemplate(b, middle, cv2.TM_CCOEFF_NORMED), posinf=0.0, neginf=0.0)
    y, x = np.unravel_index(int(fits.argmax()), fits.shape)
    return _structure(middle, b[y : y + middle.shape[0], x : x + middle.shape[1]])

"""Hard cuts: where one shot ends and the next begins, so that no frame starts from an unrelated one.

Every frame is reduced to 64 px. Two neighbors differ by *structure* (one minus the contrast-structure term of SSIM on
luma, at the best of all shifts up to a quarter of the frame, so that pans and shake do not count and a change of
exposure hardly does), by *color* (blurred histogram of Cb and Cr, for cuts between scenes of similar structure; hue and
saturation are unstable in gray and dark frames) and by a jump of brightness beyond what exposure does. A cut is a
difference above the threshold that also exceeds those of the frames on both sides (in a whip pan it does not) and that
is not undone within a few frames (a flash is).

We do not use PySceneDetect: it opens videos by its own backends, while our frames come from a reader that also reads
photos, and it brings an OpenCV wheel with windowing libraries that overwrites the headless one needed on servers. The
comparison with the neighboring frames is learned from it.
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
_STRUCTURE_WEIGHT: Final = 0.6
_COLOR_WEIGHT: Final = 0.4
_COLOR_BLUR: Final = 1.5
"""Standard deviation in bins of 8 levels."""
_EXPOSURE_JUMP: Final = 0.2
"""Change of mean luma, of 1, that a camera's exposure may make from one frame to the next; only more counts."""
_NOISE_VARIANCE: Final = (0.03 * 255) ** 2
"""SSIM's constant: contrast below it is noise, so that black frames do not differ from each other."""
_NEIGHBORS: Final = 4
_MIN_RATIO_TO_NEIGHBORS: Final = 2.0
_FLASH_FRAMES: Final = 3
"""A scene that returns after at most so many frames was not cut."""


@dataclass(frozen=True, slots=True)
class _Thumbnail:
    luma: NDArray[np.float32]
    colors: NDArray[np.float32]
    brightness: float


def find_cuts(frames: Iterable[NDArray[np.uint8]], *, threshold: float) -> list[int]:
    """Indices of the frames that start a new shot, ascending; 0 is never among them.

    `frames` are uint8 (H, W, 3) sRGB of one size, read once in order and not kept: any size will do, 64 px is enough.
    `threshold` in (0, 1] is the smallest difference that can be a cut; the hard cuts that we measured lie between 0.5
    and 0.7, everything else below 0.2. Dissolves are not found.
    """
    recent: deque[_Thumbnail] = deque(maxlen=_FLASH_FRAMES + 1)
    steps: list[float] = []  # steps[i]: from frame i to frame i + 1
    across: dict[tuple[int, int], float] = {}  # (first, second): between frames around a candidate
    for index, rgb in enumerate(frames):
        thumbnail = _thumbnail(rgb)
        if recent:
            steps.append(_difference(recent[-1], thumbnail))
        # Frames further apart are compared only near a candidate, which is rare: usually there is one comparison.
        if any(step >= threshold for step in steps[-_FLASH_FRAMES - 1 :]):
            for distance in range(2, len(recent) + 1):
                across[index - distance, index] = _difference(recent[-distance], thumbnail)
        recent.append(thumbnail)
    return [index + 1 for index in range(len(steps)) if _is_cut(steps, across, index, threshold)]


def split_shots(frame_count: int, cuts: Sequence[int]) -> tuple[Shot, ...]:
    """Shots that cover the frames [0, frame_count) once and in order, each beginning at 0 or at a cut.

    Raises ValueError unless the cuts are ascending and inside the range.
    """
    if frame_count < 0 or any(b <= a for a, b in zip([0, *cuts], [*cuts, frame_count], strict=True) if cuts):
        raise ValueError(f"cuts {list(cuts)} do not ascend inside 0 to {frame_count}")
    edges = [0, *cuts, frame_count] if frame_count else []
    return tuple(Shot(number, start, stop) for number, (start, stop) in enumerate(pairwise(edges)))


def _is_cut(steps: Sequence[float], across: dict[tuple[int, int], float], index: int, threshold: float) -> bool:
    """Whether the step from frame `index` to the next is a cut."""
    step = steps[index]
    if step < threshold:
        return False
    # Medians of each side: a short shot whose other end is also a cut must not hide this one.
    before, after = steps[max(0, index - _NEIGHBORS) : index], steps[index + 1 : index + 1 + _NEIGHBORS]
    if step < _MIN_RATIO_TO_NEIGHBORS * max((median(side) for side in (before, after) if side), default=0.0):
        return False
    alike = min(step / 2, threshold)
    for distance in range(2, _FLASH_FRAMES + 2):
        undone = across.get((index, index + distance), 1.0)
        undoes = across.get((index + 1 - distance, index + 1), 1.0)
        if min(undone, undoes) < alike:
            return False
    return True


def _thumbnail(rgb: NDArray[np.uint8]) -> _Thumbnail:
    height, width = rgb.shape[:2]
    ratio = LONG_SIDE_PX / max(height, width)
    size = (max(8, round(width * ratio)), max(8, round(height * ratio)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    chroma = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)
    # The blur turns a shift of white balance from a jump between bins into a small difference.
    colors = cv2.GaussianBlur(cv2.calcHist([chroma], [1, 2], None, [32, 32], [0, 256, 0, 256]), (0, 0), _COLOR_BLUR)
    luma = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.float32)
    return _Thumbnail(luma, np.asarray(colors / colors.sum(), dtype=np.float32), float(luma.mean()) / 255)


def _difference(a: _Thumbnail, b: _Thumbnail) -> float:
    """How different two frames are, from 0 to about 1; symmetric."""
    structure = min(_structure(a.luma, b.luma), _structure_shifted(a.luma, b.luma), _structure_shifted(b.luma, a.luma))
    color = 1 - float(np.minimum(a.colors, b.colors).sum())
    jump = max(0.0, abs(a.brightness - b.brightness) - _EXPOSURE_JUMP)
    return _STRUCTURE_WEIGHT * structure + _COLOR_WEIGHT * color + jump


def _structure(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """1 - (2 cov + c) / (var + var + c), at least 0 and at most 1: 0 for equal structure, 1 for none in common."""
    covariance = float(((a - a.mean()) * (b - b.mean())).mean())
    return _structure_term(covariance, float(a.var()), float(b.var()))


def _structure_term(covariance: float, variance_a: float, variance_b: float) -> float:
    similarity = (2 * covariance + _NOISE_VARIANCE) / (variance_a + variance_b + _NOISE_VARIANCE)
    return min(1.0, max(0.0, 1 - similarity))


def _structure_shifted(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """`_structure` of the middle of `a` and the part of `b` that matches it best."""
    margin_y, margin_x = a.shape[0] // 4, a.shape[1] // 4
    middle = a[margin_y : a.shape[0] - margin_y, margin_x : a.shape[1] - margin_x]
    if float(middle.var()) < 1e-3:
        return 1.0  # no structure to match: the whole frame decides
    fits: NDArray[Any] = np.nan_to_num(cv2.matchTemplate(b, middle, cv2.TM_CCOEFF_NORMED), posinf=0.0, neginf=0.0)
    y, x = np.unravel_index(int(fits.argmax()), fits.shape)
    return _structure(middle, b[y : y + middle.shape[0], x : x + middle.shape[1]])

"""The effect `follow_level`: a fade ends in black, a flash is white, and night is darker than noon.

Style statistics give every frame the mean brightness of the style image, so the stylized frames of a fade stay bright.
Here each frame is compared with the others of its shot by the mean luma of their content, as a ratio to the reference
of the shot, r = (level + e) / (reference + e). Below the reference its gamma-encoded values x become

    x' = scale * odds x / (1 - x + odds x)
    odds = soft(r, SHADE),   scale = soft(r, DIM) * (1 + END) r^2 / (r^2 + END),   soft(r, k) = r / (r + k (1 - r))

The slope of `soft` at r = 1 is k: small changes hardly act. `odds` darkens shadows and middle tones and leaves the
lights of a night; `scale` dims these too, and closes a fade. Above the reference the same is done to the distance from
white, with 1 - level and 1 - reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.postprocess.effect import FrameContext, Level
from pipeline.types import LEVEL_UNIT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.types import Shot

SHADE: Final = 0.3
DIM: Final = 0.15
"""How much the light of the hour counts: at 0 a night would be as bright as noon, at 1 darker than the content. Chosen
by eye: larger SHADE reddens pale colors, larger DIM alone makes the lights of a night gray."""
END: Final = 0.004
"""Square of the ratio to the reference at which a fade is half closed."""
EPSILON: Final = 0.5 / 255
"""Added to levels: the ratio of black to black is 1."""

REFERENCE_QUANTILE: Final = 0.75
"""The reference of a shot is the level that a quarter of its frames exceed: full light, as night is darkened to better
effect than noon is made pale."""
EMPTY: Final = (10 / 255, 245 / 255)
"""Frames below or above these levels show nothing and do not count for the reference, unless all are such."""
STILL: Final = 2 / 255
"""Nor do frames in a fade or a flash, whose level differs by more than this from both of their neighbors."""

SMOOTH_FRAMES: Final = 3.0
"""Standard deviation, in frames, of the bilateral filter by which levels are smoothed."""
SMOOTH_LEVELS: Final = 3.0 / 255
"""Its standard deviation in levels: flicker that is left is evened out, fades and flashes are not."""

LEVEL_STYLERS: Final = frozenset({"palette", "superpixel"})
"""Stylers whose frames have the lightness of the content already: only the ends of fades are closed."""


def frame_levels(levels: Sequence[int], shots: Sequence[Shot], styler: str) -> list[Level]:
    """What `follow_level` needs of every frame; empty if `levels` is.

    `levels` has the mean luma of every frame of the content in hundredths of a level of 255, `shots` cover all frames,
    `styler` is the name of the styler.
    """
    if not levels:
        return []
    found = []
    for shot in shots:
        own = np.asarray(levels[shot.start : shot.stop], np.float64) / (255 * LEVEL_UNIT)
        reference = _reference(own)
        found += [Level(level, reference, followed=styler in LEVEL_STYLERS) for level in _smoothed(own).tolist()]
    return found


def follow_level(image: NDArray[np.float32], amount: float, context: FrameContext) -> NDArray[np.float32]:
    """The image darker or lighter, as its content is beside the rest of the shot; `amount` in [0, 1] is an exponent."""
    level = context.level
    if level is None or level.own == level.reference:
        return image
    if level.own < level.reference:
        ratio = (level.own + EPSILON) / (level.reference + EPSILON)
        return _darker(image, ratio, amount, followed=level.followed)
    ratio = (1 - level.own + EPSILON) / (1 - level.reference + EPSILON)
    return 1 - _darker(1 - image, ratio, amount, followed=level.followed)


def _darker(image: NDArray[np.float32], ratio: float, amount: float, *, followed: bool) -> NDArray[np.float32]:
    """The image at a ratio in (0, 1] to full light; if that is followed already, only the ends of fades are closed."""
    scale = (1 + END) * ratio**2 / (ratio**2 + END)
    if followed:
        return image * np.float32(scale**amount)
    odds = np.float32(_soft(ratio, SHADE) ** amount)
    return image * (odds * np.float32((scale * _soft(ratio, DIM)) ** amount)) / (1 - (1 - odds) * image)


def _soft(ratio: float, slope: float) -> float:
    """0 and 1 of the ratio as they are, with this slope at 1."""
    return ratio / (ratio + slope * (1 - ratio))


def _reference(levels: NDArray[np.float64]) -> float:
    """The level of full light in a shot; where there is nothing but a fade, the middle of it."""
    showing = (levels > EMPTY[0]) & (levels < EMPTY[1])
    steps = np.abs(np.diff(levels, prepend=np.inf, append=np.inf))
    still = showing & (np.minimum(steps[:-1], steps[1:]) <= STILL)
    if still.any():
        return float(np.quantile(levels[still], REFERENCE_QUANTILE))
    return float(np.median(levels[showing] if showing.any() else levels))


def _smoothed(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Levels of a shot after a bilateral filter (Tomasi and Manduchi 1998) over time.

    The shot is continued by its point reflection at both ends, so that a slow fade keeps its first and last level.
    """
    count = len(levels)
    reach = min(round(2 * SMOOTH_FRAMES), count - 1)
    before = 2 * levels[0] - levels[1 : reach + 1][::-1]
    after = 2 * levels[-1] - levels[count - 1 - reach : count - 1][::-1]
    extended = np.concatenate([before, levels, after])
    windows = np.lib.stride_tricks.sliding_window_view(extended, 2 * reach + 1)
    distance = np.arange(-reach, reach + 1) / SMOOTH_FRAMES
    change = (windows - levels[:, None]) / SMOOTH_LEVELS
    weights = np.exp(-(distance**2 + change**2) / 2)
    return np.asarray((weights * windows).sum(axis=1) / weights.sum(axis=1)).clip(0, 1)

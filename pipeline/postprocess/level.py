"""The effect `follow_level`: a fade ends in black, a flash is white, night is darker than noon, and fog is calm.

Style statistics give every frame the mean brightness of the style image, so the stylized frames of a fade stay bright.
Here each frame is compared with the others of its shot by the mean luma of their content, as a ratio to the reference
of the shot, r = (level + e) / (reference + e). Below the reference its gamma-encoded values x become

    x' = scale * odds x / (1 - x + odds x)
    odds = soft(r, SHADE),   scale = soft(r, DIM) * (1 + END) r^2 / (r^2 + END),   soft(r, k) = r / (r + k (1 - r))

The slope of `soft` at r = 1 is k: small changes hardly act. `odds` darkens shadows and middle tones and leaves the
lights of a night; `scale` dims these too, and closes a fade. Above the reference the same is done to the distance from
white, with 1 - level and 1 - reference.

The style has its full contrast in a fog too. So where the content has less contrast than in a clear view of the shot,
by a ratio c, each value is moved toward the mean m of its channel in the stylized frame first:

    x' = m + gain (x - m),   gain = LEAST_GAIN + (1 - LEAST_GAIN) (1 + FOG^3) c^3 / (c^3 + FOG^3)

A ratio above 0.7 hardly acts, so that the video does not pump with what moves through the view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.media.image.bands import in_bands
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
CLEAR: Final = 0.5
"""Nor do frames with less of the contrast of a clear view: beside a long fog, which is brighter, it keeps its light."""

CLEAR_QUANTILE: Final = 0.9
"""The contrast of a clear view is what a tenth of the frames exceed: a fog may take most of the shot to clear."""
FOG: Final = 0.28
"""Ratio of contrasts at which half of the style's contrast above LEAST_GAIN is left."""
LEAST_GAIN: Final = 0.15
"""What is left of the style's contrast where nothing is seen: faint strokes. Chosen by eye, as FOG."""
CONTRAST_EPSILON: Final = 0.02
"""Added to contrasts relative to the level, so that noise on a plain wall is no contrast that comes and goes."""

SMOOTH_FRAMES: Final = 3.0
"""Standard deviation, in frames, of the bilateral filter by which levels are smoothed."""
SMOOTH_LEVELS: Final = 3.0 / 255
"""Its standard deviation in levels: flicker that is left is evened out, fades and flashes are not."""
SMOOTH_CONTRASTS: Final = 0.05
"""The same for ratios of contrasts, which are smoothed likewise."""

LEVEL_STYLERS: Final = frozenset({"palette", "superpixel"})
"""Stylers whose frames have the lightness of the content already: only the ends of fades are closed."""


def frame_levels(levels: Sequence[int], contrasts: Sequence[int], shots: Sequence[Shot], styler: str) -> list[Level]:
    """What `follow_level` needs of every frame; empty if `levels` is.

    `levels` has the mean and `contrasts` the standard deviation of luma of every frame of the content, in hundredths of
    a level of 255; without contrasts all views are clear. `shots` cover all frames, `styler` is the name of the styler.
    """
    if not levels:
        return []
    found = []
    for shot in shots:
        own = np.asarray(levels[shot.start : shot.stop], np.float64) / (255 * LEVEL_UNIT)
        clear = np.ones_like(own)
        if contrasts:
            deviations = np.asarray(contrasts[shot.start : shot.stop], np.float64) / (255 * LEVEL_UNIT)
            clear = _contrast_ratios(deviations, own)
        reference, followed = _reference(own, clear), styler in LEVEL_STYLERS
        smooth = zip(_smoothed(own, SMOOTH_LEVELS), _smoothed(clear, SMOOTH_CONTRASTS), strict=True)
        found += [Level(float(level), reference, float(contrast), followed) for level, contrast in smooth]
    return found


def follow_level(image: NDArray[np.float32], amount: float, context: FrameContext) -> NDArray[np.float32]:
    """The image darker, lighter, calmer, as its content is beside its shot; `amount` in [0, 1] is an exponent."""
    level = context.level
    if level is None:
        return image
    steps: list[Callable[[NDArray[np.float32]], NDArray[np.float32]]] = []
    if level.contrast < 1 and not level.followed:
        gain = _gain(level.contrast) ** amount
        calm = np.column_stack([np.eye(3) * gain, (1 - gain) * np.array(cv2.mean(image)[:3])])
        steps.append(lambda band: np.asarray(cv2.transform(band, calm), np.float32))
    if level.own < level.reference:
        ratio = (level.own + EPSILON) / (level.reference + EPSILON)
        steps.append(lambda band: _darker(band, ratio, amount, followed=level.followed))
    elif level.own > level.reference:
        ratio = (1 - level.own + EPSILON) / (1 - level.reference + EPSILON)
        steps.append(lambda band: 1 - _darker(1 - band, ratio, amount, followed=level.followed))
    return in_bands(lambda band: reduce(lambda before, step: step(before), steps, band), image) if steps else image


def _darker(image: NDArray[np.float32], ratio: float, amount: float, *, followed: bool) -> NDArray[np.float32]:
    """The image at a ratio in (0, 1] to full light; if that is followed already, only the ends of fades are closed."""
    scale = (1 + END) * ratio**2 / (ratio**2 + END)
    if followed:
        return image * np.float32(scale**amount)
    odds = _soft(ratio, SHADE) ** amount
    divisor = image * np.float32(odds - 1)
    divisor += np.float32(1)
    darker = image * np.float32(odds * (scale * _soft(ratio, DIM)) ** amount)
    darker /= divisor
    return darker


def _gain(contrast: float) -> float:
    """The fraction of the style's contrast that a ratio of the content's contrast leaves."""
    return LEAST_GAIN + (1 - LEAST_GAIN) * (1 + FOG**3) * contrast**3 / (contrast**3 + FOG**3)


def _soft(ratio: float, slope: float) -> float:
    """0 and 1 of the ratio as they are, with this slope at 1."""
    return ratio / (ratio + slope * (1 - ratio))


def _reference(levels: NDArray[np.float64], contrasts: NDArray[np.float64]) -> float:
    """The level of full light in a shot whose contrasts are these ratios.

    A fog, brighter than the view, is left out; where there is nothing but a fade, it is the middle of that.
    """
    showing = (levels > EMPTY[0]) & (levels < EMPTY[1]) & (contrasts > CLEAR)
    steps = np.abs(np.diff(levels, prepend=np.inf, append=np.inf))
    still = showing & (np.minimum(steps[:-1], steps[1:]) <= STILL)
    if still.any():
        return float(np.quantile(levels[still], REFERENCE_QUANTILE))
    return float(np.median(levels[showing] if showing.any() else levels))


def _contrast_ratios(contrasts: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The contrast of each frame of a shot over that of a clear view, in [0, 1].

    Fog takes contrast both by itself and relative to the level. Night takes only the former, and lamps in it or more
    light on the same scene only the latter: so the larger ratio counts. Frames that show nothing are no reference.
    """
    showing = (levels > EMPTY[0]) & (levels < EMPTY[1])
    if not showing.any():
        return np.ones_like(contrasts)
    light = float(np.median(levels[showing]))
    ratios = [
        (values + least) / (np.quantile(values[showing], CLEAR_QUANTILE) + least)
        for values, least in (
            (contrasts / (levels + EPSILON), CONTRAST_EPSILON),
            (contrasts, CONTRAST_EPSILON * light),
        )
    ]
    return np.asarray(np.maximum(*ratios).clip(0, 1))


def _smoothed(values: NDArray[np.float64], similar: float) -> NDArray[np.float64]:
    """Values of a shot in [0, 1] after a bilateral filter (Tomasi and Manduchi 1998) over time.

    `similar` is the standard deviation of the filter in values. The shot is continued by its point reflection at both
    ends, so that a slow fade keeps its first and last level.
    """
    count = len(values)
    reach = min(round(2 * SMOOTH_FRAMES), count - 1)
    before = 2 * values[0] - values[1 : reach + 1][::-1]
    after = 2 * values[-1] - values[count - 1 - reach : count - 1][::-1]
    extended = np.concatenate([before, values, after])
    windows = np.lib.stride_tricks.sliding_window_view(extended, 2 * reach + 1)
    distance = np.arange(-reach, reach + 1) / SMOOTH_FRAMES
    change = (windows - values[:, None]) / similar
    weights = np.exp(-(distance**2 + change**2) / 2)
    return np.asarray((weights * windows).sum(axis=1) / weights.sum(axis=1)).clip(0, 1)

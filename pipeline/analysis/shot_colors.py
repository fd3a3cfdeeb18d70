"""Colors of every shot: a sample of its pixels, by which colors are matched and palettes chosen for the whole shot.

They are taken from the same small frames as cuts, flicker and levels, and are those of the content as it is stylized:
after the tone curve. Every frame leaves a few pixels, at positions that depend on its index alone (and, for the colors
of regions, on their masks); they stay in order of time, so that a part of them is a part of the shot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.tone_curve import apply_tone_curve
from pipeline.types import Shot, ToneCurve

if TYPE_CHECKING:
    from pipeline.types import Frame

SHOT_SAMPLES: Final = 2048
"""Colors of a shot in all: enough for a palette of 64 colors, and 12 KB of the plan. A shot of two or three frames has
fewer."""
_FRAME_SAMPLES: Final = SHOT_SAMPLES // 4
_MOST_DRAWN: Final = 16
"""Of a region that is to be seen in a single frame, so small a fraction of its colors is drawn at least."""
MIN_COVERED: Final = 1 / 400
"""A part of the frames has no colors of its own in a shot of which it covers less in all: a quarter of a percent of one
frame. These few pixels would be the edge of a mask, or noise of what finds it."""


class ColorMeasurement:
    """Takes every frame once, in order, and keeps some pixels of each."""

    def __init__(self) -> None:
        self._pixels: list[NDArray[np.uint8]] = []

    def add(self, rgb: NDArray[np.uint8]) -> None:
        """Measure a frame, uint8 (H, W, 3) sRGB."""
        random = np.random.default_rng(len(self._pixels))
        # More of the first one: it may be the only one.
        chosen = random.integers(0, rgb.size // 3, _FRAME_SAMPLES if self._pixels else SHOT_SAMPLES)
        self._pixels.append(rgb.reshape(-1, 3)[chosen])

    def colors(self, shots: Sequence[Shot], curves: Sequence[ToneCurve] = ()) -> tuple[str, ...]:
        """The colors of every shot in order of time, as hex digits: six for each color, see `decoded_colors`.

        `curves` has one tone curve for every frame, or is empty. Raises ValueError for another number of curves.
        """
        if curves and len(curves) != len(self._pixels):
            raise ValueError(f"{len(curves)} tone curves for {len(self._pixels)} frames")
        found = []
        for shot in shots:
            frames = range(shot.start, shot.stop)
            each = SHOT_SAMPLES if len(frames) == 1 else min(_FRAME_SAMPLES, -(-SHOT_SAMPLES // len(frames)))
            parts = [
                apply_tone_curve(self._pixels[index][None, :each], curves[index] if curves else ())[0]
                for index in frames
            ]
            colors = np.concatenate(parts)
            chosen = np.linspace(0, len(colors) - 1, min(len(colors), SHOT_SAMPLES)).round().astype(np.intp)
            found.append(colors[chosen].tobytes().hex())
        return tuple(found)


def region_colors(
    maps: Callable[[int, NDArray[np.uint8]], NDArray[np.float32]], frames: Iterable[Frame], shots: Sequence[Shot]
) -> tuple[tuple[str, ...], ...]:
    """For every shot, the colors of each of the parts that `maps` divide its frames into, as those of whole shots.

    `maps` has for the index and the content of a frame how far each pixel belongs to each part, (P, H, W) in [0, 1], in
    proportion to which pixels are drawn. `frames` are all content frames in order, uint8 (H, W, 3) sRGB after their
    tone curves, at equal size. The colors of a part that covers less than `MIN_COVERED` are "".
    """
    found, following = [], iter(frames)
    for shot in shots:
        each = SHOT_SAMPLES // min(shot.stop - shot.start, _MOST_DRAWN)
        covered: list[NDArray[np.float64]] = []
        drawn: list[list[NDArray[np.uint8]]] = []
        for frame in islice(following, shot.stop - shot.start):
            parts = [part.ravel().astype(np.float64) for part in maps(frame.index, frame.rgb)]
            covered.append(np.array([part.mean() for part in parts]))
            drawn.append([_drawn(frame, part, each, number) for number, part in enumerate(parts)])
        found.append(
            tuple(
                _sample(fractions, [own[number] for own in drawn])
                for number, fractions in enumerate(np.stack(covered, axis=1))
            )
        )
    return tuple(found)


def _drawn(frame: Frame, weights: NDArray[np.float64], count: int, number: int) -> NDArray[np.uint8]:
    """So many pixels of a frame, drawn in proportion to their weights (H * W,); none if all of these are 0."""
    total = weights.sum()
    if total == 0:
        return np.empty((0, 3), np.uint8)
    chosen = np.random.default_rng((frame.index, number)).choice(len(weights), count, p=weights / total)
    return np.asarray(frame.rgb.reshape(-1, 3)[chosen])


def _sample(fractions: NDArray[np.float64], drawn: Sequence[NDArray[np.uint8]]) -> str:
    """The colors of a part, of every frame as many as the fraction (N,) that it covers there says, as hex digits."""
    total = fractions.sum()
    if total < MIN_COVERED:
        return ""
    places = (np.arange(SHOT_SAMPLES) + 0.5) / SHOT_SAMPLES * total
    frames = np.searchsorted(np.cumsum(fractions), places, side="right")
    colors = [drawn[frame][place % len(drawn[frame])] for place, frame in enumerate(frames)]
    return np.stack(colors).tobytes().hex()


def decoded_colors(colors: str) -> NDArray[np.uint8]:
    """The colors (n, 3) sRGB of a shot, as `ColorMeasurement.colors` and `region_colors` wrote them."""
    return np.frombuffer(bytes.fromhex(colors), np.uint8).reshape(-1, 3)

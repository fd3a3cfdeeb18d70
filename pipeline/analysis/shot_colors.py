"""Colors of every shot: a sample of its pixels, by which colors are matched and palettes chosen for the whole shot.

They are taken from the same small frames as cuts, flicker and levels, and are those of the content as it is stylized:
after the tone curve. Every frame leaves a few pixels, at positions that depend on its index alone; they stay in order
of time, so that a part of them is a part of the shot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.tone_curve import apply_tone_curve
from pipeline.types import Shot, ToneCurve

SHOT_SAMPLES: Final = 2048
"""Colors of a shot in all: enough for a palette of 64 colors, and 12 KB of the plan. A shot of two or three frames has
fewer."""
_FRAME_SAMPLES: Final = SHOT_SAMPLES // 4


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


def decoded_colors(colors: str) -> NDArray[np.uint8]:
    """The colors (n, 3) sRGB of a shot, as `ColorMeasurement.colors` wrote them."""
    return np.frombuffer(bytes.fromhex(colors), np.uint8).reshape(-1, 3)

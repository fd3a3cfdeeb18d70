"""What the finish needs of a whole shot, from some of its frames: its map of colors and its palette."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.media.image.color_transfer import color_transfer, sample_colors
from pipeline.media.image.oklab import oklab_from_srgb
from pipeline.media.image.palette import main_colors
from pipeline.postprocess.effect import ShotLook

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.finish import FinishSettings

    RGB = NDArray[np.uint8]

SAMPLE_FRAMES: Final = 12
"""Frames of a shot that are looked at, evenly over it."""
CONTRAST: Final = 1.1
"""Entries of the palette are moved apart by this factor: the mean of many colors is duller than they are."""


def needs_look(settings: FinishSettings) -> bool:
    """Whether these settings look at other frames of the shot."""
    return settings.match_color > 0 or settings.palette > 0


def sample_indices(start: int, stop: int) -> list[int]:
    """Which of the frames [start, stop) are looked at."""
    count = min(SAMPLE_FRAMES, stop - start)
    return [start + (2 * number + 1) * (stop - start) // (2 * count) for number in range(count)]


def shot_look(
    stylized: Sequence[RGB],
    colors: RGB | None,
    settings: FinishSettings,
    seed: int,
    finished: Callable[[Mapping[str, float], ShotLook], Sequence[RGB]],
) -> ShotLook:
    """The look of a shot from some stylized frames, uint8 (H, W, 3), and the colors (n, 3) of its content.

    `finished(changes, look)` finishes these frames by their settings with some changes, so that the palette is that of
    what is shown. `colors` may be None if `settings.match_color` is 0.
    """
    transfer = None
    if settings.match_color > 0 and colors is not None:
        transfer = color_transfer(sample_colors(stylized), colors, settings.color_method)
    look = ShotLook(transfer, None, settings.dither)
    if settings.palette == 0:
        return look
    shown = finished({"palette": 0, "grain": 0.0}, look)
    lab = oklab_from_srgb(sample_colors(shown))
    palette = main_colors(lab, settings.palette, np.random.default_rng(seed), CONTRAST)
    return ShotLook(transfer, palette, settings.dither)

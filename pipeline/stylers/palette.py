"""The palette styler: frames as flat shapes in the colors of the style images, like gouache or a screen print.

The palette comes from the style images alone, or from the content of the whole shot, and the color of a pixel from its
surroundings alone; where a pixel lies between two colors of the palette, the previous stylized frame decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.media.image.dither import dithered
from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab
from pipeline.media.image.palette import color_distances, drifted, nearest_colors
from pipeline.stylers.colors import (
    LIGHTNESS_WEIGHT,
    fit_to_palette,
    smooth_regions,
    style_palette,
    stylize_frames,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.config.looks import Dither
    from pipeline.stylers.shot_colors import ShotColors
    from pipeline.types import FrameBatch, StylizedBatch

_SOFTNESS: Final = 0.006  # Oklab distance over which one color passes into the next: smooth contours instead of stairs
_HYSTERESIS: Final = 0.03  # Oklab distance by which another color must be nearer than the one that a pixel had
_MAX_DISTANCES: Final = 1 << 22  # computed at a time, to limit the memory


class PaletteStyler:
    """Stylizes frames in `colors` (2 to 256) colors of the style images, which are uint8 (H, W, 3) sRGB.

    With a `shot` they are the colors of its content instead, and with `drift` they move slowly through it. `dither`
    mixes two of them where one does not fit. The same arguments give the same palette and the same frames.
    """

    style_colors = None

    def __init__(
        self,
        style_images: Sequence[NDArray[np.uint8]],
        colors: int,
        seed: int,
        *,
        shot: ShotColors | None = None,
        drift: bool = False,
        dither: Dither = "none",
    ) -> None:
        self.palette = style_palette(style_images if shot is None else [shot.colors[np.newaxis]], colors, seed)
        """float32 (colors, 3) Oklab, from dark to light."""
        self._shot = shot
        self._drift = drift and shot is not None
        self._dither = dither

    def stylize(self, batch: FrameBatch) -> StylizedBatch:
        """Stylize every frame; a warm one keeps the colors of the warped previous one where both fit about equally."""
        return stylize_frames(batch, self.stylize_frame)

    def palette_at(self, index: int) -> NDArray[np.float32]:
        """The palette of frame `index`, float32 (colors, 3) Oklab: that of the shot unless it drifts."""
        if not self._drift or self._shot is None:
            return self.palette
        return drifted(self.palette, oklab_from_srgb(self._shot.colors), self._shot.weights_at(index))

    def stylize_frame(
        self,
        rgb: NDArray[np.uint8],
        previous: NDArray[np.uint8] | None = None,
        confidence: NDArray[np.float32] | None = None,
        index: int = 0,
    ) -> NDArray[np.uint8]:
        """Stylize one frame, uint8 (H, W, 3) sRGB.

        `previous` is the warped previous stylized frame, of the same size; `confidence`, float32 (H, W) in [0, 1],
        scales the hysteresis (None: 1 everywhere).
        """
        palette = self.palette_at(index)
        color = oklab_from_srgb(smooth_regions(rgb))
        if self._shot is None:
            color = fit_to_palette(color, palette)
        if self._dither != "none":
            return dithered(srgb_from_oklab(color), palette, self._dither, previous, confidence)
        return self._flat(color.reshape(-1, 3), palette, previous, confidence).reshape(rgb.shape)

    def _flat(
        self,
        color: NDArray[np.float32],
        palette: NDArray[np.float32],
        previous: NDArray[np.uint8] | None,
        confidence: NDArray[np.float32] | None,
    ) -> NDArray[np.uint8]:
        """The nearest color of the palette for every color (n, 3), uint8 (n, 3)."""
        result = np.empty_like(color)
        before = None if previous is None else oklab_from_srgb(previous).reshape(-1, 3)
        advantage = np.full(len(color), _HYSTERESIS, np.float32)
        if confidence is not None:
            advantage *= confidence.reshape(-1)
        step = max(1, _MAX_DISTANCES // len(palette))
        for part in (slice(start, start + step) for start in range(0, len(color), step)):
            distance = color_distances(color[part], palette, LIGHTNESS_WEIGHT)
            if before is not None:
                old = color_distances(before[part], palette).argmin(axis=1)
                distance[np.arange(len(old)), old] -= advantage[part]
            result[part] = nearest_colors(distance, palette, _SOFTNESS)
        return srgb_from_oklab(result)

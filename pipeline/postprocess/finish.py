"""Finishing a stored frame: the table of effects, in the order in which they are applied.

A new effect is a file with a function, a line in `EFFECTS`, and its setting in `FinishSettings`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.config.finish import FinishSettings
from pipeline.media.image.bands import in_bands
from pipeline.media.image.depth import as_16_bit, as_float, to_8_bit, to_16_bit
from pipeline.postprocess.color import match_color, preserve_color
from pipeline.postprocess.detail import fuse_detail, sharpen
from pipeline.postprocess.effect import Effect, FrameContext, Level, ShotLook
from pipeline.postprocess.grade import grade
from pipeline.postprocess.grain import add_grain
from pipeline.postprocess.level import follow_level
from pipeline.postprocess.light import match_light
from pipeline.postprocess.palette import reduce_colors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.postprocess.lut import Lut
    from pipeline.types import Pixels

EFFECTS: Final[dict[str, Effect]] = {
    "match_color": match_color,  # first: its map is that of stored frames
    "follow_level": follow_level,  # what follows takes light or color from the content and goes on from here
    "match_light": match_light,
    "preserve_color": preserve_color,
    "detail": fuse_detail,
    "sharpen": sharpen,
    "grade": grade,
    "palette": reduce_colors,  # behind all that makes new colors
    "grain": add_grain,  # last: grain is that of the film, not of the picture
}
"""The effect of each of the `FinishSettings`, in order of application."""
NEUTRAL: Final = FinishSettings(follow_level=0)
"""The settings that leave a frame as it is: an effect whose setting is as here is left out."""
CONTENT_EFFECTS: Final = frozenset({"match_light", "preserve_color", "detail"})
"""The effects that read the content; for the others it need not be decoded."""


def finish(
    stylized: NDArray[np.uint8],
    content: Pixels,
    settings: FinishSettings,
    *,
    index: int,
    seed: int,
    level: Level | None = None,
    lut: Lut | None = None,
    look: ShotLook | None = None,
    deep: bool = False,
) -> Pixels:
    """Finish one stored frame; `stylized` and the result are uint8 (H, W, 3) sRGB, `content` also uint16.

    With `deep` the result is uint16 (0 to 65535): what the finish computes is rounded to 16 bits instead of 8.

    `level` comes from `frame_levels`, `lut` from `load_lut`; `look`, that of its shot, from `shot_look`, without which
    `match_color` and `palette` do nothing. The result depends on nothing but the arguments. If every setting is neutral
    it is `stylized` itself, in 16 bits 257 times its values. Raises ValueError when the sizes differ.
    """
    if stylized.shape != content.shape:
        raise ValueError(f"stylized frame {stylized.shape} and content {content.shape} differ in size")
    if settings == NEUTRAL:
        return as_16_bit(stylized) if deep else stylized
    context = FrameContext(content, index, seed, level, lut, look or ShotLook())
    image = apply_effects(as_float(stylized), settings, context)
    return in_bands(to_16_bit if deep else to_8_bit, image)


def apply_effects(image: NDArray[np.float32], settings: FinishSettings, context: FrameContext) -> NDArray[np.float32]:
    """The effects of a finish, in order, on an image, float32 (H, W, 3) sRGB in [0, 1]; not clipped at the end."""
    for name, effect in EFFECTS.items():
        if _acts(settings, name):
            image = effect(image, getattr(settings, name), context)
    return image


def reads_content(settings: FinishSettings) -> bool:
    """Whether an effect of these settings needs the content: if not, any frame of the right size will do."""
    return any(_acts(settings, name) for name in CONTENT_EFFECTS)


def _acts(settings: FinishSettings, name: str) -> bool:
    return bool(getattr(settings, name) != getattr(NEUTRAL, name))

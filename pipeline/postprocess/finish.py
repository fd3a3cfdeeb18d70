"""Finishing a stored frame: the table of effects, in the order in which they are applied.

A new effect is a file with a function, a line in `EFFECTS`, and its setting in `FinishSettings`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.postprocess.color import match_color, preserve_color
from pipeline.postprocess.detail import sharpen
from pipeline.postprocess.effect import Effect, FrameContext, Level, ShotLook, from_8_bit, to_8_bit
from pipeline.postprocess.grain import add_grain
from pipeline.postprocess.level import follow_level
from pipeline.postprocess.light import match_light
from pipeline.postprocess.palette import reduce_colors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.finish import FinishSettings

EFFECTS: Final[dict[str, Effect]] = {
    "match_color": match_color,  # first: its map is that of stored frames
    "follow_level": follow_level,  # what follows takes light or color from the content and goes on from here
    "match_light": match_light,
    "preserve_color": preserve_color,
    "sharpen": sharpen,
    "palette": reduce_colors,  # behind all that makes new colors; grain lies over it
    "grain": add_grain,
}
"""The effect of each of the `FinishSettings`, in order of application; 0 leaves an effect out."""
CONTENT_EFFECTS: Final = frozenset({"match_light", "preserve_color"})
"""The effects that read the content; for the others it need not be decoded."""


def finish(
    stylized: NDArray[np.uint8],
    content: NDArray[np.uint8],
    settings: FinishSettings,
    *,
    index: int,
    seed: int,
    level: Level | None = None,
    look: ShotLook | None = None,
) -> NDArray[np.uint8]:
    """Finish one stored frame; `stylized`, `content` and the result are uint8 (H, W, 3) sRGB of one size.

    `level` comes from `frame_levels`; `look`, that of its shot, from `shot_look`, without which `match_color` and
    `palette` do nothing. The result depends on nothing but the arguments. If every setting is 0 it is `stylized`
    itself. Raises ValueError when the sizes differ.
    """
    if stylized.shape != content.shape:
        raise ValueError(f"stylized frame {stylized.shape} and content {content.shape} differ in size")
    amounts = {name: getattr(settings, name) for name in EFFECTS}
    if not any(amounts.values()):
        return stylized
    context = FrameContext(content, index, seed, level, look or ShotLook())
    image = from_8_bit(stylized)
    for name, effect in EFFECTS.items():
        if amounts[name] > 0:
            image = effect(image, amounts[name], context)
    return to_8_bit(image)


def reads_content(settings: FinishSettings) -> bool:
    """Whether an effect of these settings needs the content: if not, any frame of the right size will do."""
    return any(getattr(settings, name) > 0 for name in CONTENT_EFFECTS)

"""A width and a height that were both asked for, where the input has another aspect: cropped, with bars, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.config.settings import Config, InputSettings
    from pipeline.types import Source

ROUNDING_PX: Final = 1
"""By so much may a side differ from the aspect of the input: a size that somebody computed is rounded."""


def cropped(source: Source, width: int | None, height: int | None, settings: InputSettings) -> Source:
    """The source whose frames have the aspect of `width` by `height`, if both are given and `input.fit` is "cover".

    Crops evenly on both sides; frames of that aspect stay as they are. Raises UsageError for another aspect if
    `input.fit` is "strict".
    """
    if width is None or height is None or same_aspect(source, width, height):
        return source
    whole = source.width_px, source.height_px
    part = (
        min(whole[0], max(1, round(whole[1] * width / height))),
        min(whole[1], max(1, round(whole[0] * height / width))),
    )
    lost = 1 - part[0] * part[1] / (whole[0] * whole[1])
    if settings.fit == "strict":
        raise UsageError(
            f"--width {width} --height {height}: the input has {whole[0]}x{whole[1]} px, which is another aspect",
            hint=f"--set input.fit=cover crops {lost:.1%} of each frame, --set input.fit=contain puts black bars "
            f"around it; --width {width} alone keeps the aspect",
        )
    if settings.fit == "contain":
        return source
    note = f"{whole[0]}x{whole[1]} px are cropped to {part[0]}x{part[1]}: {lost:.1%} of each frame is left out."
    return replace(source, width_px=part[0], height_px=part[1], uncropped_px=whole, notes=(*source.notes, note))


def with_bars(styles: Sequence[Config], source: Source, width: int | None, height: int | None) -> tuple[Config, ...]:
    """The styles with bars in their outputs, where "contain" leaves room around the frames of a source.

    Frames are stylized without bars; an `output.size` of a style's own stays.
    """
    if width is None or height is None or source.uncropped_px is not None or same_aspect(source, width, height):
        return tuple(styles)
    bars = {"size": f"{width}x{height}", "fit": "contain"}
    return tuple(
        style if style.output.size else style.model_copy(update={"output": style.output.model_copy(update=bars)})
        for style in styles
    )


def picture_size(source: Source, width: int | None, height: int | None, side_px: int) -> tuple[int, int]:
    """Width and height in px as they are asked for, by default with a longer side of `side_px`; the aspect is kept."""
    from pipeline.media.image.arrays import fit_size

    if width is None and height is None:
        width, height = (side_px, None) if source.width_px >= source.height_px else (None, side_px)
    return fit_size(source.width_px, source.height_px, width, height)


def same_aspect(source: Source, width: int, height: int) -> bool:
    """Whether a size has the aspect of a source, but for rounding."""
    from pipeline.media.image.arrays import fit_size

    found = fit_size(source.width_px, source.height_px, width, height)
    return max(width - found[0], height - found[1]) <= ROUNDING_PX

"""Reading content as it is stylized: at the size of the render, and with even exposure."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from pipeline.analysis.tone_curve import tone_correction
from pipeline.media.image.depth import as_8_bit
from pipeline.media.reader.source import read_deep, read_frames
from pipeline.types import Frame

if TYPE_CHECKING:
    from pipeline.config.settings import InputSettings
    from pipeline.media.reader.thumbnails import Thumbnails
    from pipeline.types import Source, ToneCurve


def content_frames(
    source: Source,
    start: int,
    stop: int,
    *,
    size_px: tuple[int, int],
    settings: InputSettings,
    exposure: Sequence[ToneCurve],
    thumbnails: Thumbnails | None = None,
) -> Generator[Frame]:
    """Content frames [start, stop) in order, of (width, height) px, after the tone curves of `exposure` (empty: none).

    `thumbnails` are read where they have the frames at this size. Frames are 8 bits; those of a deeper input are
    rounded after the curves. Raises what `read_frames` raises.
    """
    corrected = tone_correction(exposure)
    width, height = size_px
    if corrected is None:
        yield from read_frames(
            source, start=start, stop=stop, width_px=width, height_px=height, settings=settings, thumbnails=thumbnails
        )
        return
    with closing(read_deep(source, start, stop, size_px=size_px, settings=settings, thumbnails=thumbnails)) as images:
        for index, pixels in enumerate(images, start):
            yield Frame(index, source.pts[index], as_8_bit(corrected(index, pixels)))

"""Reading content as it is stylized: at the size of the render, and with even exposure."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.analysis.tone_curve import tone_correction
from pipeline.media.reader.source import read_frames

if TYPE_CHECKING:
    from pipeline.config.settings import InputSettings
    from pipeline.media.reader.thumbnails import Thumbnails
    from pipeline.types import Frame, Source, ToneCurve


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

    `thumbnails` are read where they have the frames at this size. Raises what `read_frames` raises.
    """
    corrected = tone_correction(exposure)
    width, height = size_px
    frames = read_frames(
        source, start=start, stop=stop, width_px=width, height_px=height, settings=settings, thumbnails=thumbnails
    )
    with closing(frames):
        for frame in frames:
            yield frame if corrected is None else replace(frame, rgb=corrected(frame.index, frame.rgb))

"""Short clips without audio, made of pictures: each stays for its own time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.config.settings import OutputSettings
from pipeline.media.image.contact_sheet import BACKGROUND
from pipeline.types import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLOCK_S: Final = Fraction(1, 20)
"""Times are whole multiples of it, which every format can hold."""


def clip_suffix() -> str:
    """`.mp4`, or `.gif` where this installation has no encoder for it."""
    from pipeline.media.writer.codecs import available_encoder

    return ".mp4" if available_encoder("h264") else ".gif"


def write_clip(path: Path, pictures: Sequence[tuple[NDArray[np.uint8], int]]) -> None:
    """Write pictures, uint8 (H, W, 3) sRGB, each with its time in `CLOCK_S`. Raises WriteError.

    Smaller ones have more paper on the right and below, as those with fewer lines of text are.
    """
    from pipeline.media.writer.output import write_video

    height_px, width_px = (max(rgb.shape[axis] for rgb, _ in pictures) for axis in (0, 1))
    starts = (0, *itertools.accumulate(ticks for _, ticks in pictures))
    source = Source(
        path="",
        kind="photos",
        files=(),
        width_px=width_px,
        height_px=height_px,
        frame_rate=1 / CLOCK_S,
        time_base=CLOCK_S,
        pts=starts[:-1],
        duration_ticks=pictures[-1][1],
        decoded_indices=tuple(range(len(pictures))),
    )
    write_video(
        path, (_padded(rgb, height_px, width_px) for rgb, _ in pictures), source=source, settings=OutputSettings()
    )


def _padded(rgb: NDArray[np.uint8], height_px: int, width_px: int) -> NDArray[np.uint8]:
    import numpy as np

    paper = np.full((height_px, width_px, 3), BACKGROUND, np.uint8)
    paper[: rgb.shape[0], : rgb.shape[1]] = rgb
    return paper

"""The growth of a stylized frame: the picture after chosen evaluations, as a sheet and as a clip."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.explain.clips import clip_suffix, write_clip
from pipeline.explain.page import Section
from pipeline.media.image.arrays import resize, size_within
from pipeline.media.image.contact_sheet import contact_sheet
from pipeline.media.image.png import save_png

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS: Final = 6
"""Pictures of each scale on the sheet."""
CLIP_PICTURES: Final = 24
"""Pictures of each scale in the clip, at most."""
_SIDE_PX: Final = 300
_TEXT: Final = (
    "The picture begins as a small, noisy copy of your photo, where a few bold strokes decide the composition. It "
    "is then enlarged step by step, and each time finer strokes are laid over the larger ones. An evaluation "
    "is one look at the picture: how far is it from photo and style, and how should every pixel change?"
)
_STEP_TICKS, _LAST_TICKS = 2, 50


@dataclass(frozen=True, slots=True)
class GrowthPicture:
    """The picture after an evaluation (from 1, counted on over all scales): uint8 (h, w, 3) sRGB, as the scale."""

    evaluation: int
    rgb: NDArray[np.uint8]


def write_growth(folder: Path, pictures: Sequence[GrowthPicture], title: str, stem: str = "growth") -> Section:
    """Write the sheet and the clip, named after `stem`. Raises OSError, and WriteError for the clip."""
    sheet, clip = f"{stem}.png", f"{stem}{clip_suffix()}"
    save_png(folder / sheet, growth_sheet(pictures, title))
    write_clip(folder / clip, growth_clip(pictures))
    return Section("How the picture grows", _TEXT, (clip, sheet))


def spaced(total: int, count: int) -> list[int]:
    """At most `count` whole numbers from 1 to `total`, both included, with even ratios: early change is the largest."""
    return sorted({round(float(number)) for number in np.geomspace(1, total, min(count, total))})


def growth_scales(pictures: Sequence[GrowthPicture]) -> list[list[GrowthPicture]]:
    """Pictures in the order of their evaluations, as one list for each scale."""
    return [list(scale) for _, scale in itertools.groupby(pictures, key=lambda picture: picture.rgb.shape)]


def growth_sheet(pictures: Sequence[GrowthPicture], title: str) -> NDArray[np.uint8]:
    """A row for each scale, from coarse to fine, with evenly spaced ratios of evaluations; all in one size."""
    height, width = pictures[-1].rgb.shape[:2]
    size = size_within(width, height, _SIDE_PX)
    rows, sizes, before = [], [], 0
    for scale in growth_scales(pictures):
        rows.append([(f"evaluation {each.evaluation}", resize(each.rgb, *size)) for each in _thinned(scale, before)])
        sizes.append(f"{scale[-1].rgb.shape[1]}x{scale[-1].rgb.shape[0]}")
        before = scale[-1].evaluation
    return contact_sheet([f"{title}\nscales from top to bottom: {', '.join(sizes)} px", *rows])


def growth_clip(pictures: Sequence[GrowthPicture]) -> list[tuple[NDArray[np.uint8], int]]:
    """The pictures in the size of the last one, each with a caption and how long it stays (see `clips.CLOCK_S`)."""
    height, width = pictures[-1].rgb.shape[:2]
    scales = growth_scales(pictures)
    total = pictures[-1].evaluation
    clip = []
    for number, scale in enumerate(scales, start=1):
        for each in scale:
            caption = f"evaluation {each.evaluation} of {total}, scale {number} of {len(scales)}"
            ticks = _LAST_TICKS if each is pictures[-1] else _STEP_TICKS
            clip.append((contact_sheet([[(caption, resize(each.rgb, width, height))]]), ticks))
    return clip


def _thinned(scale: Sequence[GrowthPicture], before: int) -> list[GrowthPicture]:
    """Some pictures of one scale: those whose evaluations, counted from its start, are nearest to the spaced ones."""
    chosen = {
        min(range(len(scale)), key=lambda at: abs(scale[at].evaluation - before - wanted))
        for wanted in spaced(scale[-1].evaluation - before, COLUMNS)
    }
    return [scale[at] for at in sorted(chosen)]

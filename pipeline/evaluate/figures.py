"""What an evaluation says: plain data, and how the figures of single frames become a row."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

RowName = Literal["render", "input", "independent", "warm without flow"]
ROWS: Final[tuple[RowName, ...]] = ("render", "input", "independent", "warm without flow")

DRIFT_FRAMES: Final = 10
"""Over fewer frames than this a drift per 100 frames says nothing."""


@dataclass(frozen=True, slots=True)
class FrameFigures:
    """Figures of one picture.

    `sharpness` is the mean squared Laplacian, `luma` the mean in levels of 0 to 255; the temporal errors are those
    against the frame before and the one 10 frames before, None where there is none or too little of it can be trusted.
    Losses are dimensionless, `loss` the weighted sum without the temporal term; None for stylers without an objective
    and outside the compared frames.
    """

    frame: int
    sharpness: float
    luma: float
    temporal_error: float | None = None
    long_error: float | None = None
    loss: float | None = None
    content_loss: float | None = None
    style_loss: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One way of painting the clip: its figures in brief, and frame by frame.

    Temporal errors are means over the compared frames; sharpness (over that of the first cold frame) and losses are
    medians over them. `luma_drift` is the change of mean luma, less the input's own, in levels per 100 frames; it is
    taken over all `frames`, of which the render and the input may have more than those that are compared. None: nothing
    to measure it by.
    """

    name: RowName
    temporal_error: float | None
    long_error: float | None
    sharpness: float | None
    luma_drift: float | None
    loss: float | None
    content_loss: float | None
    style_loss: float | None
    frames: tuple[FrameFigures, ...]


@dataclass(frozen=True, slots=True)
class StyleEvaluation:
    """One style of a render: the compared frames (those in [start, stop) that are stored), and a row per way to paint.

    `first_cold_frame` is the stored frame whose sharpness counts as 1; `trusted` the mean share of the area over which
    the temporal error of neighboring frames is taken.
    """

    style: str
    start: int
    stop: int
    first_cold_frame: int
    trusted: float | None
    rows: tuple[Row, ...]

    def row(self, name: RowName) -> Row | None:
        """The row of that name; None if it was not asked for."""
        return next((row for row in self.rows if row.name == name), None)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found about the render at `path`, style by style; plain data that `dataclasses.asdict` makes JSON of."""

    path: str
    width_px: int
    height_px: int
    frame_count: int
    styles: tuple[StyleEvaluation, ...]


def make_row(
    name: RowName,
    frames: Iterable[FrameFigures],
    compared: Sequence[int],
    *,
    sharpness_unit: float,
    input_luma: Mapping[int, float],
) -> Row:
    """Bring the figures of single frames together; `input_luma` holds the input's mean luma by frame."""
    from pipeline.evaluate.measures import drift_per_100_frames

    ordered = tuple(sorted(frames, key=lambda figures: figures.frame))
    seen = [figures for figures in ordered if figures.frame in set(compared)]
    own = [figures.luma - input_luma[figures.frame] for figures in ordered]
    drift = drift_per_100_frames([figures.frame for figures in ordered], own) if len(own) >= DRIFT_FRAMES else None
    sharp = _median(figures.sharpness for figures in seen)
    return Row(
        name,
        temporal_error=_mean(figures.temporal_error for figures in seen),
        long_error=_mean(figures.long_error for figures in seen),
        sharpness=sharp / sharpness_unit if sharp is not None and sharpness_unit > 0 else None,
        luma_drift=drift,
        loss=_median(figures.loss for figures in seen),
        content_loss=_median(figures.content_loss for figures in seen),
        style_loss=_median(figures.style_loss for figures in seen),
        frames=ordered,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None

"""The result of an evaluation: plain data, and how the figures of single frames are summarized in a row."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

RowName = Literal["render", "input", "independent", "warm without flow"]
ROWS: Final[tuple[RowName, ...]] = ("render", "input", "independent", "warm without flow")

DRIFT_FRAMES: Final = 10
"""Over fewer frames than this no drift is given: it would be mostly noise."""


@dataclass(frozen=True, slots=True)
class FrameFigures:
    """Figures of one image.

    `sharpness` is the mean squared Laplacian, `luma` the mean in levels of 0 to 255; the temporal errors are those
    against the previous frame and the one 10 frames before; None if there is none, or too little confidence.
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
    """One way of stylizing the clip, or the input itself: a summary of its figures, and the figures frame by frame.

    Temporal errors are means over the compared frames; sharpness (over that of the first cold frame) and losses are
    medians over them. `luma_drift` is the change of mean luma, less that of the input, in levels per 100 frames, over
    all `frames`; render and input may have more of them than are compared. None: not measurable.
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
    """One style of a render: the compared frames (those in [start, stop) that are stored), and a row for each way.

    `first_cold_frame` is the stored frame whose sharpness counts as 1; `mean_confidence` that of the motion between
    neighboring frames: the fraction of the area over which their temporal error is taken.
    """

    style: str
    start: int
    stop: int
    first_cold_frame: int
    mean_confidence: float | None
    rows: tuple[Row, ...]

    def row(self, name: RowName) -> Row | None:
        """The row of that name; None if there is none."""
        return next((row for row in self.rows if row.name == name), None)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The evaluation of the render at `path`, style by style; `dataclasses.asdict` makes data for JSON of it."""

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
    """Summarize the figures of single frames; `compared` are the indices of the compared ones.

    `input_luma` is the mean luma of the input by frame, and `sharpness_unit` the sharpness that counts as 1.
    """
    from pipeline.evaluate.measures import drift_per_100_frames

    ordered = tuple(sorted(frames, key=lambda figures: figures.frame))
    measured = [figures for figures in ordered if figures.frame in set(compared)]
    own = [figures.luma - input_luma[figures.frame] for figures in ordered]
    drift = drift_per_100_frames([figures.frame for figures in ordered], own) if len(own) >= DRIFT_FRAMES else None
    sharp = _median(figures.sharpness for figures in measured)
    return Row(
        name,
        temporal_error=_mean(figures.temporal_error for figures in measured),
        long_error=_mean(figures.long_error for figures in measured),
        sharpness=sharp / sharpness_unit if sharp is not None and sharpness_unit > 0 else None,
        luma_drift=drift,
        loss=_median(figures.loss for figures in measured),
        content_loss=_median(figures.content_loss for figures in measured),
        style_loss=_median(figures.style_loss for figures in measured),
        frames=ordered,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None

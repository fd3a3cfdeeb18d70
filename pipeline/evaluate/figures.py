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

    `light`, `change` and `trail` are those of `pipeline.evaluate.following.Followed`. Where the content has changed
    since 12 frames before, `changed_content` is the squared difference of relu4_2 to the content, over that of the
    independent frame, and `changed_color` the difference of blurred color to that frame in levels; `unchanged_color`
    is the latter elsewhere. `axis_ratio` is that of `pipeline.evaluate.measures`, of compared frames.
    """

    frame: int
    sharpness: float
    luma: float
    temporal_error: float | None = None
    long_error: float | None = None
    loss: float | None = None
    content_loss: float | None = None
    style_loss: float | None = None
    light: float | None = None
    change: float | None = None
    trail: float | None = None
    changed_content: float | None = None
    changed_color: float | None = None
    unchanged_color: float | None = None
    axis_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One way of stylizing the clip, or the input itself: a summary of its figures, and the figures frame by frame.

    Temporal errors are means over the compared frames; sharpness (over that of the first cold frame) and losses are
    medians over them. `luma_drift` is the change of mean luma, less that of the input, in levels per 100 frames, over
    all `frames`; render and input may have more of them than are compared. None: not measurable.

    Over all `frames` too: mean and lowest `light` and `change`, mean `trail`, and mean luma of the finished image at
    the darkest and the brightest frame of the input, in levels. Over the compared ones that have it: median and highest
    `changed_content`, means of the two differences of color, median `axis_ratio`.
    """

    name: RowName
    temporal_error: float | None
    long_error: float | None
    sharpness: float | None
    luma_drift: float | None
    loss: float | None
    content_loss: float | None
    style_loss: float | None
    light: float | None
    light_worst: float | None
    change: float | None
    change_worst: float | None
    changed_content: float | None
    changed_content_worst: float | None
    changed_color: float | None
    unchanged_color: float | None
    trail: float | None
    darkest_luma: float | None
    brightest_luma: float | None
    axis_ratio: float | None
    frames: tuple[FrameFigures, ...]


@dataclass(frozen=True, slots=True)
class StyleEvaluation:
    """One style of a render: the compared frames (those in [start, stop) that are stored), and a row for each way.

    `first_cold_frame` is the stored frame whose sharpness counts as 1; `mean_confidence` that of the motion between
    neighboring frames: the fraction of the area over which their temporal error is taken.

    Luma, light, change and trail of render and input are those of the stored frames in [followed_start, followed_stop),
    of which `darkest_frame` and `brightest_frame` have the lowest and the highest mean luma of the input.
    """

    style: str
    start: int
    stop: int
    first_cold_frame: int
    mean_confidence: float | None
    followed_start: int
    followed_stop: int
    darkest_frame: int
    brightest_frame: int
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
    extreme_luma: tuple[float | None, float | None] = (None, None),
) -> Row:
    """Summarize the figures of single frames; `compared` are the indices of the compared ones.

    `input_luma` is the mean luma of the input by frame, `sharpness_unit` the sharpness that counts as 1, and
    `extreme_luma` the mean luma of the finished image at the darkest and the brightest frame of the input.
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
        light=_mean(figures.light for figures in ordered),
        light_worst=_least(figures.light for figures in ordered),
        change=_mean(figures.change for figures in ordered),
        change_worst=_least(figures.change for figures in ordered),
        changed_content=_median(figures.changed_content for figures in measured),
        changed_content_worst=_most(figures.changed_content for figures in measured),
        changed_color=_mean(figures.changed_color for figures in measured),
        unchanged_color=_mean(figures.unchanged_color for figures in measured),
        trail=_mean(figures.trail for figures in ordered),
        darkest_luma=extreme_luma[0],
        brightest_luma=extreme_luma[1],
        axis_ratio=_median(figures.axis_ratio for figures in measured),
        frames=ordered,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)

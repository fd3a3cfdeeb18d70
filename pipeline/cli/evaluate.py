"""`tempera evaluate`: measure a render and compare it with simpler ways of stylizing."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from pipeline.cli import options
from pipeline.cli.options import parse_span

if TYPE_CHECKING:
    from pipeline.evaluate.figures import Evaluation, Row, StyleEvaluation


def evaluate(
    directory: options.Directory,
    frames: Annotated[
        str | None, typer.Option(help="Compare frames A up to, not including, B. [default: 12]", metavar="A:B")
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option("--baselines/--no-baselines", help="Also stylize the frames in two simpler ways, for comparison."),
    ] = True,
    as_json: options.AsJson = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the figures frame by frame: a .png or .svg.")] = None,
    moved_to: options.MovedInput = None,
    progress: options.ProgressChoice = "auto",
) -> None:
    """Measure how steady a render is, its losses, and how it follows the content, beside simpler ways of stylizing."""
    from pipeline.cli.signals import cancelled_by_signals
    from pipeline.evaluate.plot import check_plot, draw
    from pipeline.runtime.reporters import make_reporter
    from pipeline.workflows.evaluate import evaluate as run_evaluate

    span = parse_span(frames)
    if plot is not None:
        check_plot(plot)
    with cancelled_by_signals() as cancellation:
        found = run_evaluate(
            directory,
            frames=span,
            baselines=baselines,
            reporter=make_reporter(progress),
            cancellation=cancellation,
            moved_to=moved_to,
        )
    if plot is not None:
        draw(found, plot)
    if as_json:
        sys.stdout.write(json.dumps(asdict(found), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        sys.stdout.write("\n".join(_table(found)))


class _Column(NamedTuple):
    """A column of the table: its heading and unit, and which figure of a row it shows in which form."""

    name: str
    unit: str
    width: int
    key: str
    form: str
    scale: float = 1.0


_QUALITY = (
    _Column("error 1", "1e-4", 12, "temporal_error", "{:.2f}", 1e4),
    _Column("error 10", "1e-4", 12, "long_error", "{:.2f}", 1e4),
    _Column("sharpness", "of first", 11, "sharpness", "{:.3f}"),
    _Column("luma drift", "levels/100", 12, "luma_drift", "{:+.2f}"),
    _Column("loss", "weighted", 10, "loss", "{:.4f}"),
    _Column("content", "", 9, "content_loss", "{:.4f}"),
    _Column("style", "", 10, "style_loss", "{:.5f}"),
    _Column("axes", "ratio", 8, "axis_ratio", "{:.2f}"),
)
_FOLLOWING = (
    _Column("light", "mean", 7, "light", "{:.2f}"),
    _Column("", "worst", 7, "light_worst", "{:.2f}"),
    _Column("change", "mean", 9, "change", "{:.2f}"),
    _Column("", "worst", 7, "change_worst", "{:.2f}"),
    _Column("trail", "levels", 8, "trail", "{:.1f}"),
    _Column("luma", "darkest", 9, "darkest_luma", "{:.0f}"),
    _Column("", "brightest", 11, "brightest_luma", "{:.0f}"),
    _Column("changed", "median", 9, "changed_content", "{:.2f}"),
    _Column("", "worst", 7, "changed_content_worst", "{:.2f}"),
    _Column("color", "levels", 8, "changed_color", "{:.1f}"),
    _Column("", "elsewhere", 11, "unchanged_color", "{:.1f}"),
)


def _table(found: Evaluation) -> list[str]:
    lines = []
    for style in found.styles:
        lines += [
            f"{found.path}, style {style.style}: frames {style.start}:{style.stop} of {found.frame_count}, "
            f"{found.width_px}x{found.height_px} px",
            "",
            *_block(style, _QUALITY),
            *_quality_legend(style),
            "",
            *_block(style, _FOLLOWING),
            *_following_legend(style),
            "",
        ]
    return lines


def _block(style: StyleEvaluation, columns: tuple[_Column, ...]) -> list[str]:
    return [
        (f"{'':<18}" + "".join(f"{column.name:>{column.width}}" for column in columns)).rstrip(),
        f"{'':<18}" + "".join(f"{column.unit:>{column.width}}" for column in columns),
        *(f"{row.name:<18}" + "".join(_cell(row, column) for column in columns) for row in style.rows),
        "",
    ]


def _cell(row: Row, column: _Column) -> str:
    value: float | None = getattr(row, column.key)
    return f"{'-' if value is None else column.form.format(value * column.scale):>{column.width}}"


def _quality_legend(style: StyleEvaluation) -> list[str]:
    confidence = style.mean_confidence
    area = "" if confidence is None else f", over {100 * confidence:.0f} percent of the area"
    return [
        "error 1, 10   squared difference of pixel values (0 to 1) to the frame 1 and 10 before, moved along the",
        f"              content's motion (Farneback), mean{area}",
        f"sharpness     mean squared Laplacian, median; 1 is frame {style.first_cold_frame} as stylized",
        "luma drift    change of mean luma (0 to 255) per 100 frames beyond the input's own",
        "loss          without the temporal term, median; content and style dimensionless",
        "axes          fine detail that is exactly horizontal or vertical, over that in all directions, median;",
        "              1 is even, more is a weave",
    ]


def _following_legend(style: StyleEvaluation) -> list[str]:
    compared = f"{style.start}:{style.stop}"
    followed = f"{style.followed_start}:{style.followed_stop}"
    which = f"frames {compared}" if compared == followed else f"frames {followed} of render and input, else {compared}"
    return [
        "light         correlation with the content in the colors of the style, both blurred by 6 percent of the",
        "              longer side; 1: bright and dark are where they are in the content",
        f"              ({which})",
        "change        the same of what has changed since the first of these frames, where the light has changed",
        "trail         difference of blurred color (0 to 255) to earlier frames, where the content is as it was then",
        f"luma          mean luma (0 to 255) of the finished frame at the input's darkest ({style.darkest_frame}) and "
        f"brightest ({style.brightest_frame})",
        "changed       where the content has changed since 12 frames before: squared difference of features (relu4_2)",
        "              to the content, over that of the independent frame",
        "color         difference of blurred color (0 to 255) to the independent frame, there and elsewhere",
        "-             cannot be measured: nothing has changed or come back, or the baseline is missing",
    ]

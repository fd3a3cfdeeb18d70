"""`tempera evaluate`: measure a render and compare it with simpler ways of stylizing."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import options
from pipeline.cli.options import parse_frames

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
    progress: options.ProgressChoice = "auto",
) -> None:
    """Measure temporal error, sharpness and losses of a render. Beside it: the input and simpler ways of stylizing."""
    from pipeline.cli.signals import cancelled_by_signals
    from pipeline.evaluate.plot import check_plot, draw
    from pipeline.runtime.reporters import make_reporter
    from pipeline.workflows.evaluate import evaluate as run_evaluate

    span = parse_frames(frames)
    if plot is not None:
        check_plot(plot)
    with cancelled_by_signals() as cancellation:
        found = run_evaluate(
            directory, frames=span, baselines=baselines, reporter=make_reporter(progress), cancellation=cancellation
        )
    if plot is not None:
        draw(found, plot)
    if as_json:
        sys.stdout.write(json.dumps(asdict(found), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        sys.stdout.write("\n".join(_table(found)))


_COLUMNS = (
    ("error 1", "1e-4", 12),
    ("error 10", "1e-4", 12),
    ("sharpness", "of first", 11),
    ("luma drift", "levels/100", 12),
    ("loss", "weighted", 10),
    ("content", "", 9),
    ("style", "", 10),
)


def _table(found: Evaluation) -> list[str]:
    lines = []
    for style in found.styles:
        lines += [
            f"{found.path}, style {style.style}: frames {style.start}:{style.stop} of {found.frame_count}, "
            f"{found.width_px}x{found.height_px} px",
            "",
            f"{'':<18}" + "".join(f"{name:>{width}}" for name, _, width in _COLUMNS),
            f"{'':<18}" + "".join(f"{unit:>{width}}" for _, unit, width in _COLUMNS),
            *(_line(row) for row in style.rows),
            "",
            *_legend(style),
            "",
        ]
    return lines


def _line(row: Row) -> str:
    cells = (
        _number(row.temporal_error, "{:.2f}", 1e4),
        _number(row.long_error, "{:.2f}", 1e4),
        _number(row.sharpness, "{:.3f}"),
        _number(row.luma_drift, "{:+.2f}"),
        _number(row.loss, "{:.4f}"),
        _number(row.content_loss, "{:.4f}"),
        _number(row.style_loss, "{:.5f}"),
    )
    return f"{row.name:<18}" + "".join(f"{cell:>{width}}" for cell, (_, _, width) in zip(cells, _COLUMNS, strict=True))


def _legend(style: StyleEvaluation) -> list[str]:
    confidence = style.mean_confidence
    area = "" if confidence is None else f", over {100 * confidence:.0f} percent of the area"
    return [
        "error 1, 10   squared difference of pixel values (0 to 1) to the frame 1 and 10 before, moved along the",
        f"              content's motion (Farneback), mean{area}",
        f"sharpness     mean squared Laplacian, median; 1 is frame {style.first_cold_frame} as stylized",
        "luma drift    change of mean luma (0 to 255) per 100 frames beyond the input's own",
        "loss          without the temporal term, median; content and style dimensionless",
    ]


def _number(value: float | None, form: str, scale: float = 1.0) -> str:
    return "-" if value is None else form.format(value * scale)

"""An evaluation as a plot: temporal errors, sharpness, luma, loss, and how the content is followed, by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import MissingPartError, UsageError, WriteError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.evaluate.figures import Evaluation, Row, RowName, StyleEvaluation

SUFFIXES = (".png", ".svg")
DOTS_PER_INCH = 110

# The colors of Okabe and Ito, which can be told apart with any color vision.
_COLORS: dict[RowName, str] = {
    "render": "#0072B2",
    "input": "#000000",
    "independent": "#D55E00",
    "warm without flow": "#E69F00",
}
_PANELS = (
    ("temporal_error", "temporal error, 1 frame", "log"),
    ("long_error", "temporal error, 10 frames", "log"),
    ("sharpness", "sharpness (mean squared Laplacian)", "linear"),
    ("luma", "mean luma since the first compared frame (levels)", "linear"),
    ("loss", "loss without the temporal term (the input's is far above)", "linear"),
    ("light", "light: correlation with the content in the style's colors", "linear"),
    ("change", "change of light since the first frame: correlation", "linear"),
    ("trail", "trail: difference where the content has come back (levels)", "linear"),
    ("changed_content", "content difference where it has changed (1: the independent frame)", "linear"),
    ("axis_ratio", "fine detail along the axes (1: even)", "linear"),
)


def check_plot(path: Path) -> None:
    """Check before the work that a plot can be drawn.

    Raises UsageError for another suffix than .png or .svg, MissingPartError without matplotlib.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot {path}: expected a .png or .svg", hint="for example --plot figures.png")
    try:
        import matplotlib.figure  # noqa: F401 - only whether it is installed
    except ImportError as error:
        raise MissingPartError(
            f"drawing needs matplotlib ({error})", hint="pip install 'tempera[plot]', or: pip install matplotlib"
        ) from None


def draw(evaluation: Evaluation, path: Path) -> None:
    """Write a plot with a column for each style, PNG or SVG by the suffix. Raises WriteError if that fails."""
    from matplotlib.figure import Figure

    shown = [panel for panel in _PANELS if any(_known(style, panel[0]) for style in evaluation.styles)]
    columns = len(evaluation.styles)
    figure = Figure(figsize=(9 * columns, 2.4 * len(shown) + 0.6), layout="constrained")
    axes = figure.subplots(len(shown), columns, squeeze=False, sharex="col")
    for column, style in enumerate(evaluation.styles):
        for row, (key, title, scale) in enumerate(shown):
            panel = axes[row][column]
            for line in reversed(style.rows):  # the render on top
                if points := _points(line, key, style.start):
                    x, y = zip(*points, strict=True)
                    panel.plot(x, y, color=_COLORS[line.name], label=line.name, lw=1.4, marker=".")
            panel.set_title(title, loc="left", fontsize=10)
            panel.set_yscale(scale)
            panel.grid(alpha=0.3)
        axes[0][column].legend(fontsize=9, title=style.style)
        axes[-1][column].set_xlabel("frame")
        axes[-1][column].xaxis.get_major_locator().set_params(integer=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DOTS_PER_INCH)
    except OSError as error:
        raise WriteError(
            f"{path}: cannot be written ({error.strerror})", hint="choose another name with --plot"
        ) from None


def _points(row: Row, key: str, start: int) -> list[tuple[int, float]]:
    """Frames and values of one line; none for the loss of the input, far above all others."""
    if key == "loss" and row.name == "input":
        return []
    points = [(each.frame, getattr(each, key)) for each in row.frames if getattr(each, key) is not None]
    if key != "luma":
        return points
    first = next(value for frame, value in points if frame >= start)
    return [(frame, value - first) for frame, value in points]


def _known(style: StyleEvaluation, key: str) -> bool:
    return any(_points(row, key, style.start) for row in style.rows)

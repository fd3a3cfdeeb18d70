"""The losses of one frame by evaluation, as a table and as a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.errors import MissingPartError
from pipeline.evaluate.plot import check_plot
from pipeline.explain.page import Section
from pipeline.optimize.objective import TERMS

_TEXT: Final = (
    "The losses say how far the picture still is from what is wanted, after every evaluation: content from the shapes "
    "of your photo, style from the strokes and colors of the style image, tv from smoothness, light from the photo's "
    "broad light and shade. A step up at a dotted line is a new, larger scale, which begins with fresh noise."
)
_DOTS_PER_INCH: Final = 110
_BLUE, _GRAY = "#0072B2", "#999999"


@dataclass(frozen=True, slots=True)
class LossStep:
    """The losses after an evaluation (from 1, counted on over all scales) at a scale (from 1) of this size.

    `terms` are those of `TERMS`, dimensionless and unweighted; `loss` is the weighted sum, in which the content weighs
    less at the coarse scales.
    """

    evaluation: int
    scale: int
    width_px: int
    height_px: int
    loss: float
    terms: tuple[float, ...]


def write_losses(folder: Path, steps: Sequence[LossStep], note: Callable[[str], None]) -> Section:
    """Write the table, and the plot if matplotlib is installed, else a note about it. Raises OSError."""
    (folder / "losses.csv").write_text(losses_csv(steps), encoding="utf-8")
    files = ["losses.csv"]
    try:
        check_plot(folder / "losses.png")
    except MissingPartError as error:
        note(f"losses.png is left out: {error.message}; {error.hint}")
    else:
        draw_losses(steps, folder / "losses.png")
        files.insert(0, "losses.png")
    return Section("How the losses fall", _TEXT, tuple(files))


def losses_csv(steps: Sequence[LossStep]) -> str:
    """A line for each evaluation, with a heading."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("evaluation", "scale", "width_px", "height_px", "loss", *TERMS))
    for step in steps:
        values = (f"{value:.6g}" for value in (step.loss, *step.terms))
        table.writerow((step.evaluation, step.scale, step.width_px, step.height_px, *values))
    return text.getvalue()


def draw_losses(steps: Sequence[LossStep], path: Path) -> None:
    """Write a PNG with a panel for the loss and each term that is not 0; needs matplotlib. Raises OSError."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    terms = [(name, [step.terms[at] for step in steps]) for at, name in enumerate(TERMS)]
    panels = [("loss: the weighted sum, which is minimized", [step.loss for step in steps])]
    panels += [(name, values) for name, values in terms if any(values)]
    figure = Figure(figsize=(9, 1.9 * len(panels) + 0.6), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, sharex="col")[:, 0]
    scales = sorted({step.scale for step in steps})
    for panel, (title, values) in zip(axes, panels, strict=True):
        for scale in scales:
            line = [(step.evaluation, value) for step, value in zip(steps, values, strict=True) if step.scale == scale]
            panel.plot(*zip(*line, strict=True), color=_BLUE, lw=1.6)
            if scale > 1:
                panel.axvline(line[0][0] - 0.5, color=_GRAY, lw=0.8, ls=":")
        panel.set_title(title, loc="left", fontsize=10)
        panel.set_yscale("log", nonpositive="mask")
        panel.yaxis.set_major_formatter(LogFormatter())
        panel.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.2, 0.5)))
        panel.grid(alpha=0.3)
    for scale in scales:
        own = [step for step in steps if step.scale == scale]
        middle = (own[0].evaluation + own[-1].evaluation) / 2
        label, place = f"{own[0].width_px}x{own[0].height_px} px", axes[0].get_xaxis_transform()
        axes[0].text(middle, 0.95, label, transform=place, ha="center", va="top", fontsize=8)
    axes[-1].set_xlabel("evaluation")
    axes[-1].xaxis.get_major_locator().set_params(integer=True)
    figure.savefig(path, dpi=_DOTS_PER_INCH)

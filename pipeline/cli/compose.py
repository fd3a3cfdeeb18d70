"""`tempera compose`: several renders of one input in layers, without stylizing again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options
from pipeline.cli.options import parse_span
from pipeline.cli.printing import print_paths


def compose(
    composition: Annotated[Path, typer.Argument(help="A YAML file: layers, detail, grade.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The video to write, out/%05d.png, or for a photo one image.")
    ] = None,
    frames: options.Span = None,
    sheet: Annotated[Path | None, typer.Option(help="Show each layer and the sum on this sheet, a .png.")] = None,
    at: Annotated[list[int], typer.Option(help="Frame of the sheet; several make several rows.")] = [0],  # noqa: B006 - typer copies it
    assignments: Annotated[
        list[str],
        typer.Option("--set", help="Any setting of the composition: layers.0.opacity=0.5.", metavar="<key=value>"),
    ] = [],  # noqa: B006 - typer copies it
    progress: options.ProgressChoice = "auto",
) -> None:
    """Lay renders of one input over each other, with masks, detail and grade. Nothing is stylized again."""
    from pipeline.cli.signals import cancelled_by_signals
    from pipeline.config.composition import load_composition
    from pipeline.errors import UsageError
    from pipeline.runtime.reporters import make_reporter
    from pipeline.workflows.compose.compose import compose as run_compose
    from pipeline.workflows.compose.compose import write_sheet
    from pipeline.workflows.compose.composition import open_composition

    if output is None and sheet is None:
        raise UsageError("nothing to write", hint="name the video with -o, or a sheet with --sheet")
    chosen = parse_span(frames)
    settings = load_composition(composition, assignments)
    reporter = make_reporter(progress)
    with cancelled_by_signals() as cancellation:
        opened = open_composition(settings, reporter, cancellation)
        written = []
        if sheet is not None:
            written.append(write_sheet(opened, sheet, list(dict.fromkeys(at)), reporter, cancellation))
        if output is not None:
            written.append(run_compose(opened, output, reporter, cancellation, frames=chosen))
    print_paths(written)

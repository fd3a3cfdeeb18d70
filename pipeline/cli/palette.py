"""`tempera palette`: the main colors of an input, by name, and as a file for other programs."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options
from pipeline.cli.options import parse_frames
from pipeline.cli.printing import print_json


def palette(
    inputs: options.Inputs,
    colors: Annotated[int, typer.Option("--colors", min=2, max=256, help="Number of colors.")] = 8,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Also write them: .png, .gpl (GIMP), .ase (Adobe) or .json.", show_default=False
        ),
    ] = None,
    frames: options.Frames = None,
    progress: options.ProgressChoice = "auto",
    as_json: options.AsJson = False,
) -> None:
    """List the main colors of an image, a video or photos."""
    from pipeline.media.image.swatch import check_suffix, write_swatches
    from pipeline.runtime.reporters import make_reporter
    from pipeline.workflows.palette import find_palette

    if output is not None:
        check_suffix(output)
    swatches = find_palette(inputs, colors, make_reporter(progress), frames=parse_frames(frames))
    if output is not None:
        write_swatches(output, swatches)
    if as_json:
        print_json([asdict(swatch) for swatch in swatches])
        return
    for swatch in swatches:
        sys.stdout.write(f"{swatch.hex}  {swatch.fraction:6.1%}  {swatch.name}\n")

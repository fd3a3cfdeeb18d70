"""`tempera preview`: frames as the video will show them, before the render."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options
from pipeline.cli.options import parse_frames, with_shortcuts

PREVIEW_SIDE_PX = 384
"""Longer side of a preview's images unless --width or --height is given: seconds each, and large enough to judge."""


def preview(
    inputs: options.Inputs,
    style: options.Styles,
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet to write, a .png.")],
    sweep: Annotated[
        list[str],
        typer.Option(help="Try several values of one setting.", metavar="KEY=V1,V2,..."),
    ] = [],  # noqa: B006 - typer copies it
    at: Annotated[list[int], typer.Option(help="Frame to stylize; several make several rows.")] = [0],  # noqa: B006
    run_up: Annotated[
        int,
        typer.Option(
            min=0,
            max=10_000,
            help="Stylize so many frames before each too, as a render does: strokes and colors then come from "
            "there. 0: every frame by itself.",
            metavar="N",
        ),
    ] = 8,
    width: options.Width = None,
    height: options.Height = None,
    frames: options.Frames = None,
    encoder: options.EncoderChoice = None,
    weights: options.Weights = None,
    device: options.DeviceChoice = None,
    seed: options.Seed = None,
    assignments: options.Assignments = [],  # noqa: B006 - typer copies it
    progress: options.ProgressChoice = "auto",
) -> None:
    """Show a few frames as the video will have them, in a few styles on one sheet.

    To choose before the long render.
    """
    from pipeline.config.settings import OutputSettings
    from pipeline.errors import UsageError, WriteError
    from pipeline.media.image.arrays import fit_size
    from pipeline.media.image.png import save_png
    from pipeline.media.reader.source import probe
    from pipeline.media.reader.thumbnails import Thumbnails
    from pipeline.media.writer.target import check_output
    from pipeline.runtime.reporters import make_reporter
    from pipeline.workflows.output_names import refuse_input
    from pipeline.workflows.prepare import THUMBNAIL_SIDE_PX
    from pipeline.workflows.preview import preview as run_preview
    from pipeline.workflows.preview import variants

    if output.suffix.lower() != ".png":
        raise UsageError(f"-o {output}: expected a .png", hint="for example -o sheet.png")
    if len(sweep) > 1:
        raise UsageError(
            f"--sweep is given {len(sweep)} times: expected one setting",
            hint="vary one setting and fix the others with --set, or give several --style",
        )
    sets = with_shortcuts(assignments, encoder=encoder, device=device, seed=seed)
    columns = variants(style, sweep[0] if sweep else None, sets, run_up=run_up)
    with Thumbnails(THUMBNAIL_SIDE_PX) as thumbnails:
        read = columns[0].config.input
        source = probe(inputs, read, frames=parse_frames(frames), digest=False, thumbnails=thumbnails)
        refuse_input(output, source)
        check_output(output, OutputSettings(), frame_count=1)
        if width is None and height is None:
            landscape = source.width_px >= source.height_px
            width, height = (PREVIEW_SIDE_PX, None) if landscape else (None, PREVIEW_SIDE_PX)
        size = fit_size(source.width_px, source.height_px, width, height)
        sheet = run_preview(
            source,
            columns,
            list(dict.fromkeys(at)),
            width_px=size[0],
            height_px=size[1],
            weights=weights,
            reporter=make_reporter(progress),
            thumbnails=thumbnails,
            run_up=run_up,
        )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        save_png(output, sheet)
    except OSError as error:
        raise WriteError(
            f"{output}: cannot be written ({error.strerror})", hint="choose another name with -o"
        ) from None
    sys.stdout.write(f"{output}\n")

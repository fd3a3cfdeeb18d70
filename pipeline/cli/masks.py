"""`tempera masks`: what masks cover, before the render."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options
from pipeline.cli.options import parse_frames

SHEET_SIDE_PX = 480
"""Longer side of the images unless --width or --height is given."""


def masks(
    inputs: options.Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet to write, a .png.")],
    style: Annotated[
        str | None, typer.Option("--style", "-s", help="Show the masks of the regions of this style.")
    ] = None,
    mask: Annotated[
        list[str],
        typer.Option(help="Show this mask: its settings as YAML, or a .yaml file.", metavar="YAML"),
    ] = [],  # noqa: B006 - typer copies it
    at: Annotated[list[int], typer.Option(help="Frame to show; several make several rows.")] = [0],  # noqa: B006
    width: options.Width = None,
    height: options.Height = None,
    frames: options.Frames = None,
    assignments: options.Assignments = [],  # noqa: B006 - typer copies it
    progress: options.ProgressChoice = "auto",
) -> None:
    """Show what masks cover on a few frames. Where a mask is carried along the flow, also how certain it is."""
    from pipeline.cli.signals import cancelled_by_signals
    from pipeline.config.catalog import load_style
    from pipeline.config.mask_text import EXAMPLE, load_mask
    from pipeline.config.reading import settings_without_style
    from pipeline.config.settings import OutputSettings
    from pipeline.errors import UsageError, WriteError
    from pipeline.media.image.png import save_png
    from pipeline.media.reader.thumbnails import Thumbnails
    from pipeline.media.writer.target import check_output
    from pipeline.runtime.reporters import make_reporter
    from pipeline.workflows.input.alignment import aligned_input
    from pipeline.workflows.input.framing import picture_size
    from pipeline.workflows.masks.sheet import mask_sheet, refuse_masks, style_masks
    from pipeline.workflows.output.names import refuse_input
    from pipeline.workflows.prepare import THUMBNAIL_SIDE_PX

    if output.suffix.lower() != ".png":
        raise UsageError(f"-o {output}: expected a .png", hint="for example -o sheet.png")
    if (style is None) == (not mask):
        raise UsageError("expected either --style or --mask", hint=EXAMPLE)
    config = settings_without_style(assignments) if style is None else load_style(style, assignments)
    shown = style_masks(config) if style else {" ".join(text.split()): load_mask(text) for text in mask}
    with cancelled_by_signals() as cancellation, Thumbnails(THUMBNAIL_SIDE_PX) as thumbnails:
        reporter, span = make_reporter(progress), parse_frames(frames)
        source = aligned_input(inputs, config.input, reporter, cancellation, frames=span, thumbnails=thumbnails)
        refuse_input(output, source)
        refuse_masks(output, shown)
        check_output(output, OutputSettings(), frame_count=1)
        sheet = mask_sheet(
            source,
            config,
            shown,
            list(dict.fromkeys(at)),
            size_px=picture_size(source, width, height, SHEET_SIDE_PX),
            reporter=reporter,
            cancellation=cancellation,
            thumbnails=thumbnails,
        )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        save_png(output, sheet)
    except OSError as error:
        raise WriteError(
            f"{output}: cannot be written ({error.strerror})", hint="choose another name with -o"
        ) from None
    sys.stdout.write(f"{output}\n")

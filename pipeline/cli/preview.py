"""`tempera preview`: frames as the video will show them, before the render."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import options
from pipeline.cli.options import parse_frames, with_shortcuts
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.types import Source

PREVIEW_SIDE_PX = 384
"""Longer side of a preview's images unless --width or --height is given: seconds each, and large enough to judge."""


def preview(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="A video, a folder of photos, a glob, a %04d pattern, or photos; with --promote a sheet.",
            show_default=False,
        ),
    ],
    style: options.Styles = [],  # noqa: B006 - typer copies it
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The sheet to write, a .png or an .html.")
    ] = None,
    sweep: Annotated[
        list[str],
        typer.Option(
            help="Try several values of one setting. A second time: a grid, the first setting across and the second "
            "down.",
            metavar="<key=v1,v2,...>",
        ),
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
    crop: Annotated[
        str | None,
        typer.Option(
            help="Stylize at the size of the render and show this part of it, pixel for pixel: the center, or "
            "with its corner at X, Y in px, or from 0% (left, top) to 100% (right, bottom).",
            metavar="WxH[+X+Y]",
        ),
    ] = None,
    width: options.Width = None,
    height: options.Height = None,
    frames: options.Frames = None,
    encoder: options.EncoderChoice = None,
    weights: options.Weights = None,
    device: options.DeviceChoice = None,
    seed: options.Seed = None,
    assignments: options.Assignments = [],  # noqa: B006 - typer copies it
    fresh: Annotated[bool, typer.Option("--fresh", help="Stylize again what an earlier sheet has.")] = False,
    promote: Annotated[
        tuple[str, Path] | None,
        typer.Option(help="Write the config of a cell of the sheet INPUT as a new style.", metavar="CELL FILE.yaml"),
    ] = None,
    progress: options.ProgressChoice = "auto",
) -> None:
    """Show a few frames as the video will have them, in a few styles on one sheet.

    To choose before the long render. Then keep a cell as a style: tempera preview sheet.png --promote B2 mine.yaml
    """
    if promote is not None:
        _promote(inputs, *promote, others=bool(style or output or sweep))
        return
    from pipeline.media.reader.thumbnails import Thumbnails
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.reporters import make_reporter
    from pipeline.workflows.input.alignment import aligned_input
    from pipeline.workflows.input.framing import cropped, picture_size
    from pipeline.workflows.prepare import THUMBNAIL_SIDE_PX, render_size
    from pipeline.workflows.preview.cells import StylizedCells, cells_folder
    from pipeline.workflows.preview.crop import parse_crop
    from pipeline.workflows.preview.preview import preview as run_preview
    from pipeline.workflows.preview.sheet import arrange
    from pipeline.workflows.preview.sheet_file import write_sheet
    from pipeline.workflows.preview.sweep import parse_sweeps, variants

    output = _checked_output(style, output)
    sets = with_shortcuts(assignments, encoder=encoder, device=device, seed=seed)
    sweeps = parse_sweeps(sweep, run_up=run_up)
    compared = variants(style, sweeps, sets)
    part = None if crop is None else parse_crop(crop)
    wanted = list(dict.fromkeys(at))
    reporter = make_reporter(progress)
    with Thumbnails(THUMBNAIL_SIDE_PX) as thumbnails:
        read = compared[0].config.input
        span = parse_frames(frames)
        source = aligned_input(inputs, read, reporter, Cancellation(), frames=span, thumbnails=thumbnails)
        _check_target(output, source)
        if part is None:
            size = picture_size(source, width, height, PREVIEW_SIDE_PX)
        else:
            source = cropped(source, width, height, read)
            size = render_size(source, width, height, reporter)
        images = run_preview(
            source,
            [variant.config for variant in compared],
            wanted,
            width_px=size[0],
            height_px=size[1],
            weights=weights,
            reporter=reporter,
            thumbnails=thumbnails,
            run_up=run_up,
            crop=part,
            cells=StylizedCells(cells_folder()),
            fresh=fresh,
        )
    given = {"--width": width, "--height": height, "--frames": frames, "--weights": weights}
    arguments = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    sheet = arrange(images, compared, wanted, sweeps, [*inputs, *arguments], full_size=part is not None)
    write_sheet(output, sheet)
    sys.stdout.write(f"{output}\n")


def _promote(inputs: list[str], cell: str, config_path: Path, *, others: bool) -> None:
    from pipeline.workflows.preview.sheet_file import promote

    if others or len(inputs) != 1:
        raise UsageError(
            "--promote takes a cell of one sheet, and no other options",
            hint="for example: tempera preview sheet.png --promote B2 mine.yaml",
        )
    promote(Path(inputs[0]), cell, config_path)
    sys.stdout.write(f"{config_path}\n")


def _checked_output(style: list[str], output: Path | None) -> Path:
    """Raise UsageError unless there are styles and an output that can hold a sheet."""
    from pipeline.workflows.preview.sheet_file import SUFFIXES

    if not style:
        raise UsageError("--style is missing", hint="for example --style swirl; `tempera styles` lists those that ship")
    if output is None:
        raise UsageError("-o is missing", hint="for example -o sheet.png, or -o sheet.html")
    if output.suffix.lower() not in SUFFIXES:
        raise UsageError(f"-o {output}: expected a .png or an .html", hint="for example -o sheet.png")
    return output


def _check_target(output: Path, source: Source) -> None:
    """Raise the error of an output that would replace the input or that cannot be written, before the work."""
    from pipeline.config.settings import OutputSettings
    from pipeline.media.writer.target import check_output
    from pipeline.workflows.output.names import refuse_input

    image = output
    if output.suffix.lower() == ".png":
        refuse_input(output, source)
    elif output.is_dir():
        raise UsageError(f"-o {output}: is a folder", hint="name the file: for example -o sheet.html")
    else:
        image = output.with_name(f"{output.name}.png")  # a page needs what an image needs: a folder to write in
    check_output(image, OutputSettings(), frame_count=1)

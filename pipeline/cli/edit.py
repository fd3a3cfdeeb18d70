"""`tempera edit`: touch up stored frames."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options
from pipeline.cli.printing import print_paths


def edit(
    directory: options.Directory,
    version: Annotated[
        int | None, typer.Argument(help="With --undo: which edit; by default the latest.", show_default=False)
    ] = None,
    take_out: Annotated[
        int | None, typer.Option("--export", metavar="N", help="Write stored frame N as a PNG, before the finish.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="With --export: the PNG to write.")] = None,
    frame: Annotated[
        int | None, typer.Option("--frame", metavar="N", help="Put frame N back as the picture of --with.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--with", metavar="FILE", help="The changed frame, of the same size.")
    ] = None,
    style: Annotated[str | None, typer.Option("--style", "-s", help="Which style, if there are several.")] = None,
    until: Annotated[
        int | None,
        typer.Option(metavar="M", help="The last frame that follows from the edit. [default: before the next cut]"),
    ] = None,
    blend: Annotated[
        int | None,
        typer.Option(min=0, metavar="K", help="Before --until, so many frames blend into what is kept. [default: 8]"),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take an edit back.")] = False,
    as_list: Annotated[bool, typer.Option("--list", help="List the edits.")] = False,
    progress: options.ProgressChoice = "auto",
) -> None:
    """Touch up a stored frame; what follows from it is stylized anew. --export it, paint, and put it back --with."""
    from pipeline.errors import UsageError
    from pipeline.runtime.reporters import make_reporter
    from pipeline.store.directory import RenderDirectory, resume_command
    from pipeline.store.edits import describe_edit, stored_edits
    from pipeline.workflows import edit as edits

    chosen = [take_out is not None, frame is not None, undo, as_list]
    wrong = [
        name
        for name, given, needs in (
            ("--output", output is not None, take_out is not None),
            ("--with", picture is not None, frame is not None),
            ("--until", until is not None, frame is not None),
            ("--blend", blend is not None, frame is not None),
            ("a version", version is not None, undo),
            ("--style", style is not None, take_out is not None or frame is not None),
        )
        if given and not needs
    ]
    if sum(chosen) != 1 or wrong or (frame is not None and picture is None):
        what = f"{wrong[0]} does not belong here" if wrong and sum(chosen) == 1 else "expected one thing to do"
        raise UsageError(
            f"edit: {what}", hint="--export N, or --frame N --with FILE, or --undo [VERSION], or --list; see --help"
        )
    if as_list:
        render = RenderDirectory.open(directory)
        lines = [f"{describe_edit(render, it)} ({it.made})" for it in stored_edits(render)]
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        return
    if take_out is not None:
        print_paths([edits.take_out_frame(directory, take_out, output, style=style)])
        return
    reporter = make_reporter(progress)
    if frame is not None and picture is not None:
        edits.put_back_frame(directory, frame, picture, reporter, style=style, until=until, blend=blend)
    else:
        edits.undo(directory, version, reporter)
    sys.stdout.write(f"go on with: {resume_command(directory)}\n")

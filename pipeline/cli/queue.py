"""`tempera queue`: many inputs in many styles."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import options
from pipeline.cli.options import with_shortcuts
from pipeline.cli.printing import print_json, print_paths

if TYPE_CHECKING:
    from pipeline.config.queue import QueueFile


def queue(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="A queue file (.yaml); or photos, videos, folders and globs. Every photo of a list or a glob is an "
            "input by itself; a folder is a clip unless --each is given.",
            show_default=False,
        ),
    ],
    style: Annotated[
        list[str], typer.Option("--style", "-s", help="A shipped style, a .yaml file, or an image; give several.")
    ] = [],  # noqa: B006 - typer copies it
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of all results. [default: name of the queue file, beside it]"),
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Every photo and video of a folder is an input by itself.")
    ] = False,
    width: options.Width = None,
    height: options.Height = None,
    encoder: options.EncoderChoice = None,
    weights: options.Weights = None,
    device: options.DeviceChoice = None,
    seed: options.Seed = None,
    assignments: options.Assignments = [],  # noqa: B006 - typer copies it
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove the stored frames of a job when its result is written and checked.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print jobs, time and disk space, and write nothing.")
    ] = False,
    as_json: options.AsJson = False,
    progress: options.ProgressChoice = "auto",
) -> None:
    """Render every INPUT in every style, as one job that goes on when the same command is given again.

    A queue file looks like this:

    \b
    inputs: [photos/*.jpg, {path: clip.mp4, width: 960}]
    styles: [swirl, ink, {style: my.jpg, name: mine, set: {losses.content.weight: 2}}]
    output: {folder: gallery, name: "{input}-{style}", still: png, video: mp4}
    width: 1024
    set: {seed: 3}
    skip: [{input: clip, style: ink}]
    """
    from pipeline.cli.signals import cancelled_by_signals
    from pipeline.runtime.reporters import make_reporter
    from pipeline.workflows.queue.jobs import make_queue

    file, home, folder = _queue_file(inputs, style, output, each=each)
    if width is not None or height is not None:
        file = file.model_copy(update={"width": width, "height": height})
    sets = with_shortcuts(assignments, encoder=encoder, device=device, seed=seed)
    jobs = make_queue(file, home, folder, assignments=sets, weights=weights)
    if dry_run:
        from pipeline.stylers.loaded import Loaded
        from pipeline.workflows.queue.forecast import forecast

        found = forecast(jobs, Loaded(), clean=clean)
        if as_json:
            print_json({**asdict(found), "words": found.in_words()})
        else:
            sys.stdout.write("".join(f"{line}\n" for line in found.lines()))
        return
    from pipeline.workflows.queue.run import run_queue

    with cancelled_by_signals() as cancellation:
        result = run_queue(jobs, make_reporter(progress), cancellation, clean_up=clean)
    if as_json:
        sys.stdout.write(result.report.read_text(encoding="utf-8"))
    else:
        print_paths([*result.sheets, result.page])
    result.raise_if_failed()


def _queue_file(
    inputs: list[str], styles: list[str], output: Path | None, *, each: bool
) -> tuple[QueueFile, Path, Path]:
    """The queue that the arguments mean, the folder that its paths start from, and the folder of its results.

    Raises UsageError for arguments that do not fit together.
    """
    from pipeline.config.queue import QueueFile, QueueInput, QueueStyle, read_queue
    from pipeline.errors import UsageError

    files = [Path(text) for text in inputs if text.lower().endswith((".yaml", ".yml"))]
    if not files:
        if output is None:
            raise UsageError("no folder for the results", hint="name one, as in -o gallery")
        entries = tuple(QueueInput(path=text, each=each or None) for text in inputs)
        return QueueFile(inputs=entries, styles=tuple(QueueStyle(style=name) for name in styles)), Path(), output
    if len(inputs) > 1 or styles or each:
        raise UsageError(
            f"{files[0]}: a queue file stands alone, without other inputs, --style and --each",
            hint="write inputs and styles into it",
        )
    (path,) = files
    file = read_queue(path)
    folder = output or path.parent / (file.output.folder or path.with_suffix("").name)
    return file, path.parent, folder

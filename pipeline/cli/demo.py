"""`tempera demo`: a whole render of the sample timelapse, without any download."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything.")] = Path("tempera-demo"),
    style: Annotated[str, typer.Option("--style", "-s", help="A shipped style, a .yaml file, or an image.")] = "swirl",
    progress: options.ProgressChoice = "auto",
) -> None:
    """Render the sample timelapse: a lake from dawn to night. Writes a video, frames and a side-by-side sheet."""
    from pipeline.cli.signals import cancelled_by_signals
    from pipeline.runtime.progress import describe_seconds
    from pipeline.runtime.reporters import make_reporter
    from pipeline.workflows.demo import demo as run_demo

    reporter = make_reporter(progress)
    began = time.monotonic()
    with cancelled_by_signals() as cancellation:
        found = run_demo(output, style, reporter, cancellation)
    reporter.note(f"done in {describe_seconds(time.monotonic() - began)}; the frames are in {found.frames}")
    sys.stdout.write(f"{found.video}\n{found.sheet}\n")

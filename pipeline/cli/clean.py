"""`tempera clean`: free disk space."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.cli import options


def clean(
    directory: options.Directory,
    frames: Annotated[
        bool,
        typer.Option(
            "--frames",
            help="Also remove the stored frames of styles whose video is written and verified.",
        ),
    ] = False,
    progress: options.ProgressChoice = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Remove caches and leftovers of crashes. With --frames also the frames of styles whose video is complete."""
    from pipeline.cli.signals import cancelled_by_signals
    from pipeline.runtime.reporters import make_reporter
    from pipeline.workflows.clean import clean as run_clean
    from pipeline.workflows.forecast.disk import in_words

    with cancelled_by_signals() as cancellation:
        freed = run_clean(directory, make_reporter(progress), cancellation, frames=frames)
    if as_json:
        sys.stdout.write(json.dumps({"freed": [asdict(entry) for entry in freed]}, indent=2) + "\n")
        return
    lines = [f"{entry.what}: {entry.files} files, {in_words(entry.size)}" for entry in freed]
    sys.stdout.write("\n".join([*lines, f"freed {in_words(sum(entry.size for entry in freed))}"]) + "\n")

"""`tempera clean`: give disk space back."""

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
            help="Also the painted frames, of styles whose video is written and verified. They are not kept.",
        ),
    ] = False,
    progress: options.ProgressChoice = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Remove caches and what crashes left behind; on request the frames whose video is safe."""
    from pipeline.cli.signals import graceful_stop
    from pipeline.errors import Interrupted
    from pipeline.runtime.progress import make_reporter
    from pipeline.workflows.clean import clean as run_clean
    from pipeline.workflows.space import in_words

    with graceful_stop() as stop:

        def raise_if_cancelled() -> None:
            if number := stop():
                raise Interrupted("no frame was removed", hint="clean again when you like", signal_number=number)

        freed = run_clean(directory, make_reporter(progress), frames=frames, before_frame=raise_if_cancelled)
    if as_json:
        sys.stdout.write(json.dumps({"freed": [asdict(entry) for entry in freed]}, indent=2) + "\n")
        return
    lines = [f"{entry.what}: {entry.files} files, {in_words(entry.size)}" for entry in freed]
    sys.stdout.write("\n".join([*lines, f"freed {in_words(sum(entry.size for entry in freed))}"]) + "\n")

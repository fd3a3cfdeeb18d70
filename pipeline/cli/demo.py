"""The command for the first minute: a whole render on the sample timelapse, without any download."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options

FRAMES = 48
MATCH_LIGHT = 0.75
"""The sample goes from dawn to night, and the painting should show it."""
SHOWN = (0, 12, 24, 36, 47)
"""Frames on the side-by-side picture."""


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything.")] = Path("tempera-demo"),
    style: Annotated[
        str, typer.Option("--style", "-s", help="A shipped style, a .yaml file, or a painting.")
    ] = "swirl",
    progress: options.ProgressChoice = "auto",
) -> None:
    """Render the sample timelapse: a lake from dawn to night. Leaves video, frames and a side-by-side picture."""
    from pipeline.cli.signals import graceful_stop
    from pipeline.config.catalog import load_style
    from pipeline.errors import WriteError
    from pipeline.media.image.contact_sheet import contact_sheet
    from pipeline.media.image.load import load_rgb
    from pipeline.media.image.png import save_png
    from pipeline.postprocess.finish import finish
    from pipeline.runtime.progress import describe_seconds, make_reporter
    from pipeline.sample.photos import write_sample
    from pipeline.store.directory import RenderDirectory
    from pipeline.workflows.prepare import RenderRequest
    from pipeline.workflows.render import render

    reporter = make_reporter(progress)
    photos = output / "photos"
    began = time.monotonic()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            f"{output}: cannot be made ({error.strerror})", hint="choose another folder with -o"
        ) from error
    if len(list(photos.glob("*.jpg"))) < FRAMES:
        with reporter.stage("making the sample timelapse", None):
            write_sample(photos, FRAMES)
    config = load_style(style, [f"output.finish.match_light={MATCH_LIGHT}"])
    video = output / f"sample-{config.name}.mp4"
    with graceful_stop() as stop:
        render(RenderRequest(inputs=(str(photos),), styles=(config,), output=video), reporter, stop)
    directory = RenderDirectory.open(video.with_suffix(".render"))
    chain = directory.plan.chains[0]
    files = sorted(photos.glob("*.jpg"))
    before, after = [], []
    for index in SHOWN:
        photo = load_rgb(files[index])
        painted = directory.read_frame(chain.id, index)
        before.append((f"photo {index}", photo))
        after.append((f"painted {index}", finish(painted, photo, config.output.finish, index=index, seed=config.seed)))
    sheet = contact_sheet([before, after])
    picture = output / f"sample-{config.name}.png"
    save_png(picture, sheet)
    reporter.note(f"done in {describe_seconds(time.monotonic() - began)}; the frames are in {directory.frames_path}")
    sys.stdout.write(f"{video}\n{picture}\n")

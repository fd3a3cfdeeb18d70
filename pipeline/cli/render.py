"""`tempera render` and `tempera resume`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options
from pipeline.cli.options import parse_fps, parse_frames, with_shortcuts
from pipeline.cli.printing import print_paths


def render(
    inputs: options.Inputs,
    style: options.Styles = [],  # noqa: B006 - typer copies it
    output: options.Output = None,
    width: options.Width = None,
    height: options.Height = None,
    frames: options.Frames = None,
    fps: options.Fps = None,
    encoder: options.EncoderChoice = None,
    weights: options.Weights = None,
    device: options.DeviceChoice = None,
    seed: options.Seed = None,
    assignments: options.Assignments = [],  # noqa: B006 - typer copies it
    workdir: Annotated[
        Path | None, typer.Option(help="Render directory. [default: OUTPUT without suffix + .render]")
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            help="The settings inside this file, which Tempera has exported; --style then says where its images are.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew; an old render is moved aside, not deleted.")
    ] = False,
    save_every: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=10_000,
            help="Keep the picture of every cold frame after each N evaluations, for `tempera explain`.",
            metavar="N",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what would be done, how long it takes and what it needs; do nothing."),
    ] = False,
    progress: options.ProgressChoice = "auto",
) -> None:
    """Stylize INPUT and write the video. The same command again continues."""
    from pipeline.cli.signals import cancelled_by_signals
    from pipeline.config.catalog import load_style
    from pipeline.runtime.reporters import make_reporter
    from pipeline.workflows.dry_run import dry_run as run_dry
    from pipeline.workflows.render import render as run_render
    from pipeline.workflows.request import RenderRequest

    sets = with_shortcuts(assignments, encoder=encoder, device=device, seed=seed, save_every=save_every)
    if like is None:
        styles = tuple(load_style(name, sets) for name in style)
    else:
        from pipeline.workflows.output.inside import like as like_file

        found = like_file(like, [Path(name) for name in style], sets, weights=weights)
        styles, weights = (found.style,), found.weights
        if width is None and height is None:
            width, height = found.width_px, found.height_px
    request = RenderRequest(
        inputs=tuple(inputs),
        styles=styles,
        output=output,
        width_px=width,
        height_px=height,
        frames=parse_frames(frames),
        fps=parse_fps(fps),
        weights=weights,
        workdir=workdir,
        fresh=fresh,
    )
    reporter = make_reporter(progress)
    if dry_run:
        sys.stdout.write("\n".join(run_dry(request, reporter)) + "\n")
        return
    with cancelled_by_signals() as cancellation:
        print_paths(run_render(request, reporter, cancellation, with_forecast=True))


def resume(
    directory: options.Directory, moved_to: options.MovedInput = None, progress: options.ProgressChoice = "auto"
) -> None:
    """Continue a render where it stopped."""
    from pipeline.cli.signals import cancelled_by_signals
    from pipeline.runtime.reporters import make_reporter
    from pipeline.workflows.resume import resume as run_resume

    with cancelled_by_signals() as cancellation:
        reporter = make_reporter(progress)
        print_paths(run_resume(directory, reporter, cancellation, moved_to=moved_to, with_forecast=True))

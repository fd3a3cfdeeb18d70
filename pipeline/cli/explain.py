"""`tempera explain`: what happens inside while a frame is stylized."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options
from pipeline.cli.options import with_shortcuts

EXPLAINED_SIDE_PX = 320
"""Longer side of the frame that is explained unless --width or --height is given: seconds for each picture."""


class Part(StrEnum):
    """A part of an explanation: typer takes several values of an enumeration, and not of a literal."""

    FEATURES = "features"
    LAYERS = "layers"
    GROWTH = "growth"
    LOSSES = "losses"


def explain(
    inputs: Annotated[
        list[str],
        typer.Argument(help="A photo or any other input, or a render made with --save-every.", show_default=False),
    ],
    style: Annotated[
        str | None, typer.Option("--style", "-s", help="A shipped style, a .yaml file, or an image.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The folder to write. [default: INPUT-STYLE.explain]", metavar="FOLDER"),
    ] = None,
    at: Annotated[int | None, typer.Option(help="Frame to explain. [default: the first]")] = None,
    layers: Annotated[
        str | None,
        typer.Option(help="Layers to show, as relu1_1,relu3_1. [default: those of the losses]", metavar="L1,L2,..."),
    ] = None,
    only: Annotated[
        list[Part],
        typer.Option(help="Only this part of the explanation; can be given several times."),
    ] = [],  # noqa: B006 - typer copies it
    width: options.Width = None,
    height: options.Height = None,
    encoder: options.EncoderChoice = None,
    weights: options.Weights = None,
    device: options.DeviceChoice = None,
    seed: options.Seed = None,
    assignments: options.Assignments = [],  # noqa: B006 - typer copies it
    progress: options.ProgressChoice = "auto",
) -> None:
    """See the machine think: what the network sees, what each layer gives, how the picture grows.

    Stylizes one frame and writes a folder with pictures, clips and a page that explains them.
    """
    from pipeline.cli.signals import cancelled_by_signals
    from pipeline.config.catalog import load_style
    from pipeline.errors import UsageError
    from pipeline.runtime.reporters import make_reporter
    from pipeline.workflows.explain_render import explain_render, is_render

    reporter = make_reporter(progress)
    if len(inputs) == 1 and is_render(path := Path(inputs[0])):
        given = (style, layers, width, height, encoder, weights, device, seed)
        if any(value is not None for value in given) or assignments or set(only) - {Part.GROWTH}:
            raise UsageError(
                f"{path}: of a render only the growth is shown, as it was stylized",
                hint="leave out all options but -o and --at; or explain its input, with --style",
            )
        folder = output or path.with_name(f"{path.name.removesuffix('.render')}.explain")
        with cancelled_by_signals() as cancellation:
            page = explain_render(path, folder, at=at, reporter=reporter, cancellation=cancellation)
        sys.stdout.write(f"{page}\n")
        return
    if style is None:
        raise UsageError("--style is missing", hint="for example --style swirl; only a render needs none")
    config = load_style(style, with_shortcuts(assignments, encoder=encoder, device=device, seed=seed))

    from pipeline.workflows.explain import PARTS
    from pipeline.workflows.explain import explain as run_explain
    from pipeline.workflows.input.alignment import aligned_input
    from pipeline.workflows.input.framing import picture_size
    from pipeline.workflows.output.names import input_name

    with cancelled_by_signals() as cancellation:
        source = aligned_input(inputs, config.input, reporter, cancellation)
        width_px, height_px = picture_size(source, width, height, EXPLAINED_SIDE_PX)
        page = run_explain(
            source,
            config,
            at or 0,
            output or Path(f"{input_name(source)}-{config.name}.explain"),
            width_px=width_px,
            height_px=height_px,
            layers=[name.strip() for name in (layers or "").split(",") if name.strip()],
            only=only or PARTS,
            weights=weights,
            reporter=reporter,
            cancellation=cancellation,
        )
    sys.stdout.write(f"{page}\n")

"""Options of several commands, and the parsing of their values."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.completion import propose_settings, propose_styles
from pipeline.encoders.registry import ENCODERS, encoder_names
from pipeline.errors import UsageError
from pipeline.media.reader import timing
from pipeline.types import FrameSlice


def _known_encoder(name: str | None) -> str | None:
    """Check the name of an encoder of the registry, listed or not. Raises typer.BadParameter for anything else."""
    if name is not None and name not in ENCODERS and name not in encoder_names():
        known = ", ".join(repr(listed) for listed in encoder_names())
        raise typer.BadParameter(f"{name!r} is not one of {known}.")
    return name


Device = Literal["auto", "cpu", "cuda", "mps"]
Progress = Literal["auto", "rich", "plain", "lines", "json", "none"]

Inputs = Annotated[
    list[str],
    typer.Argument(help="A video, a folder of photos, a glob, a %04d pattern, or photos.", show_default=False),
]
Styles = Annotated[
    list[str],
    typer.Option(
        "--style",
        "-s",
        help="A shipped style, a .yaml file, or an image. Several make several videos.",
        autocompletion=propose_styles,
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="The video to write, or out/%05d.png. [default: INPUT-STYLE.mp4]")
]
Width = Annotated[
    int | None, typer.Option(min=16, max=16384, help="Width of the stylized frames in px; the height follows.")
]
Height = Annotated[
    int | None, typer.Option(min=16, max=16384, help="Height of the stylized frames in px; the width follows.")
]
Frames = Annotated[
    str | None,
    typer.Option(
        help="Only frames A up to, not including, B; with a step, as ::10, every tenth.", metavar="A:B[:STEP]"
    ),
]
Span = Annotated[str | None, typer.Option("--frames", help="Only frames A up to, not including, B.", metavar="A:B")]
Fps = Annotated[str | None, typer.Option(help="Frames per second, as 24, 23.976 or 30000/1001.", metavar="R")]
EncoderChoice = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        help="Feature network; overrides the style's.",
        metavar=f"<{'|'.join(encoder_names())}>",
        callback=_known_encoder,
    ),
]
Weights = Annotated[Path | None, typer.Option(help="Local weights file of the feature network.")]
DeviceChoice = Annotated[Device | None, typer.Option("--device", help="Where to compute.")]
Seed = Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Another seed gives other strokes.")]
Assignments = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="Any setting of the style: section.key=value.",
        metavar="<key=value>",
        autocompletion=propose_settings,
    ),
]
ProgressChoice = Annotated[Progress, typer.Option("--progress", help="How to show progress on stderr.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Directory = Annotated[Path, typer.Argument(help="A render directory.", show_default=False)]
MovedInput = Annotated[
    Path | None, typer.Option("--input", help="Where the input is now, if it was moved; this is remembered.")
]


def parse_frames(text: str | None) -> FrameSlice | None:
    """The value of `--frames`, see `timing.parse_slice`."""
    return None if text is None else timing.parse_slice(text)


def parse_span(text: str | None) -> tuple[int | None, int | None] | None:
    """The value of a `--frames` that has no step. Raises UsageError for anything else."""
    found = parse_frames(text)
    if found is None:
        return None
    start, stop, *steps = found
    if steps:
        raise UsageError(
            f"--frames {text}: expected A:B", hint="every frame of a render counts here: leave out the step"
        )
    return start, stop


def parse_fps(text: str | None) -> Fraction | None:
    """The value of `--fps`, see `timing.parse_fps`."""
    return None if text is None else timing.parse_fps(text)


def with_shortcuts(
    assignments: Sequence[str],
    *,
    encoder: str | None = None,
    device: str | None = None,
    seed: int | None = None,
    save_every: int | None = None,
) -> list[str]:
    """`--set` assignments, preceded by those of `--encoder`, `--device`, `--seed` and `--save-every`."""
    short = {"encoder": encoder, "runtime.device": device, "seed": seed, "runtime.save_every": save_every}
    return [*(f"{key}={value}" for key, value in short.items() if value is not None), *assignments]

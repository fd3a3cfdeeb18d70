"""`tempera probe`: how an input is read."""

from __future__ import annotations

import sys

from pipeline.cli import options
from pipeline.cli.options import parse_fps, parse_frames
from pipeline.cli.printing import print_json


def probe(
    inputs: options.Inputs,
    frames: options.Frames = None,
    fps: options.Fps = None,
    assignments: options.Assignments = [],  # noqa: B006 - typer copies it
    as_json: options.AsJson = False,
) -> None:
    """Show how an input is read. Order, size, timing, gaps, cameras, exposure, color and audio, and warnings."""
    from pipeline.config.reading import settings_without_style
    from pipeline.workflows.probe import probe_report

    settings = settings_without_style(assignments).input
    report = probe_report(inputs, settings, frames=parse_frames(frames), fps=parse_fps(fps))
    if as_json:
        print_json(dict(report.data))
        return
    lines = [*report.rows.items()]
    lines += [("note", note) for note in report.notes] + [("warning", warning) for warning in report.warnings]
    sys.stdout.write("".join(f"{label:<9} {text}\n" for label, text in lines))

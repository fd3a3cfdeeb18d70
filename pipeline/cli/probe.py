"""`tempera probe`: how an input is read."""

from __future__ import annotations

import sys
from dataclasses import asdict

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
    """Show how an input is read. Order, size, timing, rotation, color, audio and gaps."""
    from pipeline.config.reading import settings_without_style
    from pipeline.media.reader.source import probe as run_probe

    settings = settings_without_style(assignments).input
    source = run_probe(inputs, settings, frames=parse_frames(frames), fps=parse_fps(fps))
    facts = asdict(source)
    if as_json:
        facts |= {"frame_count": source.frame_count, "duration_s": source.duration_s}
        print_json(facts)
        return
    steps = {later - earlier for earlier, later in zip(source.pts, source.pts[1:], strict=False)}
    timing = (
        "constant" if len(steps) <= 1 else f"variable, steps {min(steps)} to {max(steps)} ticks of {source.time_base} s"
    )
    color = source.color
    tags = [color.primaries, color.transfer, color.matrix]
    if color.full_range is not None:
        tags.append("full range" if color.full_range else "limited range")
    rows = {
        "input": source.path,
        "kind": f"{source.kind}, {source.frame_count} frames",
        "size": f"{source.width_px}x{source.height_px} px"
        + (f", rotated by {source.rotation_deg} degrees" if source.rotation_deg else ""),
        "rate": f"{float(source.frame_rate):.3f} fps, {timing}",
        "duration": f"{source.duration_s:.3f} s",
        "order": source.order,
        "color": ", ".join(tag for tag in tags if tag) or "not tagged",
        "audio": "yes" if source.has_audio else "no",
        "digest": source.digest,
    }
    lines = [f"{name:<9} {value}" for name, value in rows.items()] + [f"note      {note}" for note in source.notes]
    sys.stdout.write("\n".join(lines) + "\n")

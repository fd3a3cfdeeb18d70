"""How renders follow their footage: light, what enters, trails, fades and weave, clip by clip.

    python scripts/bench/following.py --data $TEMPERA_DATA --out FOLDER [--width 320] [--style swirl]
                                      [--clips fog,day,enters,sunset] [--frames 48] [--set KEY=VALUE]

`fog`, `day`, `fade_to_black`, `fade_from_black` and `enters` are made of photographs by `tests/support/following.py`
and written into the folder as PNG, `sample` is the timelapse of the demo, the others are read from the data. Every clip
is rendered as the command line does it, every eighth part of its frames is stylized independently too, and `pipeline.
evaluate` measures all frames. Renders stay in the folder and are continued; other settings need another folder.

Columns (as in `tempera evaluate`): `light` and `change`, correlations with the content in the colors of the style, mean
and worst; `changed`, squared difference of relu4_2 to the content where that has changed, over the independent frame's,
median and worst; `color`, difference of blurred color to the independent frame there and elsewhere, in levels; `trail`,
in levels; `darkest` and `brightest`, mean luma of the finished frame where the input has it, beside the input's; `axes`
(weave) of the render, the independent frames and the input; `error 1`, temporal error over the input's; sharpness over
the independent frames'; loss over theirs; median evaluations and seconds of warm frames. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.runtime.threads import BRIEF

os.environ.update(BRIEF)

from clips import MADE, NAMES, inputs_of, markdown, rendered, rounded, row_figures, speed
from machine import environment, write_report

from pipeline.config.catalog import load_style
from pipeline.runtime.reporters import make_reporter
from pipeline.store.directory import RenderDirectory

COLUMNS = (
    "clip",
    "frames",
    "light",
    "change",
    "changed",
    "color",
    "trail",
    "darkest",
    "brightest",
    "axes",
    "error 1",
    "sharpness",
    "loss",
    "evaluations",
    "warm s",
)
POSITIONS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    data = os.environ.get("TEMPERA_DATA")
    add("--data", type=Path, default=data, required=data is None, help="folder of the developer data (TEMPERA_DATA)")
    add("-o", "--out", type=Path, required=True, help="folder for clips, renders and independent frames")
    add("--width", type=int, default=320, help="px")
    add("--style", default="swirl", help="a style or a style image")
    add("--clips", default=",".join(NAMES), help=f"comma between: {', '.join(NAMES)}; `made` are those made here")
    add("--frames", type=int, default=48, help="at most so many of every clip")
    add("--set", action="append", default=[], help="a setting, key=value", dest="sets")
    add("--encoder", default="compact")
    add("--json", type=Path, help="where to write the JSON, for example scripts/bench/results/following.json")
    options = parser.parse_args()
    names = [known for name in options.clips.split(",") for known in (MADE if name == "made" else [name])]
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"--clips: {', '.join(unknown)}; expected {', '.join(NAMES)}")
    options.out.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in names:
        results[name] = measure(name, options)
        print(json.dumps({name: results[name]}), file=sys.stderr, flush=True)
    print(markdown(COLUMNS, [line(name, found) for name, found in results.items()]))
    report = {
        "benchmark": "following",
        "style": options.style,
        "width_px": options.width,
        "encoder": options.encoder,
        "sets": options.sets,
        "clips": results,
        "environment": environment(),
    }
    write_report(report, options.json)


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Render a clip and measure it."""
    config = load_style(options.style, [*options.sets, f"encoder={options.encoder}"])
    given = inputs_of(name, data=options.data, folder=options.out, width_px=options.width, count=options.frames)
    found = rendered(
        given,
        config,
        options.out / f"{name}-{config.name}-{options.width}.mp4",
        width_px=options.width,
        count=options.frames,
        cold_frames=sampled,
        reporter=make_reporter("plain"),
    )
    extremes = {"darkest_frame": found.figures.darkest_frame, "brightest_frame": found.figures.brightest_frame}
    return extremes | {"speed": speed(RenderDirectory.open(found.path)), "rows": row_figures(found.figures)}


def sampled(total: int) -> Sequence[int]:
    """The frames that are stylized independently too: about eight, evenly over the clip, up to the last one."""
    step = max(1, total // POSITIONS)
    return range(step - 1, total, step)


def line(name: str, found: dict[str, Any]) -> list[Any]:
    """A line of the table."""
    rows, taken = found["rows"], found["speed"]
    ours, alone, still = rows["render"], rows["independent"], rows["input"]
    return [
        name,
        taken["frames"],
        listed(ours["light"], ours["light_worst"]),
        listed(ours["change"], ours["change_worst"]),
        listed(ours["changed_content"], ours["changed_content_worst"]),
        listed(ours["changed_color"], ours["unchanged_color"], digits=1),
        listed(ours["trail"], digits=1),
        listed(ours["darkest_luma"], still["darkest_luma"], digits=0),
        listed(ours["brightest_luma"], still["brightest_luma"], digits=0),
        listed(ours["axis_ratio"], alone["axis_ratio"], still["axis_ratio"]),
        ratio(ours["temporal_error"], still["temporal_error"]),
        ratio(ours["sharpness"], alone["sharpness"]),
        ratio(ours["loss"], alone["loss"]),
        taken.get("warm_evaluations"),
        taken.get("warm_s"),
    ]


def listed(*values: float | None, digits: int = 2) -> str:
    """Values with a comma between."""
    return ", ".join("-" if value is None else f"{value:.{digits}f}" for value in values)


def ratio(value: float | None, unit: float | None) -> float | None:
    """`value` over `unit`, None where one is missing."""
    return rounded(value / unit) if value is not None and unit else None


if __name__ == "__main__":
    main()

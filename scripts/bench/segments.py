"""Segments of long shots: the temporal error where one segment ends and the next begins.

    python scripts/bench/segments.py --data $TEMPERA_DATA [--width 384] [--frames 48] [--segment 16]

Every clip is rendered whole and split into segments (keyframes first, then the segments from them). The temporal error
of `tempera evaluate` between neighboring frames is then compared: across the seams, in the frames before them in which
a segment approaches the next keyframe, and elsewhere. The target of `seam_over_median` is at most 1.5. With --keep the
renders stay, with a sheet of the frames around the seams. The last line of stdout is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from arguments import media_parser
from machine import environment, write_report
from numpy.typing import NDArray

from pipeline.analysis.tone_curve import tone_correction
from pipeline.config.catalog import load_style
from pipeline.evaluate.measures import measure_motion, sharpness, temporal_error
from pipeline.media.image.contact_sheet import contact_sheet
from pipeline.media.image.png import save_png
from pipeline.media.reader.source import read_frames
from pipeline.plan.paths import absolute_source
from pipeline.plan.segments import APPROACH_FRAMES
from pipeline.runtime.reporters import make_reporter
from pipeline.store.directory import RenderDirectory
from pipeline.workflows.render import render
from pipeline.workflows.request import RenderRequest

RGB = NDArray[np.uint8]
STYLE_IMAGE = "style/vangogh_starry_night_1889.jpg"
CLIPS = {
    "sunset": "timelapse/sunset_rpi",
    "webcam": "video/webcam_vfr.webm",
    "cockatoo": "video/cockatoo_yuv444_audio.mp4",
}


def main() -> None:
    parser = media_parser(__doc__)
    add = parser.add_argument
    add("--clips", nargs="+", choices=list(CLIPS), default=list(CLIPS))
    add("--width", type=int, default=384, help="px")
    add("--frames", type=int, default=48)
    add("--segment", type=int, default=16, help="frames of a segment")
    add("--keep", type=Path, help="folder for the renders and sheets")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.clips:
            results[name] = measure(name, folder, options)
            print(json.dumps({name: results[name]}), file=sys.stderr, flush=True)
    report = {"benchmark": "segments", "width_px": options.width, "segment_frames": options.segment, "clips": results}
    report["environment"] = environment()
    write_report(report, options.out)


def measure(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Render a clip whole and in segments, and measure both."""
    whole = rendered(name, folder, options, 0)
    segments = rendered(name, folder, options, options.segment)
    seams = [chain.start for chain in segments.plan.chains if chain.keyframe_chain and chain.start > 0]
    frames_of_input = contents(whole)
    motions = [
        measure_motion(*frames_of_input[i - 1 : i + 1], from_index=i - 1, to_index=i)
        for i in range(1, len(frames_of_input))
    ]
    figures: dict[str, Any] = {"frames": len(frames_of_input), "seams": seams}
    approaching = {index for seam in seams for index in range(seam - APPROACH_FRAMES, seam)}
    for kind, directory in (("whole", whole), ("segments", segments)):
        frames = output_frames(directory)
        errors = {
            index: error
            for index, motion in enumerate(motions, 1)
            if (error := temporal_error(frames[index - 1], frames[index], motion)) is not None
        }
        median = statistics.median(errors.values())
        figures[kind] = {
            "median": rounded(median),
            "seam_over_median": rounded(max(errors[seam] for seam in seams) / median),
            "approaching_over_median": rounded(
                statistics.median(errors[i] for i in approaching & errors.keys()) / median
            ),
            "sharpness_approaching_over_elsewhere": rounded(
                statistics.median(sharpness(frames[i]) for i in approaching if i >= 0)
                / statistics.median(sharpness(frame) for i, frame in enumerate(frames) if i not in approaching)
            ),
        }
        if options.keep:
            rows = [[(f"frame {i}", frames[i]) for i in range(seam - 2, seam + 2)] for seam in seams[:4]]
            save_png(folder / f"{name}-{kind}-seams.png", contact_sheet(rows))
    return figures


def rendered(name: str, folder: Path, options: argparse.Namespace, segment: int) -> RenderDirectory:
    config = load_style(
        str(options.data / STYLE_IMAGE), [f"motion.segment_frames={segment}", "encoder=compact", "input.cuts=none"]
    )
    output = folder / f"{name}-{segment}.mp4"
    request = RenderRequest(
        inputs=(str(options.data / CLIPS[name]),),
        styles=(config,),
        output=output,
        width_px=options.width,
        frames=(0, options.frames),
    )
    render(request, make_reporter("plain"))
    return RenderDirectory.open(output.with_suffix(".render"))


def output_frames(directory: RenderDirectory) -> list[RGB]:
    chains = {index: chain.id for chain in directory.plan.chains if chain.in_output for index in chain.frames}
    return [directory.read_frame(chains[index], index) for index in sorted(chains)]


def contents(directory: RenderDirectory) -> list[RGB]:
    plan = directory.plan
    source = absolute_source(plan, directory.path)
    corrected = tone_correction(plan.exposure)
    settings = load_style("swirl", []).input
    frames = read_frames(source, width_px=plan.width_px, height_px=plan.height_px, settings=settings)
    return [frame.rgb if corrected is None else corrected(frame.index, frame.rgb) for frame in frames]


def rounded(value: float) -> float:
    """Four digits."""
    return float(f"{value:.4g}")


if __name__ == "__main__":
    main()

"""How well a render is forecast: seconds, memory and disk against the truth, with and without earlier renders.

    python scripts/bench/forecast.py --data DATA [--clock wall|processor] [--rounds 2] [--out forecast.json]

Every clip is forecast and rendered at once after, each round in a process of its own: first with an empty cache folder
(`measured`: the forecast measures a few evaluations), then `remembered`, from what the rounds before took. `forecast_s`
and `truth_s` are from the forecast to the end of the video, `ratio` is the one over the other, and `measure_s` is what
the forecast itself took. With `--clock processor` all of these are processor time, forecast and truth, which other work
on the machine does not lengthen as much; `clock_s` is the truth by the clock in any case. `forecast_mb` is the memory
that the forecast says, `peak_mb` the largest resident size of the process; disk in bytes is that of the stored frames
and the video. `cold` and `warm` count frames as forecast, `anew` those that started anew. The last line on stdout is
JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from arguments import media_parser
from machine import environment, write_report

from pipeline.runtime.threads import limit_spinning, share_heap, use_huge_pages

STYLE = "style/vangogh_starry_night_1889.jpg"
CLIPS = {
    "sample": (None, 320, (0, 16)),
    "sunset": ("timelapse/sunset_rpi", 320, (0, 16)),
    "webcam": ("video/webcam_vfr.webm", 320, (0, 16)),
}
"""Input below DATA (None: the sample timelapse of the demo), width in px, and frames of every clip."""
SAMPLE_FRAMES = 48


def use_processor_time() -> None:
    """From now on everything in this process is timed in processor time, as if there were one thread."""
    import torch

    time.perf_counter = time.process_time
    torch.get_num_threads = lambda: 1  # what goes on on all threads takes as much processor time as on one


def one(data: Path, clip: str, folder: Path, clock: str) -> dict[str, Any]:
    """Forecast and render a clip in this process."""
    limit_spinning()  # as the command line does
    use_huge_pages()
    share_heap()
    if clock == "processor":
        use_processor_time()
    from pipeline.config.catalog import load_style
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import CallbackReporter, FrameProgress
    from pipeline.sample.photos import write_sample
    from pipeline.store.directory import RenderDirectory
    from pipeline.workflows.complete import complete
    from pipeline.workflows.forecast.forecast import forecast
    from pipeline.workflows.prepare import prepare
    from pipeline.workflows.request import RenderRequest

    name, width, frames = CLIPS[clip]
    if name is None:
        write_sample(folder / "photos", SAMPLE_FRAMES)
    source = folder / "photos" if name is None else data / name
    style = load_style(str(data / STYLE), ["encoder=compact"])
    request = RenderRequest(
        inputs=(str(source),), styles=(style,), output=folder / "out.mp4", width_px=width, frames=frames
    )
    seen: list[FrameProgress] = []
    reporter = CallbackReporter(seen.append)
    prepared = prepare(request, reporter)
    began = time.perf_counter()
    found = forecast(prepared)
    between, by_clock = time.perf_counter(), time.monotonic()
    complete(RenderDirectory.create(prepared.path, prepared.plan), prepared, reporter, Cancellation())
    truth_s, clock_s = time.perf_counter() - between, time.monotonic() - by_clock
    stored = sum(path.stat().st_size for path in (prepared.path / "frames").rglob("*.png"))
    assert found.seconds is not None and found.memory is not None
    return {
        "clip": clip,
        "size_px": [prepared.plan.width_px, prepared.plan.height_px],
        "cold": found.frames.cold,
        "warm": found.frames.warm,
        "anew": seen[-1].anew,
        "evaluations": round(sum(it.evaluations for it in seen if it.phase == "warm") / max(1, found.frames.warm), 1),
        "measure_s": round(between - began, 2),
        "forecast_s": round(found.seconds, 1),
        "truth_s": round(truth_s, 1),
        "ratio": round(found.seconds / truth_s, 2),
        "clock_s": round(clock_s, 1),
        "forecast_mb": round(found.memory.total / 1e6),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
        "forecast_disk": found.disk_bytes,
        "disk": stored + (folder / "out.mp4").stat().st_size,
    }


def in_process(data: Path, clip: str, cache: Path, clock: str) -> dict[str, Any]:
    """`one` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--data", str(data), "--one", clip, "--folder", folder, "--clock", clock]
        environ = {**os.environ, "TEMPERA_CACHE": str(cache)}
        output = subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def main() -> None:
    """See the docstring of the file."""
    parser = media_parser(__doc__)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--clips", nargs="+", choices=CLIPS, default=list(CLIPS))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--one", choices=CLIPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.data, options.one, options.folder, options.clock)))
        return
    rows = []
    for clip in options.clips:
        with tempfile.TemporaryDirectory() as cache:
            for number in range(options.rounds):
                basis = "remembered" if number else "measured"
                rows.append({"basis": basis, **in_process(options.data, clip, Path(cache), options.clock)})
                print(rows[-1], file=sys.stderr, flush=True)
    report = {"benchmark": "forecast", "machine": environment(), "clock": options.clock, "rows": rows}
    write_report(report, options.out)


if __name__ == "__main__":
    main()

"""Whole renders measured: evaluations, losses, temporal errors, sharpness and drift, clip by clip.

    python scripts/bench/motion.py --data DATA [--clips marple8 pan ...] [--width 448] [--frames N] [--out motion.json]
                                   [--encoder teacher --teacher vgg19_16x_se.safetensors] [--keep DIR] [--set KEY=VALUE]

Every clip is rendered by `workflows.render` and measured by `pipeline.evaluate`, whose `measures` define the figures.
`pan` and `still` are made here from one photograph: a camera that moves by whole pixels for a quarter of the clip and
by (1.27, 0.13) px per frame after that, and one that is static, with noise of 2 levels. The baselines have the same
style: every frame from the previous one without warping it; and independent frames (slow, so only some pairs of
neighbors and the last frames: `cold_frames`). Ratios to independent frames are of the same frames and pairs.

- `evaluations_median`, `evaluations_p90`: of warm frames; `restarts`: frames that began cold, without the first one.
- `loss_ratio`, `loss_ratio_end`: weighted loss without the temporal term, over that of the independent frame; median of
  the warm frames among the sampled ones, and of those in the last tenth of the clip.
- `independent_over_ours`, `without_flow_over_ours`, `input_over_ours`: temporal errors, 1 frame apart; `..._long`: 10.
- `sharpness`, `sharpness_end`: over that of the independent frame, like the loss; `sharpness_first`,
  `sharpness_first_end`: over that of the first frame.
- `luma_drift_ours`, `luma_drift_input`: change of mean luma in levels per 100 frames; `luma_drift`: by how much the
  first is larger than the second. (A stylized frame has its own light: that it does not follow the sun is no drift.)

`missed` lists the targets (TARGETS) that a clip does not reach. With --keep the renders stay, are continued when the
same command runs again, and get a plot and a contact sheet. A table goes to stderr, JSON is the last line of stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.runtime.threads import BRIEF

os.environ.update(BRIEF)

import cv2
import numpy as np
import torch
from arguments import media_parser
from encoder import PublishedTeacher
from machine import environment, write_report
from numpy.typing import NDArray

import pipeline.encoders
from pipeline.config.catalog import load_style
from pipeline.encoders.network import Encoder
from pipeline.evaluate.figures import FrameFigures, RowName, StyleEvaluation
from pipeline.evaluate.measures import drift_per_100_frames
from pipeline.evaluate.plot import draw
from pipeline.media.image.arrays import resize
from pipeline.media.image.contact_sheet import contact_sheet
from pipeline.media.image.load import load_rgb
from pipeline.media.image.png import save_png
from pipeline.runtime.hashing import file_digest
from pipeline.runtime.reporters import make_reporter
from pipeline.store.directory import RenderDirectory
from pipeline.workflows.evaluate import evaluate
from pipeline.workflows.render import render
from pipeline.workflows.request import RenderRequest

RGB = NDArray[np.uint8]
ROOT = Path(__file__).resolve().parents[2]
PHOTO = "photo/tubingen.jpg"
STYLE_IMAGE = "style/vangogh_starry_night_1889.jpg"
PAN_STEP_PX = (1.27, 0.13)
NOISE_LEVELS = 2.0
FINE = 4
"""The photograph is enlarged by this factor before it is moved, so that every step blurs it equally."""

TARGETS: Mapping[str, Callable[[float], bool]] = {
    "evaluations_median": lambda value: value <= 6,
    "evaluations_p90": lambda value: value <= 10,
    "loss_ratio": lambda value: value <= 1.05,
    "loss_ratio_end": lambda value: value <= 1.05,
    "independent_over_ours": lambda value: value >= 30,
    "without_flow_over_ours": lambda value: value >= 2,
    "sharpness": lambda value: 0.95 <= value <= 1.1,
    "sharpness_end": lambda value: 0.95 <= value <= 1.1,
    "luma_drift": lambda value: value < 1,
}
SHOWN = ("frames", *TARGETS, "input_over_ours", "restarts", "warm_s")


@dataclass(frozen=True)
class Clip:
    """The input of a render (a file or folder below the data, files, or a clip made here) and its number of frames."""

    name: str
    frames: int
    files: str = ""


CLIPS = {
    clip.name: clip
    for clip in (
        Clip("marple8", 5, "flow/marple8/*.ppm"),
        Clip("icecube", 48, "timelapse/icecube_s60"),
        Clip("sunset", 48, "timelapse/sunset_rpi"),
        Clip("mug", 8, "burst/handheld_mug"),
        Clip("phone", 25, "video/phone_rot180_vfr_audio.mp4"),
        Clip("pan", 200),
        Clip("still", 100),
    )
}


def main() -> None:
    parser = media_parser(__doc__)
    add = parser.add_argument
    add("--clips", nargs="+", choices=list(CLIPS), default=list(CLIPS))
    add("--width", type=int, default=448, help="px")
    add("--frames", type=int, help="at most so many of every clip")
    add("--style", help=f"a style or a style image [default: {STYLE_IMAGE} of the data]")
    add("--set", action="append", default=[], help="a setting, key=value", dest="sets")
    add("--encoder", choices=("compact", "teacher"), default="compact")
    add("--teacher", type=Path, help="vgg19_16x_se.safetensors, for --encoder teacher")
    add("--cold", type=int, default=5, help="positions in the clip with independent frames, 2 at each")
    add("--keep", type=Path, help="folder for the renders, plots and sheets")
    options = parser.parse_args()
    if options.encoder == "teacher":
        if options.teacher is None:
            parser.error("--encoder teacher needs --teacher FILE")
        use_teacher(options.teacher)
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.clips:
            results[name] = measure(CLIPS[name], folder, options)
            print(json.dumps({name: results[name]}), file=sys.stderr, flush=True)
    show(results)
    report = {
        "benchmark": "motion",
        "encoder": options.encoder,
        "width_px": options.width,
        "style": Path(options.style or STYLE_IMAGE).name,
        "sets": options.sets,
        "clips": results,
        "environment": {**environment(), "opencv": cv2.__version__, "numpy": np.__version__},
    }
    write_report(report, options.out)


def use_teacher(path: Path) -> None:
    """Stylize and measure with the compressed VGG-19 that `compact` was trained on, in this process."""
    digest = file_digest(path)

    def load(_name: str, *, device: torch.device, dtype: torch.dtype, **_others: Any) -> Encoder:
        return Encoder("teacher", digest, dtype, torch.device(device), PublishedTeacher(path, dtype))

    pipeline.encoders.load.load_encoder = load  # type: ignore[assignment]


def measure(clip: Clip, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Render a clip and measure it beside its baselines."""
    inputs = find_inputs(clip, folder, options)
    config = load_style(options.style or str(options.data / STYLE_IMAGE), [*options.sets, "encoder=compact"])
    request = RenderRequest(
        inputs=tuple(map(str, inputs)),
        styles=(config,),
        output=folder / f"{clip.name}-{options.encoder}-{options.width}.mp4",
        width_px=options.width,
        frames=(0, count(clip, options)),
    )
    assert request.output is not None
    path = request.output.with_suffix(".render")
    reporter = make_reporter("plain")
    began = time.perf_counter()
    render(request, reporter)
    seconds = time.perf_counter() - began
    directory = RenderDirectory.open(path)
    total = directory.plan.source.frame_count
    cold_frames = sampled(total, options.cold)
    found = evaluate(path, frames=(0, total), cold_frames=cold_frames, reporter=reporter)
    if options.keep:
        draw(found, path.with_suffix(".png"))
        save_png(path.with_name(f"{path.stem}-sheet.png"), sheet(directory, found.styles[0]))
    records = {
        record["frame"]: record for record in directory.read_stats() if directory.chain(record["chain"]).in_output
    }
    facts = {"frames": total, "size_px": [found.width_px, found.height_px], "cold_frames": sorted(cold_frames)}
    return facts | figures(found.styles[0], records, cold_frames) | {"render_s": round(seconds, 1)}


def count(clip: Clip, options: argparse.Namespace) -> int:
    return min(clip.frames, options.frames or clip.frames)


def sampled(total: int, positions: int) -> set[int]:
    """Frames of the independent baseline: pairs of neighbors evenly over the clip, and the last four frames.

    Of a short clip, all frames.
    """
    if total <= 12:
        return set(range(total))
    starts = np.linspace(1, total - 6, max(1, positions)).round().astype(int).tolist()
    return {frame for start in starts for frame in (start, start + 1)} | set(range(total - 4, total))


def figures(
    style: StyleEvaluation, records: Mapping[int, Mapping[str, Any]], cold_frames: Collection[int]
) -> dict[str, Any]:
    """The figures of a clip."""
    warm = {frame: record for frame, record in records.items() if record["phase"] == "warm"}
    evaluations = [record["evaluations"] for record in warm.values()]
    rows = {row.name: {each.frame: each for each in row.frames} for row in style.rows}
    ours, cold = rows["render"], rows["independent"]
    compared = [frame for frame in sorted(cold_frames) if frame in warm]
    tenth = [frame for frame in compared if frame >= style.stop - max(1, (style.stop - style.start) // 10)]
    first = ours[style.first_cold_frame].sharpness
    last = [each.sharpness for each in style.rows[0].frames[-max(1, len(ours) // 10) :]]

    def against_cold(key: str, frames: Sequence[int]) -> float | None:
        ratios = [getattr(ours[frame], key) / getattr(cold[frame], key) for frame in frames]
        return rounded(statistics.median(ratios)) if ratios else None

    def errors(name: RowName, key: str) -> float | None:
        pairs = list(matched(rows[name], ours, key))
        own = sum(mine for _, mine in pairs)
        return rounded(sum(theirs for theirs, _ in pairs) / own) if own else None

    found: dict[str, Any] = {
        "evaluations_median": statistics.median(evaluations) if evaluations else None,
        "evaluations_p90": rounded(float(np.percentile(evaluations, 90))) if evaluations else None,
        "restarts": sum(record["phase"] == "cold" for record in records.values()) - 1,
        "warm_s": rounded(statistics.median(record["seconds"] for record in warm.values())) if warm else None,
        "loss_ratio": against_cold("loss", compared),
        "loss_ratio_end": against_cold("loss", tenth),
        "independent_over_ours": errors("independent", "temporal_error"),
        "without_flow_over_ours": errors("warm without flow", "temporal_error"),
        "input_over_ours": errors("input", "temporal_error"),
        "independent_over_ours_long": errors("independent", "long_error"),
        "without_flow_over_ours_long": errors("warm without flow", "long_error"),
        "input_over_ours_long": errors("input", "long_error"),
        "sharpness": against_cold("sharpness", compared),
        "sharpness_end": against_cold("sharpness", tenth),
        "sharpness_first": rounded(statistics.median(each.sharpness for each in ours.values()) / first),
        "sharpness_first_end": rounded(statistics.median(last) / first),
        **luma_drift(rows["render"], rows["input"]),
        "mean_confidence": rounded(style.mean_confidence),
        "rows": {
            row.name: {
                key: rounded(getattr(row, key))
                for key in ("temporal_error", "long_error", "loss", "content_loss", "style_loss", "sharpness")
            }
            for row in style.rows
        },
    }
    found["missed"] = [key for key, reached in TARGETS.items() if found[key] is not None and not reached(found[key])]
    return found


def luma_drift(ours: Mapping[int, FrameFigures], inputs: Mapping[int, FrameFigures]) -> dict[str, float | None]:
    """Drift of the mean luma; None for clips that are too short to measure it."""
    if len(ours) < 10:
        return dict.fromkeys(("luma_drift", "luma_drift_ours", "luma_drift_input"))
    own, input_ = (
        drift_per_100_frames(list(rows), [each.luma for each in rows.values()]) or 0.0 for rows in (ours, inputs)
    )
    return {
        "luma_drift": rounded(max(0.0, abs(own) - abs(input_))),
        "luma_drift_ours": rounded(own),
        "luma_drift_input": rounded(input_),
    }


def matched(
    theirs: Mapping[int, FrameFigures], ours: Mapping[int, FrameFigures], key: str
) -> Iterator[tuple[float, float]]:
    """Values of both rows for the frames that have both."""
    for frame, other in theirs.items():
        pair = getattr(other, key), getattr(ours[frame], key)
        if None not in pair:
            yield pair


def rounded(value: float | None) -> float | None:
    """Four digits."""
    return None if value is None else float(f"{value:.4g}")


def find_inputs(clip: Clip, folder: Path, options: argparse.Namespace) -> list[Path]:
    """The files or folders to be rendered; clips made here are written first."""
    if clip.files:
        found = sorted(options.data.glob(clip.files))
        if not found:
            sys.exit(f"{options.data / clip.files} is not there")
        return list(found)
    frames = folder / f"{clip.name}-{options.width}-{count(clip, options)}"
    frames.mkdir(exist_ok=True)
    made = pan(options, clip) if clip.name == "pan" else still(options, clip)
    for index, rgb in enumerate(made):
        save_png(frames / f"{index:04d}.png", rgb)
    return [frames]


def pan(options: argparse.Namespace, clip: Clip) -> Iterator[RGB]:
    """A window that moves over the photograph, left to right and a little down."""
    total = count(clip, options)
    steps = np.full((total, 2), PAN_STEP_PX)
    steps[0] = 0
    steps[1 : 1 + clip.frames // 4] = (1, 0)
    offsets = steps.cumsum(axis=0)
    width, height = options.width, round(options.width * 3 / 4)
    travel = np.asarray(PAN_STEP_PX) * clip.frames
    photo = load_rgb(options.data / PHOTO)
    scale = FINE * max((width + travel[0]) / photo.shape[1], (height + travel[1]) / photo.shape[0])
    fine = resize(photo, round(photo.shape[1] * scale), round(photo.shape[0] * scale))
    top = (fine.shape[0] - FINE * (height + travel[1])) / 2
    for x, y in offsets:
        center = (FINE * (x + width / 2) - 0.5, top + FINE * (y + height / 2) - 0.5)
        window = cv2.getRectSubPix(fine, (FINE * width, FINE * height), center)
        yield resize(np.asarray(window, np.uint8), width, height)


def still(options: argparse.Namespace, clip: Clip) -> Iterator[RGB]:
    """The photograph again and again, each time with other noise."""
    photo = load_rgb(options.data / PHOTO)
    scene = resize(photo, options.width, round(options.width * photo.shape[0] / photo.shape[1]))
    random = np.random.default_rng(0)
    for _ in range(count(clip, options)):
        noisy = scene + random.normal(0, NOISE_LEVELS, scene.shape)
        yield np.rint(noisy).clip(0, 255).astype(np.uint8)


def sheet(directory: RenderDirectory, style: StyleEvaluation) -> RGB:
    """Stylized frames at the start, a quarter, the middle and the end of the clip, each with the frame after it."""
    chains = {index: chain.id for chain in directory.plan.chains if chain.in_output for index in chain.frames}
    chosen = sorted({round(fraction * max(0, style.stop - 2)) for fraction in (0, 0.25, 0.5, 1)})
    return contact_sheet(
        [
            [(f"frame {index}", directory.read_frame(chains[index], index)) for index in (start, start + 1)]
            for start in chosen
        ]
    )


def show(results: Mapping[str, Mapping[str, Any]]) -> None:
    """The table, on stderr: a line per figure, a column per clip."""
    print(f"\n{'':<24}" + "".join(f"{name:>12}" for name in results), file=sys.stderr)
    for key in SHOWN:
        cells = []
        for result in results.values():
            value = "-" if result[key] is None else f"{result[key]:g}"
            cells.append(f"{value}{' !' if key in result['missed'] else '  '}")
        print(f"{key:<24}" + "".join(f"{cell:>12}" for cell in cells), file=sys.stderr)


if __name__ == "__main__":
    main()

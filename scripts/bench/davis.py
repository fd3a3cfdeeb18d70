"""Warp error on five clips of DAVIS-2017 at 512x512, as recent video stylizers publish it, beside our own measures.

    python scripts/bench/davis.py --data $TEMPERA_DATA --styles swirl,woodcut -o FOLDER [--every 8] [--json davis.json]

For every clip and style: the input, frames stylized independently, and ours. Renders, independent frames and figures
stay in the folder, and the same command continues them (figures of another commit are measured again). Independent are
the frames t, t + 1 at every `--every`-th t.

- `warp error`: Farneback flow of the input from frame t to t + 1 (pyramid 0.5, 3 levels, window 15, 3 iterations,
  polynomials of 5 px with sigma 1.2), mean |out_t - out_(t+1) moved along it|, all pixels and channels, levels of 0 to
  255, no mask, linear interpolation; mean over all t (of independent frames over those that there are, and in
  parentheses ours over the same). A blurred or frozen clip has a low one: see the next columns.
- `high frequencies`: fraction of the energy of luma (BT.709, less its mean, Hann window) above 0.25 cycles per px,
  median, in percent; `Laplacian`: mean absolute Laplacian (four neighbors) of luma in levels, median.
- `light`, `change`, `changed`, `color`, `trail`, `axes`, sharpness and losses: those of `tempera evaluate`
  (`scripts/bench/following.py` lists them).
- `s`: mean seconds per frame with all its cold frames; of independent frames the median of the render's cold ones.

The table goes to stdout; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pipeline.runtime.threads import BRIEF

os.environ.update(BRIEF)

import cv2
import numpy as np
from clips import DAVIS, FILES, Rendered, markdown, rendered, rounded, row_figures, speed
from machine import commit, environment, write_report
from numpy.typing import NDArray

from pipeline.config.catalog import load_style
from pipeline.evaluate.measures import LUMA
from pipeline.media.image.load import load_rgb
from pipeline.media.reader.source import read_frames
from pipeline.plan.paths import absolute_source, style_configs
from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.reporters import make_reporter
from pipeline.store.directory import RenderDirectory

RGB = NDArray[np.uint8]
SIZE_PX: Final = 512
FINE_CYCLES_PER_PX: Final = 0.25
COLUMNS = (
    "clip",
    "style",
    "frames of",
    "warp error",
    "high frequencies",
    "Laplacian",
    "light",
    "change",
    "changed",
    "color",
    "trail",
    "axes",
    "s",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    data = os.environ.get("TEMPERA_DATA")
    add("--data", type=Path, default=data, required=data is None, help="folder of the developer data (TEMPERA_DATA)")
    add("-o", "--out", type=Path, required=True, help="folder for renders and independent frames")
    add("--styles", default="swirl,woodcut", help="styles or style images, comma between")
    add("--clips", default=",".join(DAVIS), help="comma between")
    add("--size", type=int, default=SIZE_PX, help="px")
    add("--frames", type=int, default=10**6, help="at most so many of every clip")
    add("--every", type=int, default=8, help="independent frames: a pair at every so many")
    add("--set", action="append", default=[], help="a setting, key=value", dest="sets")
    add("--encoder", default="compact")
    add("--json", type=Path, help="where to write the JSON, for example scripts/bench/results/davis.json")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, Any]] = {}
    for name in options.clips.split(","):
        for style in options.styles.split(","):
            found = measured_once(name, style, options)
            results.setdefault(name, {})[Path(style).stem] = found
            print(json.dumps({name: found}), file=sys.stderr, flush=True)
    every = [found for clip in results.values() for found in clip.values()]
    means = {
        kind: rounded(statistics.fmean(found[kind]["warp_error"] for found in every))
        for kind in ("input", "independent", "render")
    }
    print(
        markdown(
            COLUMNS, [row for name, clip in results.items() for each in clip for row in lines(name, each, results)]
        )
    )
    report = {
        "benchmark": "davis",
        "size_px": options.size,
        "encoder": options.encoder,
        "sets": options.sets,
        "every": options.every,
        "mean_warp_error": means,
        "clips": results,
        "environment": {**environment(), "opencv": cv2.__version__},
    }
    write_report(report, options.json)


def measured_once(name: str, style: str, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of a clip in a style, read where an earlier run of the same commit with the same options has them."""
    asked = {key: str(value) for key, value in vars(options).items() if key not in ("clips", "styles", "json")}
    asked |= {"clip": name, "style": style, "commit": commit()}
    path: Path = options.out / f"{name}-{Path(style).stem}-{options.size}.json"
    if path.exists() and (kept := json.loads(path.read_text(encoding="utf-8")))["asked"] == asked:
        return dict(kept["found"])
    found = measure(name, style, options)
    write_bytes(path, json.dumps({"asked": asked, "found": found}).encode())
    return found


def measure(name: str, style: str, options: argparse.Namespace) -> dict[str, Any]:
    """Render a clip in a style and measure input, independent frames and render."""
    config = load_style(style, [*options.sets, f"encoder={options.encoder}"])
    found = rendered(
        options.data / FILES[name],
        config,
        options.out / f"{name}-{config.name}-{options.size}.mp4",
        width_px=options.size,
        count=options.frames,
        cold_frames=lambda total: pairs(total, options.every),
        reporter=make_reporter("plain"),
    )
    directory = RenderDirectory.open(found.path)
    rows, taken = row_figures(found.figures), speed(directory)
    figures = {kind: {**rows[kind], **more} for kind, more in image_figures(found, directory).items()}
    figures["render"]["seconds_per_frame"] = taken["mean_s"]
    figures["independent"]["seconds_per_frame"] = taken["cold_s"]
    return {"speed": taken, **figures}


def pairs(total: int, every: int) -> Sequence[int]:
    """The frames t and t + 1 at every `every`-th t, and the last pair where it is not among them."""
    starts = {*range(0, total - 1, every), max(0, total - 2)}
    return sorted({index for start in starts for index in (start, start + 1) if index < total})


def image_figures(found: Rendered, directory: RenderDirectory) -> dict[str, dict[str, Any]]:
    """Warp error and high frequencies of the three kinds of frames; two frames are in memory at a time."""
    errors: dict[str, dict[int, float]] = {"input": {}, "independent": {}, "render": {}}
    fine: dict[str, list[float]] = {kind: [] for kind in errors}
    laplacian: dict[str, list[float]] = {kind: [] for kind in errors}
    before: Mapping[str, RGB] = {}
    for index, images in kinds(found, directory):
        for kind, image in images.items():
            fine[kind].append(high_frequencies(image))
            laplacian[kind].append(mean_laplacian(image))
        if before:
            flow = farneback(before["input"], images["input"])
            for kind in images.keys() & before.keys():
                errors[kind][index] = warp_error(before[kind], images[kind], flow)
        before = images
    same = [errors["render"][index] for index in errors["independent"]]
    figures = {
        kind: {
            "warp_error": rounded(statistics.fmean(errors[kind].values())),
            "high_frequencies": rounded(statistics.median(fine[kind])),
            "laplacian": rounded(statistics.median(laplacian[kind])),
        }
        for kind in errors
    }
    figures["render"]["warp_error_where_independent"] = rounded(statistics.fmean(same))
    return figures


def kinds(found: Rendered, directory: RenderDirectory) -> Iterator[tuple[int, dict[str, RGB]]]:
    """The frames of the clip as they are in the input, stored, and independent where there are any."""
    plan = directory.plan
    chains = {index: chain.id for chain in plan.chains if chain.in_output for index in chain.frames}
    (config,) = style_configs(plan, found.path).values()
    source = absolute_source(plan, found.path)
    for frame in read_frames(source, width_px=plan.width_px, height_px=plan.height_px, settings=config.input):
        images = {"input": frame.rgb, "render": directory.read_frame(chains[frame.index], frame.index)}
        kept = found.independent_folder / f"{frame.index:08d}.png"
        if kept.exists():
            images["independent"] = load_rgb(kept)
        yield frame.index, images


def farneback(image: RGB, following: RGB) -> NDArray[np.float32]:
    """Flow from an image to the following one, (H, W, 2) px."""
    start, end = (np.asarray(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), np.uint8) for each in (image, following))
    flow = cv2.calcOpticalFlowFarneback(start, end, np.zeros((*start.shape, 2), np.float32), 0.5, 3, 15, 3, 5, 1.2, 0)
    return np.asarray(flow, np.float32)


def warp_error(image: RGB, following: RGB, flow: NDArray[np.float32]) -> float:
    """Mean absolute difference, in levels, between an image and the following one moved back along the flow."""
    down, right = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    moved = cv2.remap(
        following.astype(np.float32),
        right + flow[..., 0],
        down + flow[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return float(np.abs(image - moved).mean())


def high_frequencies(image: RGB) -> float:
    """Fraction of the energy of luma above 0.25 cycles per px."""
    luma = luma_of(image)
    window = np.hanning(luma.shape[0])[:, None] * np.hanning(luma.shape[1])
    energy = np.square(np.abs(np.fft.fft2((luma - luma.mean()) * window)))
    radius = np.hypot(np.fft.fftfreq(luma.shape[0])[:, None], np.fft.fftfreq(luma.shape[1]))
    return float(energy[radius > FINE_CYCLES_PER_PX].sum() / max(energy.sum(), 1e-9))


def mean_laplacian(image: RGB) -> float:
    """Mean absolute Laplacian (four neighbors) of luma in levels."""
    return float(np.abs(cv2.Laplacian(luma_of(image), cv2.CV_32F, ksize=1)).mean())


def luma_of(image: RGB) -> NDArray[np.float32]:
    """BT.709 luma in levels."""
    return np.asarray(cv2.transform(image.astype(np.float32), LUMA), np.float32)


def lines(name: str, style: str, results: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Three lines of the table."""
    found = results[name][style]
    for kind, title in (("input", "the input"), ("independent", "independent"), ("render", "ours")):
        row = found[kind]
        same = row.get("warp_error_where_independent")
        yield [
            name,
            style,
            title,
            f"{row['warp_error']:.2f}" + ("" if same is None else f" ({same:.2f})"),
            f"{100 * row['high_frequencies']:.1f} %",
            f"{row['laplacian']:.1f}",
            both(row["light"], row["light_worst"]),
            both(row["change"], row["change_worst"]),
            both(row["changed_content"], row["changed_content_worst"]),
            both(row["changed_color"], row["unchanged_color"]),
            row["trail"],
            row["axis_ratio"],
            row.get("seconds_per_frame"),
        ]


def both(one: float | None, other: float | None) -> str | None:
    """Two values with a comma between; None if there is none."""
    return None if one is None else f"{one:.2f}" + ("" if other is None else f", {other:.2f}")


if __name__ == "__main__":
    main()

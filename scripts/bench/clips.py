"""Clips of the benchmarks by name, rendered and measured. A module of the benchmarks.

Some are made here of photographs (`tests/support/following.py`), the others are read from the data. Everything is kept
in the folder of a benchmark: running it again continues renders and reads independent frames that are already there.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipeline.config.settings import Config
from pipeline.evaluate.figures import StyleEvaluation
from pipeline.media.image.arrays import fit_size, resize
from pipeline.media.image.load import load_rgb
from pipeline.media.reader.source import probe
from pipeline.runtime.progress import Reporter
from pipeline.sample.photos import write_sample
from pipeline.store.directory import RenderDirectory
from pipeline.types import Source
from pipeline.workflows.evaluate import evaluate
from pipeline.workflows.render import render
from pipeline.workflows.request import RenderRequest
from tests.support import following
from tests.support.clips import write_photos

RGB = NDArray[np.uint8]

BACKGROUND, OTHER = "photo/tubingen.jpg", "photo/chelsea.png"
OTHER_CENTER, OTHER_HEIGHT, OTHER_ASPECT = (0.5, 0.5), 0.38, 1.1
"""What enters: the face of the cat, as a fraction of the height of the frame."""

DAVIS: Final = ("blackswan", "camel", "dance-twirl", "libby", "swing")
FILES: Final = {
    "sunset": "timelapse/sunset_rpi",
    "plant_tower": "timelapse/plant_tower",
    "icecube": "timelapse/icecube_s60",
    "phone": "video/phone_rot180_vfr_audio.mp4",
    "mug": "burst/handheld_mug",
    "monstree": "burst/monstree_iphone",
    **{name: f"davis/{name}.mp4" for name in DAVIS},
}
"""Clips that are read from the data."""


MADE: Final = (*following.CLIPS, "enters")
"""Clips that are made of a photograph at the size of the frames."""

NAMES: Final = (*MADE, "sample", *FILES)


@dataclass(frozen=True)
class Rendered:
    """A clip in one style: where the render is, and its figures."""

    path: Path
    figures: StyleEvaluation

    @property
    def independent_folder(self) -> Path:
        """Where the independent frames of this render are kept, as `<frame>.png` with eight digits."""
        return independent_folder(self.path) / self.figures.style


def clip_source(frames: Sequence[RGB], rate: int) -> Source:
    """The source that `write_video` needs for frames, uint8 (H, W, 3), that were not read from a file."""
    height_px, width_px = frames[0].shape[:2]
    return Source(
        path="",
        kind="photos",
        files=(),
        width_px=width_px,
        height_px=height_px,
        frame_rate=Fraction(rate),
        time_base=Fraction(1, rate),
        pts=tuple(range(len(frames))),
        duration_ticks=1,
        decoded_indices=tuple(range(len(frames))),
    )


def inputs_of(name: str, *, data: Path, folder: Path, width_px: int, count: int) -> Path:
    """The input of a clip: a file or folder of the data, or photos that are written into `folder` first."""
    if name in FILES:
        return data / FILES[name]
    photos = folder / f"{name}-{width_px}-{count}"
    if photos.exists() and len(list(photos.iterdir())) == count:
        return photos
    if name == "sample":
        write_sample(photos, count)
        return photos
    photo = load_rgb(data / BACKGROUND)
    photo = resize(photo, *fit_size(photo.shape[1], photo.shape[0], width_px, None))
    write_photos(photos, made(name, photo, count, data=data))
    return photos


def made(name: str, photo: RGB, count: int, *, data: Path) -> list[RGB]:
    """The frames of a clip that is made of a photograph."""
    if name != "enters":
        return following.CLIPS[name](photo, count)
    height_px = round(OTHER_HEIGHT * photo.shape[0])
    thing = following.cut_out(load_rgb(data / OTHER), OTHER_CENTER, height_px, aspect=OTHER_ASPECT)
    return following.something_enters(photo, thing, count)


def rendered(
    given: Path,
    config: Config,
    output: Path,
    *,
    width_px: int,
    count: int,
    cold_frames: Callable[[int], Sequence[int]],
    reporter: Reporter,
) -> Rendered:
    """Render at most `count` frames of an input as the command line does, and measure all of them.

    `cold_frames` gives, for the number of frames, those that are stylized independently too.
    """
    total = min(count, probe([given], config.input, digest=False).frame_count)
    request = RenderRequest(inputs=(str(given),), styles=(config,), output=output, width_px=width_px, frames=(0, total))
    render(request, reporter)
    path = output.with_suffix(".render")
    found = evaluate(
        path,
        frames=(0, total),
        without_flow=False,
        cold_frames=cold_frames(total),
        independent_folder=independent_folder(path),
        reporter=reporter,
    )
    return Rendered(path, found.styles[0])


def independent_folder(path: Path) -> Path:
    """Beside the render, by its digest: another render at the same place has other independent frames."""
    return path.with_name(f"{path.stem}-independent-{RenderDirectory.open(path).plan.digest[:12]}")


def row_figures(style: StyleEvaluation) -> dict[str, dict[str, Any]]:
    """The summaries of every row, without those of single frames, to four digits."""
    return {
        row.name: {
            key: rounded(value)
            for key in row.__dataclass_fields__
            if isinstance(value := getattr(row, key), float | None)
        }
        for row in style.rows
    }


def speed(directory: RenderDirectory) -> dict[str, Any]:
    """Seconds and evaluations of warm and cold frames, from the statistics of the render."""
    latest = {record["frame"]: record for record in directory.read_stats()}
    found: dict[str, Any] = {
        "frames": len(latest),
        "mean_s": rounded(statistics.fmean(record["seconds"] for record in latest.values())),
    }
    for phase in ("cold", "warm"):
        records = [record for record in latest.values() if record["phase"] == phase]
        if records:
            found[f"{phase}_frames"] = len(records)
            found[f"{phase}_s"] = rounded(statistics.median(record["seconds"] for record in records))
            found[f"{phase}_evaluations"] = statistics.median(record["evaluations"] for record in records)
    return found


def rounded(value: float | None) -> float | None:
    """Four digits."""
    return None if value is None else float(f"{value:.4g}")


def markdown(columns: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """A table; None is shown as a dash."""
    cells = [columns, ["---"] * len(columns), *lines]
    return "\n".join("| " + " | ".join("-" if cell is None else f"{cell}" for cell in line) + " |" for line in cells)

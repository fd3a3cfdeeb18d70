"""What a queue shows of its results: a small image of each, and contact sheets with a row for each input."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.config.settings import InputSettings
from pipeline.errors import TemperaError
from pipeline.runtime import atomic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.types import Source
    from pipeline.workflows.queue.jobs import Input, Job, Queue
    from pipeline.workflows.queue.state import Facts

    RGB = NDArray[np.uint8]

THUMBNAILS_NAME: Final = "thumbnails"
THUMBNAIL_PX: Final = 256
"""Longer side of thumbnails, and the largest side of a cell of the sheets."""
_SMALLEST_CELL_PX: Final = 48
_CAPTION_LINES: Final = 2
"""Lines of captions that sheets are planned for; longer names make a sheet longer."""
_SHEET_SIDE_PX: Final = 4096
_SHEET_PX: Final = 16_000_000
_QUALITY: Final = 88
_NOTHING: Final = (226, 224, 220)
"""The color of a cell without a result."""


def input_thumbnail(queue: Queue, each: Input) -> Path:
    """Where the thumbnail of an input belongs."""
    return queue.folder / THUMBNAILS_NAME / "inputs" / f"{each.name}.jpg"


def result_thumbnail(queue: Queue, job: Job) -> Path:
    """Where the thumbnail of a result belongs."""
    return queue.folder / THUMBNAILS_NAME / "results" / f"{job.name}.jpg"


def make_thumbnails(queue: Queue, job: Job, facts: Facts) -> None:
    """Make the thumbnails of a job that is done, and of its input, unless they are newer than what they show.

    Of a clip they show the middle frame. What cannot be read or written is left out.
    """
    from pipeline.media.reader.source import probe

    content, result = input_thumbnail(queue, job.input), result_thumbnail(queue, job)
    output = queue.output(job, facts.source.frame_count)
    with suppress(OSError, TemperaError):
        if _is_stale(content, Path(facts.source.files[0])):
            _write(content, _middle_frame(facts.source, job.style.input))
        if _is_stale(result, output):
            _write(result, _middle_frame(probe([output], InputSettings(), digest=False), InputSettings()))


def write_sheets(queue: Queue, done: Collection[str]) -> list[Path]:
    """Write the contact sheets of a queue, with the jobs whose names are in `done`; returns their paths.

    A row for each input: the content, then every style; cells shrink so that a sheet is no wider than 4,096 px, as long
    as they have 48 px, and rows that do not fit go to further sheets. Raises OSError.
    """
    from pipeline.media.image.contact_sheet import CAPTION_PX, GAP_PX, contact_sheet
    from pipeline.media.image.png import encode_png

    columns = 1 + len(queue.styles)
    cell_px = max(_SMALLEST_CELL_PX, min(THUMBNAIL_PX, (_SHEET_SIDE_PX - GAP_PX) // columns - GAP_PX))
    results = {(job.input.name, job.style.name): result_thumbnail(queue, job) for job in queue.jobs if job.name in done}
    row_px = cell_px + _CAPTION_LINES * CAPTION_PX + 2 * GAP_PX
    rows_at_most = min(_SHEET_SIDE_PX, _SHEET_PX // (columns * (cell_px + GAP_PX))) // row_px
    paths = []
    for number, inputs in enumerate(_parts(queue.inputs, max(1, rows_at_most)), 1):
        rows = []
        for each in inputs:
            files = [(each.name, input_thumbnail(queue, each))]
            rows.append(_row([*files, *((s.name, results.get((each.name, s.name))) for s in queue.styles)], cell_px))
        path = queue.folder / ("contact-sheet.png" if number == 1 else f"contact-sheet-{number}.png")
        atomic.write_bytes(path, encode_png(contact_sheet(rows, column_px=cell_px), 6))
        paths.append(path)
    return paths


def _row(files: Sequence[tuple[str, Path | None]], cell_px: int) -> list[tuple[str, RGB]]:
    """Captions and images of a row; where there is none, an empty cell of the shape of the others."""
    images = [None if file is None else _read(file, cell_px) for _, file in files]
    shape = next((image.shape for image in images if image is not None), (cell_px * 3 // 4, cell_px, 3))
    blank = np.full(shape, _NOTHING, np.uint8)
    captions = [caption for caption, _ in files]
    return [(c, blank if image is None else image) for c, image in zip(captions, images, strict=True)]


def _parts(inputs: Sequence[Input], most: int) -> list[Sequence[Input]]:
    """The inputs in as few parts as need be, of nearly equal length."""
    count = -(-len(inputs) // most)
    bounds = [len(inputs) * index // count for index in range(count + 1)]
    return [inputs[start:stop] for start, stop in pairwise(bounds)]


def _is_stale(thumbnail: Path, of: Path) -> bool:
    return not thumbnail.exists() or thumbnail.stat().st_mtime_ns < of.stat().st_mtime_ns


def _middle_frame(source: Source, settings: InputSettings) -> RGB:
    from pipeline.media.image.arrays import size_within
    from pipeline.media.reader.source import read_frames

    middle = source.frame_count // 2
    width, height = size_within(source.width_px, source.height_px, THUMBNAIL_PX)
    frames = read_frames(source, start=middle, stop=middle + 1, width_px=width, height_px=height, settings=settings)
    with closing(frames):
        return next(frames).rgb


def _write(path: Path, rgb: RGB) -> None:
    from PIL import Image

    atomic.make_folders(path.parent)
    data = io.BytesIO()
    Image.fromarray(rgb).save(data, "JPEG", quality=_QUALITY)
    atomic.write_bytes(path, data.getvalue())


def _read(path: Path, side_px: int) -> RGB | None:
    """A thumbnail, its longer side at most `side_px`; None if there is none."""
    from pipeline.media.image.arrays import resize, size_within
    from pipeline.media.image.load import load_rgb

    try:
        rgb = load_rgb(path)
    except (OSError, TemperaError):
        return None
    return resize(rgb, *size_within(rgb.shape[1], rgb.shape[0], side_px))

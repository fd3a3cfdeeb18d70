"""Composing: layers of several renders over their input, written as a video, or shown one by one on a sheet.

Nothing is stylized and no render is changed, but for a line in their caches: which files compositions have written, so
that only those are replaced.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.config.composition import CONTENT
from pipeline.errors import TemperaError, UsageError
from pipeline.runtime import atomic
from pipeline.runtime.cancellation import Cancellation
from pipeline.store import stats
from pipeline.store.disk_errors import writing
from pipeline.store.videos import COMPOSED_NAME
from pipeline.workflows.compose.composition import ComposedFrame, Composition, Layer
from pipeline.workflows.output.names import named_outputs, output_files, refuse_input
from pipeline.workflows.output.record import composition_record
from pipeline.workflows.output.retime import FinishedFrames, output_timeline, picture_count, write_frames
from pipeline.workflows.output.style_frames import selected

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime.progress import Reporter
    from pipeline.types import Frame, Pixels

SHEET_SIDE_PX: Final = 480
"""Longer side of the pictures of a sheet."""
_SQUARE_PX: Final = 12
_SQUARES: Final = (0.62, 0.72)
"""Side in px and gray levels of the checkerboard on which layers are shown."""


def compose(
    composition: Composition,
    output: Path,
    reporter: Reporter,
    cancellation: Cancellation | None = None,
    *,
    frames: tuple[int | None, int | None] | None = None,
) -> Path:
    """Write a composition, or some frames of it, as far as the frames of all layers are stored.

    A file that is there is replaced only if a composition of one of these renders has written it. Raises UsageError for
    frames that are not there and for files that are not replaced, the errors of writing, and Interrupted if an end was
    requested; then no file is changed.
    """
    from pipeline.media.writer.target import check_output, resolve
    from pipeline.media.writer.unused import note_unused
    from pipeline.postprocess.framing import shown_size

    cancellation = cancellation or Cancellation()
    plan, count = composition.plan, composition.source.frame_count
    chosen = _chosen(frames, count)
    ready = range(chosen.start, min(chosen.stop, composition.ready))
    if not ready:
        raise UsageError(
            f"--frames {chosen.start}:{chosen.stop}: {composition.ready} frames of all layers are stored",
            hint="choose earlier frames, or go on with `tempera resume`",
        )
    if len(ready) < len(chosen):
        reporter.note(f"{composition.ready} of {count} frames of all layers are stored; the video ends there")
    source = selected(composition.source, ready)
    output = named_outputs(output, [CONTENT])[CONTENT]
    refuse_input(output, composition.source)
    settings = composition.settings.output
    width_px, height_px = shown_size(settings, plan.width_px, plan.height_px)
    check_output(output, settings, frame_count=len(ready), width_px=width_px, height_px=height_px)
    note_unused(output, settings, reporter.note)
    timeline = output_timeline(settings, plan, source, output, first=ready.start)
    _keep_other_files(composition, output, len(ready), len(chosen), picture_count(source, timeline))
    checkpoint = cancellation.checkpoint("the video is not written", hint="the same command begins it again")
    deep = resolve(output, settings).deep

    def images(order: Sequence[int]) -> Generator[Pixels]:
        return composition.images([ready.start + index for index in order], checkpoint, deep=deep)

    def contents(part: range) -> Generator[Frame]:
        return composition.contents(range(ready.start + part.start, ready.start + part.stop))

    composed = FinishedFrames(
        images,
        contents,
        (plan.width_px, plan.height_px),
        composition.first_config.motion,
        {index - ready.start for index in composition.repeats},
        composition.first_config.runtime.threads,
    )
    record = composition_record(composition, source, reporter)
    write_frames(output, composed, source, timeline, settings, reporter, record=record)
    _note(composition, output, len(ready))
    return output


def write_sheet(
    composition: Composition,
    path: Path,
    frames: Sequence[int],
    reporter: Reporter,
    cancellation: Cancellation | None = None,
) -> Path:
    """Write the `layer_sheet` of some frames as a PNG; what is there is replaced by the same rule as a video."""
    from pipeline.media.image.png import encode_png

    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: expected a .png", hint="for example --sheet layers.png")
    refuse_input(path, composition.source)
    _keep_other_files(composition, path, 1, 1, 1)
    data = encode_png(layer_sheet(composition, frames, reporter, cancellation))
    with writing(path):
        atomic.make_folders(path.parent)
        atomic.write_bytes(path, data)
    _note(composition, path, 1)
    return path


def layer_sheet(
    composition: Composition, frames: Sequence[int], reporter: Reporter, cancellation: Cancellation | None = None
) -> NDArray[np.uint8]:
    """A contact sheet, uint8 (H, W, 3) sRGB: a row per frame: the content, each layer by itself, and the sum.

    A layer is shown as it is blended, on a checkerboard where it is not opaque. Raises UsageError for a frame that is
    not stored of all layers.
    """
    from pipeline.media.image.arrays import fit_size, resize
    from pipeline.media.image.contact_sheet import Captioned, contact_sheet

    for index in frames:
        if not 0 <= index < composition.ready:
            raise UsageError(
                f"--at {index}: of all layers, frames 0 to {composition.ready - 1} are stored",
                hint="choose one of these",
            )
    checkpoint = (cancellation or Cancellation()).checkpoint(
        "the sheet is not written", hint="the same command begins it again"
    )
    width, height = composition.plan.width_px, composition.plan.height_px
    side_px = min(SHEET_SIDE_PX, max(width, height))
    size = fit_size(width, height, *((side_px, None) if width >= height else (None, side_px)))
    captions = [_caption(number, layer) for number, layer in enumerate(composition.layers)]
    rows: list[list[Captioned]] = []
    with reporter.stage("composing the sheet", len(frames)) as advance:
        for index in frames:
            with closing(composition.frames(range(index, index + 1), checkpoint)) as composed:
                (frame,) = composed
            images = [frame.content, *_on_squares(frame), frame.image]
            named = zip([f"frame {index}", *captions, "sum"], images, strict=True)
            rows.append([(caption, resize(image, *size)) for caption, image in named])
            advance(len(rows))
    return contact_sheet(rows)


def _chosen(frames: tuple[int | None, int | None] | None, count: int) -> range:
    """`--frames` as a range of frames that the input has. Raises UsageError if it has them not."""
    start, stop = frames or (None, None)
    chosen = range(start or 0, count if stop is None else stop)
    if not chosen or chosen.stop > count:
        raise UsageError(
            f"--frames {chosen.start}:{'' if stop is None else stop}: outside the {count} frames of the renders",
            hint=f"choose A:B inside 0:{count}",
        )
    return chosen


def _keep_other_files(composition: Composition, output: Path, frame_count: int, wanted: int, pictures: int) -> None:
    """Raise UsageError if a file is there that no composition of these renders has written, or that shows more frames.

    `frame_count` of the `wanted` frames are stored: a shorter video that was asked for may replace a longer one. The
    output has so many `pictures`.
    """
    existing = next((file for file in output_files(output, pictures) if file.exists()), None)
    if existing is None:
        return
    found = [record for folder in _caches(composition) for record in stats.read_lines(folder / COMPOSED_NAME)]
    found.sort(key=lambda record: str(record.get("written")))
    shown = [record.get("frames") for record in found if record.get("path") == os.path.realpath(output)]
    if not shown:
        raise UsageError(
            f"{existing}: exists, and was not written by a composition of these renders",
            hint="choose another name with -o, or move the old file away",
        )
    if frame_count < wanted and isinstance(shown[-1], int) and shown[-1] > frame_count:
        raise UsageError(
            f"{output}: shows {shown[-1]} frames, and only {frame_count} are stored of all layers now",
            hint="name another file with -o, or stylize what is missing with `tempera resume` first",
        )


def _note(composition: Composition, path: Path, frame_count: int) -> None:
    """Remember that a composition has written a file; without the note it is not replaced the next time."""
    now = datetime.datetime.now(datetime.UTC).isoformat()
    record = {"path": os.path.realpath(path), "frames": frame_count, "written": now}
    for cache in _caches(composition):
        with suppress(TemperaError, OSError):
            atomic.make_folders(cache)
            stats.append_line(cache / COMPOSED_NAME, record, repair=False)


def _caches(composition: Composition) -> list[Path]:
    """The caches of all renders of a composition."""
    renders = [layer.render for layer in composition.layers if layer.render is not None]
    return list(dict.fromkeys(render.directory.cache_path for render in renders))


def _caption(number: int, layer: Layer) -> str:
    parts = [f"{number + 1} {layer.name}"]
    if layer.settings.blend != "normal":
        parts.append(layer.settings.blend.replace("_", " "))
    if layer.settings.opacity < 1:
        parts.append(f"{layer.settings.opacity:.0%}")
    return ", ".join(parts)


def _on_squares(frame: ComposedFrame) -> Generator[NDArray[np.uint8]]:
    """Each layer of a frame over a gray checkerboard."""
    import numpy as np

    from pipeline.media.image.depth import to_8_bit
    from pipeline.postprocess.blend import blend

    height, width = frame.content.shape[:2]
    odd = (np.arange(height)[:, np.newaxis] // _SQUARE_PX + np.arange(width) // _SQUARE_PX) % 2
    squares = np.repeat(np.asarray(_SQUARES, np.float32)[odd][..., np.newaxis], 3, axis=2)
    for layer in frame.layers:
        yield to_8_bit(blend(squares, layer.image, "normal", layer.alpha))

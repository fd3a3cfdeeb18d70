"""Exporting: finish the stored frames and write the videos, complete or as far as the frames are stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.settings import Config
from pipeline.execute.in_order import map_in_order, thread_count
from pipeline.runtime.cancellation import Cancellation
from pipeline.store.directory import RenderDirectory
from pipeline.types import Frame, Shot, Source
from pipeline.workflows.input.driving import finish_areas
from pipeline.workflows.opened import check_input, open_render
from pipeline.workflows.output.finished import finisher
from pipeline.workflows.output.names import named_outputs, refuse_input
from pipeline.workflows.output.record import render_record
from pipeline.workflows.output.replacing import keep_longer_video, keep_other_files, note_video
from pipeline.workflows.output.retime import (
    FinishedFrames,
    in_any_order,
    output_timeline,
    paced,
    picture_count,
    repeated,
    write_frames,
)
from pipeline.workflows.output.style_frames import StoredFrame, frames_ready, selected, stored_frames

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.plan.curves import FrameValues
    from pipeline.postprocess.timeline import Timeline
    from pipeline.runtime.progress import Reporter
    from pipeline.types import Pixels


def export(
    path: Path,
    output: Path | None,
    reporter: Reporter,
    cancellation: Cancellation | None = None,
    *,
    fps: Fraction | None = None,
    settings: Callable[[Config], Config] = lambda config: config,
    moved_to: Path | None = None,
) -> list[Path]:
    """Write the videos of a render again, from the stored frames; also of a render in progress, up to the
    first frame that is missing.

    `output` None writes where the render itself would. `settings` returns a config with changed output settings.
    `moved_to` is where the input is now (see `open_render`).
    Raises InputError if the input is needed and not there, RenderDirectoryError if no frame is stored yet, UsageError
    if a file is there that this render has not written, Interrupted if an end was requested; then no video is changed.
    """
    from pipeline.media.writer.target import check_output, resolve
    from pipeline.media.writer.unused import note_unused
    from pipeline.postprocess.finish import reads_content
    from pipeline.postprocess.framing import shown_size

    cancellation = cancellation or Cancellation()
    opened = open_render(path, moved_to)
    directory, source = opened.directory, opened.source
    configs = {name: settings(config) for name, config in opened.configs.items()}
    outputs = opened.outputs if output is None else named_outputs(output, list(opened.outputs))
    audible = source.has_audio and any(
        resolve(outputs[name], config.output).kind == "video" and config.output.audio != "none"
        for name, config in configs.items()
    )
    if (audible and fps is None) or any(reads_content(config.output.finish) for config in configs.values()):
        check_input(opened, "export")
    for target in outputs.values():
        refuse_input(target, source)
    if fps is not None and audible:
        reporter.note(f"--fps {fps} shows the same frames at another pace: the video has no audio")
    written = []
    for name, config in configs.items():
        ready = frames_ready(directory, name)
        if ready < source.frame_count:
            stored = f"{ready} of {source.frame_count} frames {'is' if ready == 1 else 'are'} stored"
            reporter.note(f"{name}: {stored}; the video ends there")
        keep_longer_video(directory, outputs[name], ready)
        width_px, height_px = shown_size(config.output, directory.plan.width_px, directory.plan.height_px)
        check_output(outputs[name], config.output, frame_count=ready, width_px=width_px, height_px=height_px)
        note_unused(outputs[name], config.output, reporter.note)
        shown = selected(source, range(ready))
        timeline = output_timeline(config.output, directory.plan, shown, outputs[name], fps)
        if opened.looked_for and timeline is not None and timeline.reads_content:
            check_input(opened, "export")  # one that is not found is an obstacle only if it has to be read
        keep_other_files(outputs[name], path, picture_count(shown, timeline))
        written.append(
            write_style(
                directory,
                name,
                config,
                source,
                timeline,
                ready=ready,
                output=outputs[name],
                reporter=reporter,
                cancellation=cancellation,
                fps=fps,
                checkpoint=cancellation.checkpoint("the video is not written", hint="the same command begins it again"),
            )
        )
    return written


def write_style(
    directory: RenderDirectory,
    style: str,
    config: Config,
    source: Source,
    timeline: Timeline | None,
    *,
    ready: int | None = None,
    output: Path,
    reporter: Reporter,
    cancellation: Cancellation,
    fps: Fraction | None = None,
    checkpoint: Callable[[], None] = lambda: None,
) -> Path:
    """Finish the first `ready` stored frames of a style, by default all, and write its video by its `output_timeline`.

    If `checkpoint` raises, no file is left.
    """
    from pipeline.analysis.content import content_frames
    from pipeline.media.writer.target import resolve

    plan = directory.plan
    size_px = (plan.width_px, plan.height_px)
    areas = finish_areas(config, plan, source, reporter, cancellation)
    source = source if ready is None else selected(source, range(ready))
    record = render_record(plan, style, config, source, fps, reporter)
    if source.kind == "photos":
        source, fps = paced(source, fps), None
    elif fps is not None:
        source = replace(source, has_audio=False)  # its audio has another pace, whatever the timeline does
    deep = resolve(output, config.output).deep
    seen = hashlib.sha256() if timeline is None else None

    def images(order: Sequence[int]) -> Generator[Pixels]:
        return finished_frames(directory, style, config, source, areas, checkpoint, seen, order=order, deep=deep)

    def contents(frames: range) -> Generator[Frame]:
        settings = config.input
        return content_frames(
            source, frames.start, frames.stop, size_px=size_px, settings=settings, exposure=plan.exposure
        )

    repeats = repeated(plan.shots, config.motion.hold)
    frames = FinishedFrames(images, contents, size_px, config.motion, repeats, config.runtime.threads)
    write_frames(output, frames, source, timeline, config.output, reporter, fps=fps, record=record)
    pixels = "" if seen is None else seen.hexdigest()
    pictures = 0 if timeline is None else len(timeline.shown)
    note_video(directory, style, output, source.frame_count, pixels, reporter, pictures)
    return output


def shown_pixels(directory: RenderDirectory, style: str, checkpoint: Callable[[], None]) -> str:
    """SHA-256 of the frames that a whole video of a style shows, as `Video.pixels` has it.

    Raises RenderDirectoryError if one is missing or damaged.
    """
    seen = hashlib.sha256()
    for stored in stored_frames(directory, style, range(directory.plan.source.frame_count), checkpoint):
        seen.update(stored.read().data)
    return seen.hexdigest()


def finished_frames(
    directory: RenderDirectory,
    style: str,
    config: Config,
    source: Source,
    areas: FrameValues | None = None,
    checkpoint: Callable[[], None] = lambda: None,
    seen: hashlib._Hash | None = None,
    *,
    order: Sequence[int] | None = None,
    deep: bool = False,
) -> Generator[Pixels]:
    """The frames of a style as its video shows them, uint8 or, if `deep`, uint16 (H, W, 3) sRGB.

    Several are finished at a time; `seen` hashes the stored pixels.

    `source` is what they show: from the first frame on, as far as they are stored. `order` are the frames that are
    wanted (None: all of them, once).
    """
    from pipeline.media.reader.source import read_deep
    from pipeline.postprocess.finish import reads_content
    from pipeline.postprocess.shot_look import sample_indices

    plan = directory.plan

    def contents_of(frames: range) -> Generator[Pixels]:
        size_px = (plan.width_px, plan.height_px)
        return read_deep(source, frames.start, frames.stop, size_px=size_px, settings=config.input)

    def samples(shot: Shot) -> dict[int, tuple[NDArray[np.uint8], Pixels | None]]:
        found = {}
        for index in sample_indices(shot.start, min(shot.stop, source.frame_count)):
            content = None
            if reads_content(config.output.finish):
                with closing(contents_of(range(index, index + 1))) as one:
                    content = next(one)
            found[index] = next(stored_frames(directory, style, range(index, index + 1))).read(), content
        return found

    finished = finisher(plan, config, samples, areas, deep=deep)
    wanted = range(source.frame_count) if order is None else order

    def stored_of(frames: range) -> Generator[StoredFrame]:
        return stored_frames(directory, style, frames, checkpoint)

    def frames() -> Generator[tuple[StoredFrame, Pixels | None]]:
        with ExitStack() as stack:
            stored = stack.enter_context(closing(in_any_order(wanted, stored_of)))
            if not reads_content(config.output.finish):
                for frame in stored:
                    yield frame, None
                return
            contents = stack.enter_context(closing(in_any_order(wanted, contents_of)))
            yield from zip(stored, contents, strict=False)

    def shown(frame: tuple[StoredFrame, Pixels | None]) -> tuple[NDArray[np.uint8], Pixels]:
        stored, content = frame
        stylized = stored.read()
        return stylized, finished(stored.index, stylized, content)

    def pictures() -> Generator[Pixels]:
        threads = thread_count((plan.width_px, plan.height_px), config.runtime.threads)
        with closing(map_in_order(shown, frames(), threads)) as found:
            for stylized, picture in found:
                if seen is not None:
                    seen.update(stylized.data)
                yield picture

    return pictures()

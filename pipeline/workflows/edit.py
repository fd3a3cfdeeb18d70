"""Touching up a stored frame: take it out as an image, put it back changed, and take that back again."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import InputError, RenderDirectoryError, UsageError
from pipeline.plan.edits import Edit, pins, runs, standing_on
from pipeline.runtime import atomic
from pipeline.store.directory import RenderDirectory, edit_command, resume_command
from pipeline.store.disk_errors import refused_read, writing
from pipeline.store.edits import (
    add_edit,
    describe_edit,
    next_version,
    recover_edits,
    restore_pinned,
    stored_edits,
    undo_edit,
)
from pipeline.store.frames import frame_name
from pipeline.store.holder import utc
from pipeline.store.videos import exported
from pipeline.workflows.opened import OpenedRender, open_render

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime.progress import Reporter
    from pipeline.types import Chain

DEFAULT_BLEND: Final = 8
"""Frames over which what follows from an edit approaches the frame at its stop."""


def take_out_frame(path: Path, frame: int, output: Path | None, *, style: str | None = None) -> Path:
    """Write stored frame `frame` as a PNG, as it is before the finish; returns where it is.

    By default that is `<chain id>-00000123.png` in the current folder. Raises UsageError if there is no such frame or
    style, for a name of another kind, and where a file of that default name holds something else, which may be painted;
    RenderDirectoryError if the frame is not stored, WriteError if the file cannot be written.
    """
    from pipeline.media.image.png import encode_png

    if output is not None and output.suffix.lower() != ".png":
        raise UsageError(f"-o {output}: expected a .png", hint="for example -o frame.png")
    opened = open_render(path)
    chain = _chain(opened, frame, style)
    _check_frames_are_here(opened.directory, chain)
    rgb = _stored_frame(opened.directory, chain, frame)
    target, data = output or Path(f"{chain.id}-{frame_name(frame)}"), encode_png(rgb)
    with writing(target):
        if output is None and target.exists() and target.read_bytes() != data:
            raise UsageError(
                f"{target}: exists, and is not frame {frame} as it is stored",
                hint="name a file with -o, or move this one away: somebody may have painted it",
            )
        atomic.make_folders(target.parent)
        atomic.write_bytes(target, data)
    return target


def put_back_frame(
    path: Path,
    frame: int,
    picture: Path,
    reporter: Reporter,
    *,
    style: str | None = None,
    until: int | None = None,
    blend: int | None = None,
) -> Edit:
    """Make a picture the stored frame `frame`; what follows from it is moved aside, so that it is stylized anew.

    That is up to frame `until`; by default up to the end of the chain (the next cut, or the end of the segment), the
    next frame that began anew, or the next frame that an edit gives. Where it ends before the end of the chain, the
    last `blend` frames approach the frame behind them.

    Where the picture is transparent, the stored frame shows through.

    Raises InputError for a picture that cannot be read, has another size or was not changed, UsageError for a frame, a
    style or an `until` that there is not, RenderDirectoryError if the frame is not stored or was removed, if `until`
    lies behind the frame of another edit, and if another process works here.
    """
    import numpy as np

    from pipeline.media.image.load import load_opacity, load_rgb
    from pipeline.media.image.png import encode_png

    opened = open_render(path)
    directory = opened.directory
    chain = _chain(opened, frame, style)
    rgb = load_rgb(picture)
    plan = directory.plan
    if rgb.shape[:2] != (plan.height_px, plan.width_px):
        raise InputError(
            f"{picture}: is {rgb.shape[1]}x{rgb.shape[0]}, expected {plan.width_px}x{plan.height_px}, the size of the "
            "stored frames",
            hint=f"begin with the stored frame: {edit_command(path)} --export {frame}",
        )
    with directory.lock():
        restore_pinned(directory)
        _check_frames_are_here(directory, chain)
        before = _stored_frame(directory, chain, frame)
        opacity = load_opacity(picture)
        if opacity is not None:  # it was laid over white
            over = rgb + (1 - opacity[..., None]) * (before.astype(np.float32) - 255)
            rgb = np.rint(over).clip(0, 255).astype(np.uint8)
        if (rgb == before).all():
            raise InputError(
                f"{picture}: is the stored frame {frame} as it is", hint="was the change saved to this file?"
            )
        stop, blend = _stop(opened, chain, frame, until, DEFAULT_BLEND if blend is None else blend)
        data = encode_png(rgb)
        edit = Edit(
            version=next_version(directory),
            chain=chain.id,
            frame=frame,
            stop=stop,
            blend=blend,
            digest=hashlib.sha256(data).hexdigest(),
            stop_digest="" if stop == chain.stop else _digest(directory, chain, stop),
            replaced=tuple(sorted(directory.stored(chain).intersection(range(frame, stop)))),
            made=utc(time.time()),
        )
        add_edit(directory, edit, data)
    reporter.note(describe_edit(directory, edit))
    return edit


def undo(path: Path, version: int | None, reporter: Reporter) -> Edit:
    """Take an edit back, by default the latest: the frames that it replaced are stored again, byte for byte.

    Raises UsageError if there is no such edit, RenderDirectoryError if a later edit stands on it, naming that one, or
    if its frames were removed after their video was written.
    """
    directory = open_render(path).directory
    with directory.lock():
        recover_edits(directory)
        edits = [edit for edit in stored_edits(directory) if edit.active]
        found = [edit for edit in edits if version in (None, edit.version)]
        if not found:
            known = ", ".join(str(edit.version) for edit in edits) or "none"
            what = "no edit" if version is None else f"no edit {version}"
            raise UsageError(
                f"{path}: there is {what} to undo (there are: {known})", hint=f"{edit_command(path)} --list"
            )
        edit = found[-1]
        _check_frames_are_here(directory, directory.chain(edit.chain))
        if later := standing_on(edit, edits):
            raise RenderDirectoryError(
                f"{path}: edit {later[-1].version} was made on what follows from edit {edit.version}",
                hint=f"take that back first: {edit_command(path)} --undo {later[-1].version}",
            )
        lost = undo_edit(directory, edit)
    reporter.note(f"edit {edit.version} is undone")
    if lost:
        reporter.note(f"{lost} of the frames that it replaced are not there any more; they are stylized anew")
    return edit


def _chain(opened: OpenedRender, frame: int, style: str | None) -> Chain:
    """The chain whose frame of that index is in the video. Raises UsageError if there is none."""
    names, count = list(opened.configs), opened.source.frame_count
    if (style is None and len(names) > 1) or style not in (None, *names):
        found = "has several styles" if style is None else f"has no style {style!r}"
        raise UsageError(f"{opened.path}: {found}: {', '.join(names)}", hint=f"choose one: --style {names[0]}")
    if frame not in range(count):
        raise UsageError(
            f"{opened.path}: there is no frame {frame}", hint=f"its frames are numbered from 0 to {count - 1}"
        )
    chains = [chain for chain in opened.plan.chains if chain.style == (style or names[0]) and chain.in_output]
    return next(chain for chain in chains if frame in chain.frames)


def _check_frames_are_here(directory: RenderDirectory, chain: Chain) -> None:
    video = exported(directory).get(chain.style)
    if video is not None:
        raise video.no_frames(directory.path, "touch up that video with another program")


def _stored_frame(directory: RenderDirectory, chain: Chain, frame: int) -> NDArray[np.uint8]:
    """A stored frame that all frames before it lead up to. Raises RenderDirectoryError if it is not there."""
    edits = stored_edits(directory)
    run = next((run for run in runs(edits, chain) if frame in run.frames), None)
    if run is not None and frame >= directory.done(chain, run.frames):
        raise RenderDirectoryError(
            f"{directory.path}: frame {frame} of {chain.style!r} is not stored yet",
            hint=f"stylize it first: {resume_command(directory.path)}",
        )
    return directory.read_frame(chain.id, frame)


def _stop(opened: OpenedRender, chain: Chain, frame: int, until: int | None, blend: int) -> tuple[int, int]:
    """Where an edit stops, and how many frames before that approach the frame there."""
    directory, config = opened.directory, opened.configs[chain.style]
    hold, origin = config.motion.hold, opened.plan.shots[chain.shot].start
    if frame != chain.start and (frame - origin) % hold:
        shown = max(chain.start, frame - (frame - origin) % hold)
        raise UsageError(
            f"frame {frame} repeats frame {shown}, since motion.hold is {hold}", hint=f"edit it there: --frame {shown}"
        )
    pinned = {index: pin for index, pin in pins(stored_edits(directory), chain).items() if index > frame}
    stored = directory.stored(chain)
    if until is not None:
        if until not in range(frame, chain.stop):
            raise UsageError(
                f"--until {until}: expected frame {frame} to frame {chain.stop - 1}, with which this part of the clip "
                "ends",
                hint="--until is the last frame that is made anew; leave it out to go on to the end",
            )
        stop = min(chain.stop, origin + -(-(until + 1 - origin) // hold) * hold)
        if pinned and stop > min(pinned):
            first = min(pinned)
            version = pinned[first].edit.version
            raise RenderDirectoryError(
                f"--until {until}: edit {version} gives frame {first}, which would be made anew",
                hint=f"--until {first - 1}, or take that edit back first: {edit_command(opened.path)} --undo {version}",
            )
        if stop < chain.stop and stop not in stored:
            raise RenderDirectoryError(
                f"--until {until}: frame {stop} is not stored yet, so there is nothing to blend into",
                hint="leave --until out: what comes next follows from the edit anyway",
            )
        return stop, 0 if stop == chain.stop else min(blend, stop - frame - 1)
    if config.motion.every_frame_cold:
        return (frame + 1, 0) if frame + 1 in stored else (chain.stop, 0)
    anew = {record["frame"]: record.get("anew") for record in directory.read_stats() if record.get("chain") == chain.id}
    began_anew = [index for index in stored if index > frame and anew.get(index) is True]
    first = min([chain.stop, *pinned, *began_anew])
    return first, min(blend, first - frame - 1) if first in pinned else 0


def _digest(directory: RenderDirectory, chain: Chain, index: int) -> str:
    """SHA-256 of the file of a stored frame. Raises RenderDirectoryError if it is damaged."""
    directory.read_frame(chain.id, index)
    path = directory.frame_path(chain.id, index)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise refused_read(path, error) from error

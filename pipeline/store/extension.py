"""Giving a render more frames: its longer plan takes the place of the old one, and the frames of both stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import RenderDirectoryError
from pipeline.plan.comparison import extends
from pipeline.plan.extension import kept_until
from pipeline.plan.plan_file import plan_to_json
from pipeline.store.directory import RenderDirectory, edit_command
from pipeline.store.edits import recover_edits, stored_edits
from pipeline.store.frames import frame_name
from pipeline.store.superseded import supersede
from pipeline.store.videos import exported

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.config.settings import Config
    from pipeline.types import RenderPlan


@dataclass(frozen=True, slots=True)
class Extended:
    """How many frames a render had and has, and how many of the stored ones (of every chain) stay and do not."""

    before: int
    now: int
    kept: int
    stale: int


def extend(path: Path, plan: RenderPlan, configs: Mapping[str, Config]) -> Extended | None:
    """Let `plan` take the place of the plan in a render directory, if it is that one with more frames at its end.

    Stored frames that it would give too stay; the others are moved to `plans/`. `configs` are those of its styles.
    Returns None, and changes nothing, if it extends no plan. Raises RenderDirectoryError if another process works here,
    if frames of a style were removed after its video was written, or if an edit rests on a frame that must be stylized
    anew; WriteError if the disk refuses: then the old plan is still there, with its frames.
    """
    directory = RenderDirectory.open(path)
    if not extends(directory.plan, plan, where=str(path)):
        return None
    with directory.lock():
        recover_edits(directory)
        kept = kept_until(directory.plan, plan, configs)
        _check_frames_are_here(directory)
        _check_edits(directory, kept)
        stored = [(chain.id, index) for chain in directory.plan.chains for index in sorted(directory.stored(chain))]
        stale = [(id_, index) for id_, index in stored if index >= kept.get(id_, 0)]
        supersede(path, plan_to_json(plan).encode("ascii"), [(id_, frame_name(index)) for id_, index in stale])
    counts = directory.plan.source.frame_count, plan.source.frame_count
    return Extended(*counts, kept=len(stored) - len(stale), stale=len(stale))


def _check_frames_are_here(directory: RenderDirectory) -> None:
    for style, video in exported(directory).items():
        raise RenderDirectoryError(
            f"{directory.path}: the frames of {style!r} were removed after {video.absolute_path(directory.path)} was "
            "written, so no more can follow them",
            hint="render all frames under another -o or --workdir; or begin anew with --fresh (the old folder is moved "
            "aside)",
        )


def _check_edits(directory: RenderDirectory, kept: Mapping[str, int]) -> None:
    """Raise RenderDirectoryError unless every frame that an edit replaced, and the one at its stop, stays."""
    for edit in stored_edits(directory):
        if edit.active and edit.stop + bool(edit.stop_digest) > kept.get(edit.chain, 0):
            raise RenderDirectoryError(
                f"{directory.path}: with more frames, frame {edit.frame} or one that follows from it in edit "
                f"{edit.version} is stylized anew, so the edit does not fit any more",
                hint=f"take it back: {edit_command(directory.path)} --undo {edit.version}; or render all frames under "
                "another -o or --workdir",
            )

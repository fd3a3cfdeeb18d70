"""How many frames are left of a render, and which of them begin cold, as its plan, its edits and its store say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pipeline.plan.edits import Edit, Run, runs
from pipeline.store.directory import RenderDirectory
from pipeline.store.edits import stored_edits
from pipeline.store.superseded import PLAN_NAME
from pipeline.store.videos import exported

if TYPE_CHECKING:
    from pipeline.config.settings import MotionSettings
    from pipeline.types import RenderPlan
    from pipeline.workflows.prepare import Prepared


class FrameCounts(NamedTuple):
    """Frames that are stylized cold and warm, and stored frames that are shown again."""

    cold: int = 0
    warm: int = 0
    repeated: int = 0


def frames_left(prepared: Prepared, *, anew: bool = False) -> dict[str, FrameCounts]:
    """The frames that are left by style; with `anew` stored frames and edits are ignored.

    Frames that will start anew count as warm. Styles whose video is written and whose frames were removed are left out.
    Raises RenderDirectoryError if the directory cannot be read.
    """
    directory = RenderDirectory(prepared.path, prepared.plan)
    begun = not anew and (prepared.path / PLAN_NAME).exists()
    edits = [edit for edit in stored_edits(directory) if edit.active] if begun else []
    done = exported(directory) if begun else {}
    return {
        name: _left(prepared.plan, name, config.motion, edits, directory if begun else None)
        for name, config in prepared.configs.items()
        if name not in done
    }


def _left(
    plan: RenderPlan, style: str, motion: MotionSettings, edits: Sequence[Edit], stored: RenderDirectory | None
) -> FrameCounts:
    counts = dict.fromkeys(FrameCounts._fields, 0)
    for chain in plan.chains:
        if chain.style != style:
            continue
        for run in runs(edits, chain):
            start = run.start if stored is None else stored.done(chain, run.frames)
            for index in range(start, run.stop, chain.interval):
                counts[_kind(run, index, plan.shots[chain.shot].start, motion)] += 1
    return FrameCounts(**counts)


def _kind(run: Run, index: int, hold_origin: int, motion: MotionSettings) -> str:
    """How a frame of a chain comes about: the rules of `execute.chain_frames`."""
    chain = run.chain
    first = index == chain.start
    if first and chain.keyframe_chain:
        return "repeated"
    if not first and chain.interval == 1 and (index - hold_origin) % motion.hold:
        return "repeated"
    return "cold" if first or motion.every_frame_cold else "warm"

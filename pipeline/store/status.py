"""What `tempera status` says about a render directory. Reading only, no lock needed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.plan.chains import phases_left
from pipeline.plan.edits import runs
from pipeline.runtime.progress import Estimate
from pipeline.store import lock, videos
from pipeline.store.edits import describe_edit, stored_edits
from pipeline.store.last_check import LastCheck, last_check

if TYPE_CHECKING:
    from pipeline.store.directory import RenderDirectory
    from pipeline.store.holder import Holder
    from pipeline.store.lock import LockState
    from pipeline.types import Phase


@dataclass(frozen=True, slots=True)
class Progress:
    """How far something is: frames done and left, and what a frame cost, or None if no statistics say.

    `anew` frames started cold because too little of them corresponded with the frame before.
    """

    done: int
    left: int
    seconds_per_frame: float | None
    """Mean of `seconds` over the frames stylized in the latest session (see `RenderDirectory.append_stats`)."""
    mean_evaluations: float | None
    """Mean of `evaluations` over all frames that have statistics."""
    anew: int
    seconds_left: float | None
    """Estimated seconds of work left, by the cold and the warm frames of the latest session; None if there is none."""


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """Progress of one chain."""

    id: str
    style: str
    shot: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class Status:
    """Progress of a render, and whether a process works on it ("unknown": another machine says that it does)."""

    state: LockState
    holder: Holder | None
    chains: tuple[ChainStatus, ...]
    total: Progress
    exported: tuple[str, ...] = ()
    """Styles whose frames were removed after their video was written; they count as done."""
    edits: tuple[str, ...] = ()
    """The edits that are not undone, each in one sentence."""
    checked: LastCheck | None = None
    """The last check of the stored frames, if one is known."""
    videos: tuple[str, ...] = ()
    """Of each of the styles in `exported`, which video replaces its frames, or that it is not there."""

    @property
    def finished(self) -> bool:
        """Whether every frame of every chain is stored."""
        return self.total.left == 0


def read_status(directory: RenderDirectory) -> Status:
    """Progress of every chain and of the whole. Raises RenderDirectoryError if the directory cannot be read."""
    records = directory.read_stats()
    session = next((record["session"] for record in reversed(records) if isinstance(record.get("session"), str)), None)
    latest: dict[tuple[str, int], dict[str, Any]] = {}
    for record in records:
        chain, index = record.get("chain"), record.get("frame")
        if isinstance(chain, str) and type(index) is int:
            latest[chain, index] = record
    per_chain: dict[str, list[dict[str, Any]]] = {chain.id: [] for chain in directory.plan.chains}
    for (chain_id, _), record in latest.items():
        if chain_id in per_chain:
            per_chain[chain_id].append(record)
    every = [record for chosen in per_chain.values() for record in chosen]
    latest_session = [record for record in every if record.get("session") == session]
    rows: list[ChainStatus] = []
    total_left: Counter[Phase] = Counter()
    exported = videos.exported(directory)
    edits = [edit for edit in stored_edits(directory) if edit.active]
    for chain in directory.plan.chains:
        stored_no_more = chain.style in exported
        unfinished = 0
        if not stored_no_more:
            for run in runs(edits, chain):
                unfinished += chain.remaining(directory.done(chain, run.frames)) - chain.remaining(run.stop)
        # Where a frame behind the first one was cold as planned, every frame is.
        every_frame_cold = any(
            record.get("phase") == "cold" and record.get("anew") is False and record.get("frame") != chain.start
            for record in per_chain[chain.id]
        )
        left = phases_left(chain, unfinished, every_frame_cold=every_frame_cold)
        total_left.update(left)
        progress = _progress(len(chain.frames), left, per_chain[chain.id], latest_session)
        rows.append(ChainStatus(chain.id, chain.style, chain.shot, progress))
    frames = sum(len(chain.frames) for chain in directory.plan.chains)
    total = _progress(frames, total_left, every, latest_session)
    state, holder = lock.probe(directory.path)
    described = tuple(describe_edit(directory, edit) for edit in edits)
    replaced = tuple(video.instead_of_frames(directory.path, content=False) for _, video in sorted(exported.items()))
    found = last_check(directory)
    return Status(state, holder, tuple(rows), total, tuple(sorted(exported)), described, found, replaced)


def _progress(
    frames: int, left: dict[Phase, int], records: list[dict[str, Any]], latest_session: list[dict[str, Any]]
) -> Progress:
    """Progress of something with so many frames; `latest_session` has records of every chain, `records` its own."""
    count = sum(left.values())
    session = latest_session[0].get("session") if latest_session else None
    own = [record for record in records if record.get("session") == session]
    return Progress(
        done=frames - count,
        left=count,
        seconds_per_frame=_mean(own, "seconds"),
        mean_evaluations=_mean(records, "evaluations"),
        anew=sum(record.get("anew") is True for record in records),
        seconds_left=_seconds_left(left, latest_session),
    )


def _seconds_left(left: dict[Phase, int], session: list[dict[str, Any]]) -> float | None:
    """The estimate of `Estimate` after the frames of a session; by their mean where it does not know yet."""
    count = sum(left.values())
    if not count:
        return 0.0
    known = [
        record
        for record in session
        if record.get("phase") in ("cold", "warm") and type(record.get("seconds")) in (int, float)
    ]
    planned_cold = sum(record["phase"] == "cold" and record.get("anew") is not True for record in known)
    estimate = Estimate({"cold": left["cold"] + planned_cold, "warm": left["warm"] + len(known) - planned_cold})
    for record in known:
        if record.get("anew") is True:
            estimate.started_anew()
        estimate.frame_stored(record["phase"], record["seconds"])
    seconds, mean = estimate.seconds_left(), _mean(session, "seconds")
    return seconds if seconds is not None else None if mean is None else count * mean


def _mean(records: list[dict[str, Any]], key: str) -> float | None:
    values = [record[key] for record in records if type(record.get(key)) in (int, float)]
    return sum(values) / len(values) if values else None

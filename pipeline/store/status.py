"""What `tempera status` says about a render directory. Reading only, no lock needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.store import lock, videos

if TYPE_CHECKING:
    from pipeline.store.directory import RenderDirectory
    from pipeline.store.holder import Holder
    from pipeline.store.lock import LockState


@dataclass(frozen=True, slots=True)
class Progress:
    """How far something is: frames done and left, and what a frame cost, or None if no statistics say."""

    done: int
    left: int
    seconds_per_frame: float | None
    """Mean of `seconds` over the frames stylized in the latest session (see `RenderDirectory.append_stats`)."""
    mean_evaluations: float | None
    """Mean of `evaluations` over all frames that have statistics."""

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds of work left, or None if no frame has been stylized yet."""
        return 0.0 if not self.left else None if self.seconds_per_frame is None else self.left * self.seconds_per_frame


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
    rows = []
    exported = videos.exported(directory)
    for chain in directory.plan.chains:
        left = 0 if chain.style in exported else chain.remaining(directory.done(chain))
        progress = _progress(len(chain.frames) - left, left, per_chain[chain.id], session)
        rows.append(ChainStatus(chain.id, chain.style, chain.shot, progress))
    total = _progress(
        sum(row.progress.done for row in rows),
        sum(row.progress.left for row in rows),
        [record for chosen in per_chain.values() for record in chosen],
        session,
    )
    state, holder = lock.probe(directory.path)
    return Status(state, holder, tuple(rows), total, tuple(sorted(exported)))


def _progress(done: int, left: int, records: list[dict[str, Any]], session: str | None) -> Progress:
    recent = [record for record in records if record.get("session") == session]
    return Progress(done, left, _mean(recent, "seconds"), _mean(records, "evaluations"))


def _mean(records: list[dict[str, Any]], key: str) -> float | None:
    values = [record[key] for record in records if type(record.get(key)) in (int, float)]
    return sum(values) / len(values) if values else None

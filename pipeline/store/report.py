"""What `tempera status` and `tempera verify` say about a render directory. Reading only, no lock needed."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipeline.runtime import atomic
from pipeline.store import frames, lock, videos
from pipeline.store.directory import TOP_NAMES, RenderDirectory

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.store.lock import Holder, LockState
    from pipeline.types import Chain


@dataclass(frozen=True, slots=True)
class Progress:
    """How far something is: frames done and left, and what a frame cost, or None if no statistics say."""

    done: int
    left: int
    seconds_per_frame: float | None
    """Mean of `seconds` over the frames painted by the latest session (see `RenderDirectory.append_stats`)."""
    mean_evaluations: float | None
    """Mean of `evaluations` over all frames that have statistics."""

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds of work left, or None if nothing was painted yet."""
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
    """Progress of a render, and whether somebody works on it ("unknown": another machine says that it does)."""

    state: LockState
    holder: Holder | None
    chains: tuple[ChainStatus, ...]
    total: Progress
    delivered: tuple[str, ...] = ()
    """Styles whose frames were removed once their video was written; they count as done."""

    @property
    def finished(self) -> bool:
        """Whether every frame of every chain is stored."""
        return self.total.left == 0


@dataclass(frozen=True, slots=True)
class Finding:
    """One file that is not as it should be. `path` is relative to the render directory.

    "damaged": a stored frame that is not whole, or a video that has changed since its frames were removed; "missing": a
    frame that is not there though a later one of its chain is, or such a video; "foreign": a file that we did not make,
    and leave alone; "leftover": a temporary file of a crash, swept when a render takes the lock, or a frame that
    `tempera clean` was about to remove.
    """

    kind: Literal["damaged", "missing", "foreign", "leftover"]
    path: str
    what: str
    chain: str | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Result of checking every stored frame."""

    checked: int
    """Stored frames that were read."""
    unpainted: int
    """Frames that were simply not painted yet."""
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged or missing; foreign files and leftovers harm nothing."""
        return not any(finding.kind in ("damaged", "missing") for finding in self.findings)


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
    delivered = videos.delivered(directory)
    for chain in directory.plan.chains:
        left = 0 if chain.style in delivered else chain.remaining(directory.done(chain))
        progress = _progress(len(chain.frames) - left, left, per_chain[chain.id], session)
        rows.append(ChainStatus(chain.id, chain.style, chain.shot, progress))
    total = _progress(
        sum(row.progress.done for row in rows),
        sum(row.progress.left for row in rows),
        [record for chosen in per_chain.values() for record in chosen],
        session,
    )
    state, holder = lock.probe(directory.path)
    return Status(state, holder, tuple(rows), total, tuple(sorted(delivered)))


def verify_frames(directory: RenderDirectory, on_frame: Callable[[int, int], None] | None = None) -> Report:
    """Read and check every stored frame; `on_frame(checked, of)` is called after each.

    Raises RenderDirectoryError if the disk refuses to read.
    """
    plan = directory.plan
    delivered = videos.delivered(directory)
    stored = {chain.id: directory.stored(chain) for chain in plan.chains if chain.style not in delivered}
    of = sum(len(indices) for indices in stored.values())
    checked = unpainted = 0
    findings: list[Finding] = []
    for chain in plan.chains:
        if chain.style in delivered:
            continue
        indices = stored[chain.id]
        last = max(indices, default=chain.frames.start - 1)
        unpainted += sum(index > last for index in chain.frames)
        for index in chain.frames:
            if index > last:
                break
            if index in indices:
                _, problem = frames.load(directory.frame_path(chain.id, index), plan.width_px, plan.height_px)
                checked += 1
                if on_frame is not None:
                    on_frame(checked, of)
            else:
                problem = "missing"
            if problem:
                kind: Literal["damaged", "missing"] = "missing" if problem == "missing" else "damaged"
                findings.append(
                    Finding(kind, f"frames/{chain.id}/{frames.frame_name(index)}", problem, chain.id, index)
                )
    for video in delivered.values():
        if problem := video.problem(directory.path):
            kind = "missing" if problem == "missing" else "damaged"
            findings.append(Finding(kind, video.path, f"{problem}, and its frames were removed"))
    findings.extend(_strangers(directory, delivered))
    return Report(checked, unpainted, tuple(findings))


def _progress(done: int, left: int, records: list[dict[str, Any]], session: str | None) -> Progress:
    fresh = [record for record in records if record.get("session") == session]
    return Progress(done, left, _mean(fresh, "seconds"), _mean(records, "evaluations"))


def _mean(records: list[dict[str, Any]], key: str) -> float | None:
    values = [record[key] for record in records if type(record.get(key)) in (int, float)]
    return sum(values) / len(values) if values else None


def _strangers(directory: RenderDirectory, delivered: Container[str]) -> list[Finding]:
    """Files that do not belong to the render, by folder and name."""
    chains = {chain.id: chain for chain in directory.plan.chains}
    found: list[Finding] = []
    for path in sorted(directory.path.iterdir()):
        if path.name not in TOP_NAMES:
            found.append(_stranger(directory.path, path))
    for folder in sorted(directory.frames_path.iterdir()) if directory.frames_path.is_dir() else ():
        chain = chains.get(folder.name)
        if folder.name == videos.DELIVERED_NAME:
            continue
        if chain is None or not folder.is_dir():
            found.append(_stranger(directory.path, folder))
            continue
        if chain.style in delivered:
            found.extend(
                Finding("leftover", path.relative_to(directory.path).as_posix(), "`tempera clean --frames` removes it")
                for path in sorted(folder.iterdir())
                if _belongs(chain, path)
            )
        found.extend(_stranger(directory.path, path) for path in sorted(folder.iterdir()) if not _belongs(chain, path))
    if any(finding.kind == "leftover" for finding in found) and lock.probe(directory.path)[0] != "stopped":
        return [finding for finding in found if finding.kind != "leftover"]  # somebody may be writing just that file
    return found


def _belongs(chain: Chain, path: Path) -> bool:
    index = frames.frame_index(path.name)
    return index is not None and index in chain.frames


def _stranger(root: Path, path: Path) -> Finding:
    name = path.relative_to(root).as_posix()
    if atomic.is_temporary(path.name):
        return Finding("leftover", name, "left by a crash in mid-write; the next render here sweeps it")
    return Finding("foreign", name, "not made by this render; left alone")

"""What `tempera verify` finds in a render directory: every stored frame is read and checked. No lock needed."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.plan.edits import Edit, pins, runs
from pipeline.runtime import atomic
from pipeline.store import frames, lock, videos
from pipeline.store.directory import TOP_NAMES, RenderDirectory
from pipeline.store.edits import EDITS_NAME, frame_problem, picture_problem, pin_path, stored_edits

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.types import Chain


@dataclass(frozen=True, slots=True)
class Finding:
    """One file that is not as it should be. `path` is relative to the render directory.

    "damaged": a stored frame or the picture of an edit that is incomplete or changed, or a video that has changed since
    its frames were removed.
    "missing": a frame that is not there though a later one of its chain is, or such a video.
    "foreign": a file that we did not make, and leave alone.
    "leftover": a temporary file of a crash, removed when a render takes the lock, or a frame that `tempera clean` was
    about to remove.
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
    unstylized: int
    """Frames that were not stylized yet."""
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged or missing; foreign files and leftovers are harmless."""
        return not any(finding.kind in ("damaged", "missing") for finding in self.findings)


def verify_frames(directory: RenderDirectory, on_frame: Callable[[int, int], None] | None = None) -> Report:
    """Read and check every stored frame; `on_frame(checked, of)` is called after each.

    Raises RenderDirectoryError if the disk refuses to read.
    """
    exported = videos.exported(directory)
    chains = [chain for chain in directory.plan.chains if chain.style not in exported]
    stored = {chain.id: directory.stored(chain) for chain in chains}
    of = sum(len(indices) for indices in stored.values())
    checked = unstylized = 0
    findings: list[Finding] = []
    edits = [edit for edit in stored_edits(directory) if edit.active]
    for chain in chains:
        indices = stored[chain.id]
        pinned = pins(edits, chain)
        wanted = set(pinned)
        for run in runs(edits, chain):
            last = max(indices.intersection(run.frames), default=run.start - 1)
            unstylized += sum(index > last for index in run.frames)
            wanted.update(index for index in run.frames if index <= last)
        for index in sorted(wanted):
            problem = "missing"
            if index in indices:
                problem = _problem(directory, chain, index)
                if not problem and index in pinned:
                    problem = frame_problem(directory, chain, index, pinned[index])
                checked += 1
                if on_frame is not None:
                    on_frame(checked, of)
            if problem:
                path = f"{frames.FRAMES_NAME}/{chain.id}/{frames.frame_name(index)}"
                findings.append(Finding(_kind(problem), path, problem, chain.id, index))
        for index, pin in pinned.items():
            if problem := picture_problem(directory, pin):
                path = pin_path(directory, pin).relative_to(directory.path).as_posix()
                findings.append(Finding(_kind(problem), path, problem, chain.id, index))
    findings.extend(_interrupted(stored_edits(directory)))
    for video in exported.values():
        if problem := video.problem(directory.path):
            findings.append(Finding(_kind(problem), video.path, f"{problem}, and its frames were removed"))
    findings.extend(_unexpected_files(directory, exported))
    return Report(checked, unstylized, tuple(findings))


def _problem(directory: RenderDirectory, chain: Chain, index: int) -> str:
    plan = directory.plan
    return frames.load(directory.frame_path(chain.id, index), plan.width_px, plan.height_px)[1]


def _interrupted(edits: Iterable[Edit]) -> list[Finding]:
    return [
        Finding("leftover", f"{EDITS_NAME}/{edit.version:04d}", "was interrupted; the next command completes it")
        for edit in edits
        if edit.state in ("applying", "undoing")
    ]


def _kind(problem: str) -> Literal["damaged", "missing"]:
    return "missing" if problem == "missing" else "damaged"


def _unexpected_files(directory: RenderDirectory, exported: Container[str]) -> list[Finding]:
    """Foreign files and leftovers, by folder and name."""
    chains = {chain.id: chain for chain in directory.plan.chains}
    root = directory.path
    found = [_unexpected(root, path) for path in sorted(root.iterdir()) if path.name not in TOP_NAMES]
    for folder in sorted(directory.frames_path.iterdir()) if directory.frames_path.is_dir() else ():
        chain = chains.get(folder.name)
        if folder.name == videos.EXPORTED_NAME:
            continue
        if chain is None or not folder.is_dir():
            found.append(_unexpected(root, folder))
            continue
        for path in sorted(folder.iterdir()):
            if not _belongs(chain, path):
                found.append(_unexpected(root, path))
            elif chain.style in exported:
                name = path.relative_to(root).as_posix()
                found.append(Finding("leftover", name, "`tempera clean --frames` removes it"))
    if any(finding.kind == "leftover" for finding in found) and lock.probe(root)[0] != "stopped":
        return [finding for finding in found if finding.kind != "leftover"]  # it may be being written just now
    return found


def _belongs(chain: Chain, path: Path) -> bool:
    index = frames.frame_index(path.name)
    return index is not None and index in chain.frames


def _unexpected(root: Path, path: Path) -> Finding:
    name = path.relative_to(root).as_posix()
    if atomic.is_temporary(path.name):
        return Finding("leftover", name, "a temporary file of a crash; the next render here removes it")
    return Finding("foreign", name, "not made by this render; left alone")

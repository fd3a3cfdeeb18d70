"""Plans that a longer one has taken the place of, and the stored frames that it does not share.

plans/0001/plan.json                        the first plan, byte for byte
plans/0001/frames/<chain id>/00000123.png   the frames that are stylized anew, where there are any

The frames are moved here before the new `plan.json` is written, in one step. So after a crash either the new plan is
there and holds good frames only, or the old one is, and `restore_interrupted` puts its frames back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from pipeline.runtime import atomic
from pipeline.store.disk_errors import writing
from pipeline.store.frames import FRAMES_NAME

PLAN_NAME: Final = "plan.json"
PLANS_NAME: Final = "plans"
_FOLDER: Final = re.compile(r"\d{4,}")


def supersede(path: Path, plan: bytes, stale: Iterable[tuple[str, str]]) -> None:
    """Make `plan` the `plan.json` of a render directory; the old one and the `stale` frames are moved aside.

    `stale` are (chain id, file name) of frames. The caller holds the lock. Raises WriteError; then the old plan is
    still there, and `restore_interrupted` puts its frames back.
    """
    folders = _folders(path)
    folder = path / PLANS_NAME / f"{(int(folders[-1].name) if folders else 0) + 1:04d}"
    with writing(folder):
        for new in (folder.parent, folder):
            atomic.make_folder(new)
            atomic.sync_folder(new.parent)
        atomic.write_bytes(folder / PLAN_NAME, (path / PLAN_NAME).read_bytes())
        _move(path, folder, stale)
    with writing(path / PLAN_NAME):
        atomic.write_bytes(path / PLAN_NAME, plan)


def restore_interrupted(path: Path) -> None:
    """Put the frames of a plan back that was about to be superseded when a crash or an error came.

    The caller holds the lock. Raises WriteError.
    """
    for folder in _folders(path)[-1:]:
        with writing(folder):
            atomic.remove_leftovers(folder)
            copy = folder / PLAN_NAME
            frames = [(file.parent.name, file.name) for file in (folder / FRAMES_NAME).glob("*/*.png")]
            if copy.exists():  # it is written before the first frame is moved
                if copy.read_bytes() != (path / PLAN_NAME).read_bytes():
                    return  # the new plan is in its place
                _move(folder, path, frames)
            elif frames:
                return  # not ours: somebody has removed the copy
            atomic.remove_folder(folder)


def superseded_frames(path: Path) -> list[Path]:
    """The folders with frames that were stylized anew for a longer plan."""
    return [folder / FRAMES_NAME for folder in _folders(path) if (folder / FRAMES_NAME).is_dir()]


def _move(source: Path, target: Path, frames: Iterable[tuple[str, str]]) -> None:
    """Move frames, (chain id, file name), from one folder of `frames/` to another one, durably."""
    chains: set[str] = set()
    for chain, name in frames:
        if chain not in chains:
            for folder in (target / FRAMES_NAME, target / FRAMES_NAME / chain):
                atomic.make_folder(folder)
                atomic.sync_folder(folder.parent)
            chains.add(chain)
        atomic.replace(source / FRAMES_NAME / chain / name, target / FRAMES_NAME / chain / name)
    for chain in chains:
        atomic.sync_folder(target / FRAMES_NAME / chain)
        atomic.sync_folder(source / FRAMES_NAME / chain)
        with suppress(OSError):  # frames that stay, or foreign files
            (source / FRAMES_NAME / chain).rmdir()


def _folders(path: Path) -> list[Path]:
    root = path / PLANS_NAME
    found = [entry for entry in root.iterdir() if _FOLDER.fullmatch(entry.name)] if root.is_dir() else []
    return sorted(found, key=lambda folder: int(folder.name))

"""Edits in a render directory: versioned inputs that replace stored frames, and can be undone.

edits/0001/frame.png     the picture, as the bytes of a stored frame
edits/0001/stop.png      a copy of the stored frame at which the edit stops, unless that is the end of its chain
edits/0001/edit.json     what it replaces; written once
edits/0001/state.json    "applying", "applied", "undoing" or "undone"
edits/0001/replaced/     the frames that were stored before

The edit exists from the moment its first state is on the disk. A crash after that leaves "applying" or "undoing", and
`recover_edits` completes the work; a crash before it leaves a folder without a state and without replaced frames, which
is removed.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from pipeline.errors import RenderDirectoryError
from pipeline.plan.edits import Edit, EditState, Pin, pins
from pipeline.runtime import atomic
from pipeline.runtime.hashing import canonical_json, file_digest
from pipeline.store.directory import RenderDirectory, edit_command
from pipeline.store.disk_errors import refused_read, writing
from pipeline.store.frames import frame_name
from pipeline.store.videos import exported

if TYPE_CHECKING:
    from pipeline.types import Chain

EDITS_NAME: Final = "edits"
_PICTURE, _STOP, _RECORD, _STATE, _REPLACED = "frame.png", "stop.png", "edit.json", "state.json", "replaced"
_FOLDER: Final = re.compile(r"\d{4,}")
_VERSION_KEY: Final = "tempera_edit"
_VERSION: Final = 1


def stored_edits(directory: RenderDirectory) -> tuple[Edit, ...]:
    """Every edit of a render, in the order of their versions; undone ones too, unless their chain is gone.

    An edit that reaches to the end of its chain does so also after the render got more frames.

    Raises RenderDirectoryError if one is damaged: then it is not known which frames are given.
    """
    found = (_read(directory, folder) for folder in _folders(directory) if not _uncommitted(folder))
    return tuple(edit for edit in found if edit is not None)


def next_version(directory: RenderDirectory) -> int:
    """The number of an edit that is made now."""
    return max((int(folder.name) for folder in _folders(directory)), default=0) + 1


def pin_path(directory: RenderDirectory, pin: Pin) -> Path:
    """The file of a pinned frame among the edits."""
    return _folder(directory, pin.edit) / (_STOP if pin.at_stop else _PICTURE)


def add_edit(directory: RenderDirectory, edit: Edit, picture: bytes) -> None:
    """Store an edit and apply it: its picture becomes the stored frame, the frames behind it are moved aside.

    `picture` are the bytes of a stored frame. Needs the lock. Raises WriteError or RenderDirectoryError.
    """
    directory.check_lock()
    folder = _folder(directory, edit)
    with writing(folder):
        for path in (folder.parent, folder, folder / _REPLACED):
            atomic.make_folder(path)
            atomic.sync_folder(path.parent)
        atomic.write_bytes(folder / _PICTURE, picture)
        if edit.stop_digest:
            atomic.write_bytes(folder / _STOP, directory.frame_path(edit.chain, edit.stop).read_bytes())
        record = {key: value for key, value in asdict(edit).items() if key != "state"}
        atomic.write_bytes(folder / _RECORD, canonical_json({_VERSION_KEY: _VERSION, **record}) + b"\n")
    _set_state(directory, edit, "applying")
    _apply(directory, edit)


def undo_edit(directory: RenderDirectory, edit: Edit) -> int:
    """Put the frames back that an edit replaced, byte for byte, and remove those that were stylized from it.

    Returns how many of the replaced ones are gone; they are stylized anew. Needs the lock; the caller has made sure
    that no later edit stands on this one. Raises WriteError or RenderDirectoryError.
    """
    directory.check_lock()
    folder = _folder(directory, edit) / _REPLACED
    lost = sum(not (folder / frame_name(index)).exists() for index in edit.replaced)
    _set_state(directory, edit, "undoing")
    _take_back(directory, edit)
    return lost


def recover_edits(directory: RenderDirectory) -> None:
    """Complete what a crash interrupted. Needs the lock. Raises as `add_edit` does."""
    directory.check_lock()
    for folder in _folders(directory):
        with writing(folder):
            atomic.remove_leftovers(folder)
            if _uncommitted(folder):
                atomic.remove_folder(folder)
    for edit in stored_edits(directory):
        if edit.state == "applying":
            _apply(directory, edit)
        elif edit.state == "undoing":
            _take_back(directory, edit)


def restore_pinned(directory: RenderDirectory) -> list[Edit]:
    """See to it that the edits are whole and every pinned frame is stored as it was given; returns the active edits.

    Needs the lock. Styles whose frames were removed after their video was written are left out. Raises
    RenderDirectoryError if the picture of an edit is missing or has changed.
    """
    recover_edits(directory)
    gone = exported(directory)
    edits = [edit for edit in stored_edits(directory) if edit.active]
    edits = [edit for edit in edits if directory.chain(edit.chain).style not in gone]
    for chain in directory.plan.chains:
        for index, pin in pins(edits, chain).items():
            if problem := picture_problem(directory, pin):
                raise RenderDirectoryError(f"{pin_path(directory, pin)}: {problem}", hint=_way_out(directory, pin.edit))
            if frame_problem(directory, chain, index, pin):
                _copy(pin_path(directory, pin), directory.frame_path(chain.id, index))
    return edits


def describe_edit(directory: RenderDirectory, edit: Edit) -> str:
    """An edit in one sentence without a period."""
    style = directory.chain(edit.chain).style
    text = f"edit {edit.version}: frame {edit.frame} of {style} is touched up"
    first, last = edit.frame + 1, edit.stop - 1
    if first == last:
        text += f", frame {first} follows from it" + (f" and blends into frame {edit.stop}" if edit.blend else "")
    elif first < last:
        text += f", frames {first} to {last} follow from it"
        if edit.blend:
            blend = "one blends" if edit.blend == 1 else f"{edit.blend} blend"
            text += f", the last {blend} into frame {edit.stop}"
    return text if edit.active else f"{text}; undone"


def picture_problem(directory: RenderDirectory, pin: Pin) -> str:
    """What is wrong with a pinned frame's file among the edits: "missing", that it has changed, or ""."""
    return _problem(pin_path(directory, pin), pin, f"has changed since edit {pin.edit.version} was made")


def frame_problem(directory: RenderDirectory, chain: Chain, index: int, pin: Pin) -> str:
    """What is wrong with a stored frame that is pinned: "missing", that it is another one, or ""."""
    return _problem(directory.frame_path(chain.id, index), pin, f"is not the frame that edit {pin.edit.version} gives")


def _problem(path: Path, pin: Pin, otherwise: str) -> str:
    try:
        return "" if file_digest(path) == pin.digest else otherwise
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return "missing"
    except OSError as error:
        raise refused_read(path, error) from error


def _way_out(directory: RenderDirectory, edit: Edit) -> str:
    return f"put the file back as it was, or take the edit back: {edit_command(directory.path)} --undo {edit.version}"


def _apply(directory: RenderDirectory, edit: Edit) -> None:
    """Move the replaced frames aside, unless they were moved already, and store the picture."""
    folder = _folder(directory, edit)
    frames = directory.frames_path / edit.chain
    with writing(folder):
        for index in edit.replaced:
            aside = folder / _REPLACED / frame_name(index)
            if not aside.exists():
                atomic.replace(frames / frame_name(index), aside)
        atomic.sync_folder(folder / _REPLACED)
        atomic.sync_folder(frames)
    _copy(folder / _PICTURE, frames / frame_name(edit.frame))
    _set_state(directory, edit, "applied")


def _take_back(directory: RenderDirectory, edit: Edit) -> None:
    """Copy the replaced frames back and remove the others; they are removed themselves when all are in their place."""
    folder = _folder(directory, edit)
    frames = directory.frames_path / edit.chain
    for index in edit.frames:
        before = folder / _REPLACED / frame_name(index)
        if before.exists():
            _copy(before, frames / frame_name(index))
        else:
            with writing(frames):
                atomic.remove(frames / frame_name(index))
    _set_state(directory, edit, "undone")
    with suppress(OSError):  # only space is lost
        atomic.remove_folder(folder / _REPLACED)


def _copy(source: Path, target: Path) -> None:
    try:
        data = source.read_bytes()
    except OSError as error:
        raise refused_read(source, error) from error
    with writing(target):
        atomic.write_bytes(target, data)


def _set_state(directory: RenderDirectory, edit: Edit, state: EditState) -> None:
    path = _folder(directory, edit) / _STATE
    with writing(path):
        atomic.write_bytes(path, json.dumps({"state": state}).encode("ascii") + b"\n")


def _read(directory: RenderDirectory, folder: Path) -> Edit | None:
    """An edit; None for one that was undone and whose chain or frames are not in the plan any more."""
    try:
        record: dict[str, Any] = json.loads((folder / _RECORD).read_bytes())
        state = json.loads((folder / _STATE).read_bytes())["state"]
        known = record.pop(_VERSION_KEY) == _VERSION and state in get_args(EditState)
        record["replaced"] = tuple(record["replaced"])
        edit = replace(Edit(**record), state=state)
        chains = {chain.id: chain for chain in directory.plan.chains}
        if state == "undone" and not _covered(edit, chains.get(edit.chain)):
            return None
        chain = chains[edit.chain]
        if not edit.stop_digest:
            edit = replace(edit, stop=chain.stop)
        fits = edit.version == int(folder.name) and edit.frame in chain.frames and edit.frame < edit.stop <= chain.stop
        fits &= all(index in edit.frames for index in edit.replaced) and type(edit.blend) is int
        if known and fits:
            return edit
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise refused_read(folder / _RECORD, error) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise RenderDirectoryError(
        f"{folder}: {_RECORD} or {_STATE} is missing or damaged; they say which frames were edited",
        hint="restore it from a copy; if there is none, move the folder away: the frames stay as they are, but the "
        "edit can no longer be undone",
    )


def _covered(edit: Edit, chain: Chain | None) -> bool:
    """Whether a chain has all frames of an edit."""
    return chain is not None and edit.frame in chain.frames and edit.stop <= chain.stop


def _uncommitted(folder: Path) -> bool:
    """Whether a crash left the folder before the edit existed, so that nothing was moved into it."""
    return not (folder / _STATE).exists() and not any((folder / _REPLACED).glob("*.png"))


def _folder(directory: RenderDirectory, edit: Edit) -> Path:
    return directory.path / EDITS_NAME / f"{edit.version:04d}"


def _folders(directory: RenderDirectory) -> list[Path]:
    root = directory.path / EDITS_NAME
    try:
        names = [entry.name for entry in root.iterdir() if _FOLDER.fullmatch(entry.name)] if root.is_dir() else []
    except OSError as error:
        raise refused_read(root, error) from error
    return [root / name for name in sorted(names, key=int)]

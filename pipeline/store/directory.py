"""The render directory: plan, frames, statistics and lock of one render.

    plan.json                        written before the first frame, and never edited
    lock                             who is working here
    frames/<chain id>/00000123.png   one stylized frame; present = complete
    stats.jsonl                      one line per stylized frame; advisory
    log.txt, cache/                  written by others; the store only names them
    edits/                           frames that were changed by hand (see `store/edits.py`)
    plans/                           plans that a longer one has taken the place of (see `store/superseded.py`)
    where.json                       where the input and the style images were last (see `store/where.py`)

The stored frame is the checkpoint. A chain is done up to the end of its longest unbroken run of frames from its start
in which every frame begins and ends as it should and the last one decodes with all checksums right. If the last one
does not, the run ends before it, and so on. Nothing is removed: a damaged frame, and frames behind a gap, stay until
the chain comes to them and replaces them.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import RenderDirectoryError, WriteError
from pipeline.plan.comparison import check_same
from pipeline.plan.plan_file import plan_from_json, plan_to_json
from pipeline.runtime import atomic
from pipeline.store import frames, stats
from pipeline.store.disk_errors import refused_read, writing
from pipeline.store.lock import LOCK_NAME, JoinedLock, LockToken, RenderLock
from pipeline.store.superseded import PLAN_NAME, PLANS_NAME, restore_interrupted
from pipeline.store.where import WHERE_NAME
from pipeline.types import Chain, RenderPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOP_NAMES: Final = frozenset(
    {PLAN_NAME, LOCK_NAME, frames.FRAMES_NAME, "stats.jsonl", "log.txt", "cache", "edits", PLANS_NAME, WHERE_NAME}
)
"""What a render directory holds at its top."""
MAX_PLAN_BYTES: Final = 1 << 28


class RenderDirectory:
    """One render on disk. Reading needs no lock; writing needs `with directory.lock():` or `directory.join(token)`.

    Get one from `create` or `open`. Frames are addressed by chain id and frame index; an unknown chain or an index
    outside its chain is a KeyError or IndexError (a bug of the caller).
    """

    def __init__(self, path: Path, plan: RenderPlan) -> None:
        self.path: Final = Path(path)
        self.plan: Final = plan
        self._chains: Final = {chain.id: chain for chain in plan.chains}
        self._lock: RenderLock | JoinedLock | None = None
        self._repair_stats = True
        self._making_folders: Final = threading.Lock()

    @classmethod
    def create(cls, path: str | Path, plan: RenderPlan) -> RenderDirectory:
        """Make `path` the render directory of `plan`, or open it if it already is the one of an equal plan.

        An existing plan of the same digest is kept as it is (its chains, not the new ones, are those to work on).
        Raises RenderDirectoryError if it holds another render (naming every difference), is damaged, locked, or a
        folder with foreign files; WriteError if it cannot be written.
        """
        path = Path(path)
        if not _exists(path / PLAN_NAME):
            if not _exists(path / LOCK_NAME):
                _refuse_foreign_files(path)  # before a lock file is left in a foreign folder
            with writing(path):
                atomic.make_folders(path)
            with RenderLock(path):
                if not _exists(path / PLAN_NAME):  # no other process was faster
                    _refuse_foreign_files(path)
                    with writing(path / PLAN_NAME):
                        atomic.write_bytes(path / PLAN_NAME, plan_to_json(plan).encode("ascii"))
        directory = cls.open(path)
        check_same(directory.plan, plan, where=str(path))
        return directory

    @classmethod
    def open(cls, path: str | Path) -> RenderDirectory:
        """Open an existing render directory; nothing is written.

        Raises RenderDirectoryError if there is none, or if its plan is damaged, edited or of another version.
        """
        path = Path(path)
        file = path / PLAN_NAME
        try:
            if file.stat().st_size > MAX_PLAN_BYTES:
                raise RenderDirectoryError(
                    f"{file}: {file.stat().st_size} bytes is too large for a plan", hint="is this a render directory?"
                )
            data = file.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            what = "has no plan.json" if path.is_dir() else "is a file" if path.exists() else "there is no such folder"
            raise RenderDirectoryError(
                f"{path}: not a render directory ({what})",
                hint="give the folder that `tempera render` made: the video's name ending in .render, or --workdir",
            ) from None
        except OSError as error:
            raise refused_read(file, error) from error
        return cls(path, plan_from_json(data, where=str(file)))

    def withdraw(self) -> None:
        """Remove the plan, unless a frame is stored, so that a render with other settings can begin here.

        Raises RenderDirectoryError if another process works here, WriteError if the plan cannot be removed.
        """
        with self.lock():
            if not _has_frames(self.path):
                with writing(self.path / PLAN_NAME):
                    atomic.remove(self.path / PLAN_NAME)
                    atomic.sync_folder(self.path)

    @property
    def frames_path(self) -> Path:
        """Folder of all stored frames; made with the first one."""
        return self.path / frames.FRAMES_NAME

    @property
    def stats_path(self) -> Path:
        """File of the statistics; made with the first line."""
        return self.path / "stats.jsonl"

    @property
    def log_path(self) -> Path:
        """Where the log belongs; the store does not make it."""
        return self.path / "log.txt"

    @property
    def cache_path(self) -> Path:
        """Folder for what may be deleted at any time; the store does not make it."""
        return self.path / "cache"

    def chain(self, chain_id: str) -> Chain:
        """The chain with this id; KeyError if the plan has none."""
        return self._chains[chain_id]

    def frame_path(self, chain_id: str, index: int) -> Path:
        """Where frame `index` of a chain is, or will be, stored."""
        chain = self._chains[chain_id]
        if index not in chain.frames:
            raise IndexError(f"frame {index} is not in chain {chain_id} [{chain.start}, {chain.stop})")
        return self.frames_path / chain_id / frames.frame_name(index)

    @contextlib.contextmanager
    def lock(self) -> Iterator[RenderLock]:
        """Hold the lock inside the block, after removing the temporary files that a crash left.

        Frames that were moved aside for a longer plan, which was then not written, are put back.

        Raises RenderDirectoryError if another process works here, naming it, or has changed the plan since it was read.
        """
        with RenderLock(self.path) as held:
            folders = [folder for folder in _entries(self.frames_path) if folder.is_dir()]
            if self.cache_path.is_dir():
                folders.append(self.cache_path)
            for folder in (self.path, *folders):
                with writing(folder):
                    atomic.remove_leftovers(folder)
            restore_interrupted(self.path)
            # The folder of a preview has no plan file, and no other process.
            if _exists(self.path / PLAN_NAME) and RenderDirectory.open(self.path).plan.digest != self.plan.digest:
                raise RenderDirectoryError(
                    f"{self.path}: another process has changed its plan meanwhile", hint="give the same command again"
                )
            with self._writing_under(held):
                yield held

    @contextlib.contextmanager
    def join(self, token: LockToken) -> Iterator[None]:
        """Write inside the block in a worker process, under the lock of the process that gave its `token`.

        Every write is refused with RenderDirectoryError once that process has let go of the lock or is dead; so is
        joining then. Workers must not write the same chain.
        """
        # Only the holder repairs the statistics: a worker could cut off what another process appends meanwhile.
        with self._writing_under(JoinedLock(self.path, token)):
            yield

    @contextlib.contextmanager
    def _writing_under(self, lock: RenderLock | JoinedLock) -> Iterator[None]:
        self._lock, self._repair_stats = lock, True
        try:
            yield
        finally:
            self._lock = None

    def write_frame(self, chain_id: str, index: int, rgb: NDArray[np.uint8]) -> None:
        """Store one stylized frame, uint8 (H, W, 3) sRGB of the plan's size. When this returns it survives a crash.

        May be called from several threads, for different frames. Raises WriteError if the disk refuses,
        RenderDirectoryError if the lock was taken from us or the folder has vanished; then the frame is as it was
        before. ValueError for an array of another shape or type.
        """
        from pipeline.media.image.png import encode_png  # needs OpenCV, which takes a while to import

        expected = (self.plan.height_px, self.plan.width_px, 3)
        if rgb.shape != expected or rgb.dtype != "uint8":
            raise ValueError(f"frame {index} of {chain_id}: {rgb.dtype} {rgb.shape}, expected uint8 {expected}")
        path = self.frame_path(chain_id, index)
        self.check_lock()
        with writing(path):
            with self._making_folders:  # a folder that another thread has made counts only when its name is flushed
                for folder in (self.frames_path, path.parent):  # not the render directory, which may have been moved
                    if not folder.is_dir():
                        atomic.make_folder(folder)
                        atomic.sync_folder(folder.parent)
            atomic.write_bytes(path, encode_png(rgb))

    def read_frame(self, chain_id: str, index: int) -> NDArray[np.uint8]:
        """A stored frame, uint8 (H, W, 3) sRGB, exactly as it was written.

        Raises RenderDirectoryError if it is missing or damaged, saying how.
        """
        path = self.frame_path(chain_id, index)
        rgb, problem = frames.load(path, self.plan.width_px, self.plan.height_px)
        if rgb is None:
            raise RenderDirectoryError(
                f"{path}: {problem}",
                hint=f"run `{resume_command(self.path)}`: it is stylized again, and what follows from it",
            )
        return rgb

    def stored(self, chain: Chain) -> set[int]:
        """Indices of the chain's frames that have a file, complete or not."""
        indices = (frames.frame_index(entry.name) for entry in _entries(self.frames_path / chain.id))
        return {index for index in indices if index is not None and index in chain.frames}

    def done(self, chain: Chain, among: range | None = None) -> int:
        """Where the chain continues: the stop of its longest unbroken run of good frames (the module says which).

        `start` if nothing is done, `stop` if all is. `among`, if given, are the only frames of it that count (see
        `plan.edits.Run`). Raises RenderDirectoryError if the disk refuses to read, so that a failing cable does not
        make a render start over.
        """
        size = self.plan.width_px, self.plan.height_px
        stored = self.stored(chain)
        indices = chain.frames if among is None else among
        count = 0
        while count < len(indices) and indices[count] in stored:
            if frames.outline_problem(self.frame_path(chain.id, indices[count]), *size):
                break
            count += 1
        while count > 0 and frames.load(self.frame_path(chain.id, indices[count - 1]), *size)[0] is None:
            count -= 1
        return indices[count] if count < len(indices) else indices.stop

    def check_lock(self) -> None:
        """Raise RenderDirectoryError if we may no longer write, RuntimeError outside `lock` and `join`."""
        self._working_lock().check()

    def append_stats(self, record: Mapping[str, Any]) -> None:
        """Add one line to `stats.jsonl`: `chain`, `frame`, `phase`, `evaluations`, losses, `seconds`.

        `seconds` is this frame's part of the working time, waiting included: a batch of 4 that ended 8 seconds after
        the one before it gives 2 to each frame.
        The key `session` is added; it is the same for all lines written under one holding of the lock. The line is not
        flushed to the disk (it is advisory) but written in one call; an incomplete line that a crash or a full disk
        left is repaired before the next one. Raises WriteError if the disk refuses.
        """
        holder = self._working_lock().holder
        session = {"session": holder.session} if holder else {}
        repair = self._repair_stats and isinstance(self._lock, RenderLock)
        self._repair_stats = True
        stats.append_line(self.stats_path, {**record, **session}, repair=repair)
        self._repair_stats = False

    def read_stats(self) -> list[dict[str, Any]]:
        """Every complete line of `stats.jsonl`, oldest first; a frame that was stylized twice has two."""
        return stats.read_lines(self.stats_path)

    def _working_lock(self) -> RenderLock | JoinedLock:
        if self._lock is None:
            raise RuntimeError(
                "writing to a render directory needs `with directory.lock():` or `.join(token):` around it"
            )
        return self._lock


def command_on(path: Path, name: str) -> str:
    """The command `tempera <name>` on the render in a directory, ready to be pasted into a shell."""
    text = str(path)
    return f"tempera {name} {shlex.quote(f'./{text}' if text.startswith('-') else text)}"


def resume_command(path: Path) -> str:
    """The command that goes on with the render in a directory."""
    return command_on(path, "resume")


def edit_command(path: Path) -> str:
    """The beginning of the commands that edit the frames of a render."""
    return command_on(path, "edit")


def fresh(path: str | Path) -> Path | None:
    """Move the render directory at `path` aside, for `--fresh`; nothing is deleted.

    Returns where it is now (`<name>.old-1`, `.old-2`, ... beside it), or None if there was nothing to move. Raises
    RenderDirectoryError if a process works in it, WriteError if it cannot be moved.
    """
    path = Path(path).absolute()
    if not path.is_dir():
        return None
    if not _exists(path / PLAN_NAME):
        _refuse_foreign_files(path, plan_may_be_lost=True)
        if not _has_frames(path):
            return None
    with contextlib.ExitStack() as stack:
        if os.name == "nt":
            with RenderLock(path):
                pass  # Windows cannot rename a folder with an open file in it, so the lock cannot be kept
        else:
            stack.enter_context(RenderLock(path))
        target = _free_name(path.parent, f"{path.name}.old")
        with writing(path):
            atomic.move_folder(path, target)
            atomic.sync_folder(path.parent)
    return target


def _refuse_foreign_files(path: Path, *, plan_may_be_lost: bool = False) -> None:
    """Raise RenderDirectoryError unless a folder without a plan is empty or holds only what a crash of ours left."""
    names = {entry.name for entry in _entries(path)}
    foreign = sorted(name for name in names - TOP_NAMES if not name.startswith("."))
    if foreign:
        raise RenderDirectoryError(
            f"{path}: is not empty and not a render directory (it holds {foreign[0]!r})",
            hint="choose a new or empty folder with --workdir",
        )
    if not plan_may_be_lost and _has_frames(path):
        raise RenderDirectoryError(
            f"{path}: has frames but no plan.json, so the settings that they were stylized with are not known",
            hint="restore plan.json from a copy if you have one; else begin anew with --fresh (the old folder is moved "
            "aside, nothing is deleted) or another --workdir",
        )


def _has_frames(path: Path) -> bool:
    return any(
        frames.frame_index(entry.name) is not None
        for folder in _entries(path / frames.FRAMES_NAME)
        for entry in _entries(folder)
    )


def _entries(folder: Path) -> list[Path]:
    """What a folder holds; empty if it is not there. Raises RenderDirectoryError if it cannot be read."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise refused_read(folder, error) from error


def _exists(path: Path) -> bool:
    """Whether the path exists, be it a broken link. Raises WriteError if the system does not tell."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise WriteError(
            f"{path}: cannot be accessed ({error.strerror})", hint="choose another folder with --workdir or -o"
        ) from error
    return True


def _free_name(folder: Path, name: str) -> Path:
    """The first of `name-1`, `name-2`, ... that does not exist in a folder."""
    number = 1
    while _exists(folder / f"{name}-{number}"):
        number += 1
    return folder / f"{name}-{number}"

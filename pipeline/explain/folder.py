"""The folder of an explanation: filled completely or not at all, and never one with other files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.explain.page import MARK, PAGE_NAME
from pipeline.media.writer.partial import filling, write_error


@contextmanager
def filled(folder: Path) -> Iterator[Path]:
    """Yield an empty partial folder; when the block succeeds its files move to `folder`, else nothing is left.

    Files of an earlier explanation are replaced where they have the same names. Raises UsageError, before the block, if
    the folder has files and is no explanation; WriteError if it cannot be written.
    """
    _refuse_other_files(folder)
    existed = folder.exists()
    try:
        with filling(folder / PAGE_NAME) as partial:
            yield partial
    except BaseException as error:
        if not existed:
            with suppress(OSError):  # not empty: something else has been put there
                folder.rmdir()
        if isinstance(error, OSError):
            raise write_error(folder, error) from error
        raise


def _refuse_other_files(folder: Path) -> None:
    try:
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        ours = PAGE_NAME in names and MARK in (folder / PAGE_NAME).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise write_error(folder, error, "reading the folder") from error
    if not ours and (foreign := sorted(name for name in names if not name.startswith("."))):
        raise UsageError(
            f"-o {folder}: is not empty and not an explanation (it holds {foreign[0]!r})",
            hint="choose a new or empty folder with -o",
        )

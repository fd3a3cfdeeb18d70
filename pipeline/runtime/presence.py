"""Whether there is a file or a folder at a path that a user gave; where the system refuses to look, there is none.

`Path.is_file` and `Path.is_dir` raise OSError for a name that is too long, and below a folder that may not be searched.
"""

from __future__ import annotations

from pathlib import Path


def is_file(path: Path) -> bool:
    """Whether there is a file, also behind a link."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder, also behind a link."""
    try:
        return path.is_dir()
    except OSError:
        return False

"""Paths that a user gave: home folders, and whether there is something; where the system refuses to look, nothing is.

`Path.is_file` and `Path.is_dir` raise OSError for a name that is too long, and below a folder that may not be searched.
"""

from __future__ import annotations

import os
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


def in_home(path: str) -> Path:
    """A path with `~` and `~user` replaced by the home folder; as it is where there is no such user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - that of Path raises for a user who is not there

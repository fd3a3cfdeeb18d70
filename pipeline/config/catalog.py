"""The styles that ship, and how the word after `--style` becomes a config: a name, a YAML file, or just an image."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.config.problems import kind_of
from pipeline.config.reading import parse_config, read_yaml, set_value
from pipeline.config.section import with_paths
from pipeline.config.settings import Config
from pipeline.errors import ConfigError
from pipeline.runtime.presence import in_home, is_file

TEMPLATE = "template"
"""Name of the commented config that shows every key; it is printed by `tempera styles template` but is not a style."""


def configs_path() -> Path:
    """Where the shipped configs are: inside the installed package, or at the top of a checkout."""
    installed = Path(__file__).parents[1] / "configs"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "configs"


def shipped_styles() -> dict[str, Path]:
    """Name and config file of every style that ships, sorted by name."""
    return {path.stem: path for path in sorted(configs_path().glob("*.yaml")) if path.stem != TEMPLATE}


def shipped_image(path: Path) -> Path:
    """`path`, or the image of a shipped style if there is nothing at a path like `anything/images/swirl.jpg`.

    So a config that `tempera styles` printed works from any folder, and a render whose folder was moved continues.
    """
    shipped = configs_path() / "images" / path.name
    return shipped if path.parent.name == "images" and not _exists(path) and is_file(shipped) else path


def load_style(style: str, assignments: Sequence[str] = ()) -> Config:
    """The config that `style` means, with `--set` assignments applied; paths in it are absolute, its name is set.

    Raises ConfigError if there is no such style or a setting is wrong.
    """
    data, folder, name = _find(style)
    for assignment in assignments:
        set_value(data, assignment)
    return locate_config(parse_config(data, where=style), folder, name)


def locate_config(config: Config, folder: Path, name: str) -> Config:
    """A config of a file in `folder`, with absolute paths; it is called `name` if it has no name itself."""
    located = with_paths(config, lambda path: _located(path, folder))
    return located.model_copy(update={"name": config.name or name})


def _find(style: str) -> tuple[dict[str, Any], Path, str]:
    shipped = shipped_styles()
    path = shipped.get(style) or in_home(style)
    if path.suffix.lower() in (".yaml", ".yml"):
        data = read_yaml(path)
        if not isinstance(data, dict):
            raise ConfigError(
                f"{path}: expected a mapping of settings, found {kind_of(data)}",
                hint="`tempera styles template` prints a config with every key explained",
            )
        return data, path.parent, path.stem
    if is_file(path):
        # Whether it is an image is found out where style images are loaded.
        return {"style": {"images": [{"path": str(path)}]}}, Path.cwd(), path.stem
    close = difflib.get_close_matches(style, list(shipped), n=1, cutoff=0.5)
    meant = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(
        f"--style {style}: no shipped style, config or image has this name",
        hint=f"{meant}the styles that ship are {', '.join(shipped) or 'none'}; or give an image or a .yaml file",
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return True  # the name is too long, or the folder cannot be read: not that of a shipped image


def _located(path: Path, folder: Path) -> Path:
    return shipped_image(path if path.is_absolute() else (folder / path).absolute())

"""From a config to plain data and YAML with only what differs from the defaults: the inverse of reading one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from pipeline.config.catalog import configs_path, shipped_image
from pipeline.config.section import Settings
from pipeline.config.settings import Config
from pipeline.errors import printable


def config_data(config: Config, folder: Path) -> dict[str, Any]:
    """A located config as plain data for a file in `folder`: the format, the name, and what differs from the defaults.

    Parsed and located there it is the same config. Paths are as `portable_path` writes them.
    """
    return settings_data(config, lambda path: portable_path(path, folder))


def settings_data(config: Config, written: Callable[[Path], str]) -> dict[str, Any]:
    """`config_data` with every path as `written` gives it."""
    data: dict[str, Any] = plain_settings(config, written)
    return {"schema": config.schema_version, "name": config.name, **data}


def config_yaml(config: Config, folder: Path, comment: str) -> str:
    """`config_data` as YAML, below `comment`, each line of which becomes a comment."""
    return commented_yaml(config_data(config, folder), comment)


def commented_yaml(data: Mapping[str, Any], comment: str) -> str:
    """Plain data as YAML, below `comment`, each line of which becomes a comment."""
    lines = [f"# {printable(line)}".rstrip() + "\n" for line in comment.splitlines()]
    return "".join(lines) + yaml.safe_dump(
        dict(data), sort_keys=False, default_flow_style=None, allow_unicode=True, width=100
    )


def portable_path(path: Path, folder: Path) -> str:
    """An absolute path as a config in `folder` names it, with forward slashes.

    Relative to the folder if it is below it; `images/swirl.jpg` for the image of a shipped style, which is then found
    wherever Tempera is installed, unless the folder has an image of that name itself; else absolute.
    """
    if path.parent == configs_path() / "images":
        short = Path("images", path.name)
        if shipped_image(folder.absolute() / short) == path:
            return short.as_posix()
    folder = folder.absolute()
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def plain_settings(value: Any, written: Callable[[Path], str]) -> Any:
    """Plain data, with every path as `written` gives it.

    Of a section only the fields that differ from what a missing key means.
    """
    if isinstance(value, BaseModel):
        fields = {info.alias or name: (getattr(value, name), info) for name, info in type(value).model_fields.items()}
        found = {
            key: plain_settings(item, written)
            for key, (item, info) in fields.items()
            if info.is_required() or item != info.get_default(call_default_factory=True)
        }
        if isinstance(value, Settings):
            found |= {name: curve.plain() for name, curve in value.own_curves.items()}
        return found
    if isinstance(value, Mapping):
        return {key: plain_settings(item, written) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_settings(item, written) for item in value]
    return written(value) if isinstance(value, Path) else value

"""Paths in a plan: relative to the render directory, so that it can be moved together with what it refers to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.config.catalog import shipped_image
from pipeline.config.reading import parse_config
from pipeline.config.section import with_paths
from pipeline.config.settings import Config
from pipeline.errors import ConfigError, RenderDirectoryError
from pipeline.types import RenderPlan, Source

FindFile = Callable[[str, Path], Path]
"""Finds a path of a plan, for a render directory at a path: the absolute one."""


def relative_path(path: str | Path, render_dir: Path) -> str:
    """A path as seen from the render directory, with forward slashes; absolute if it is on another drive.

    Folders are resolved first: going up from a folder that was reached through a link leads elsewhere.
    """
    resolved = Path(os.path.realpath(Path(path).parent), Path(path).name)
    try:
        return Path(os.path.relpath(resolved, os.path.realpath(render_dir))).as_posix()
    except ValueError:
        return resolved.as_posix()


def absolute_path(path: str, render_dir: Path) -> Path:
    """The inverse of `relative_path`, wherever the render directory is now."""
    return Path(os.path.normpath(Path(os.path.realpath(render_dir)) / path))


def relative_source(source: Source, render_dir: Path) -> Source:
    """A source with paths relative to the render directory."""
    return _with_paths(source, lambda path: relative_path(path, render_dir))


def absolute_source(plan: RenderPlan, render_dir: Path) -> Source:
    """The plan's source with paths that work from the current folder."""
    return _with_paths(plan.source, lambda path: str(absolute_path(path, render_dir)))


def input_place(source: Source) -> str:
    """What is moved as one: a video, or the folder that all rendered photos are in; a path like those of the source."""
    if source.kind == "video":
        return source.files[0]
    return os.path.commonpath([Path(source.files[index]).parent for index in source.positions_read]) or "."


def moved_source(source: Source, place: Path) -> Source:
    """A source whose `input_place` is `place` now."""
    before = input_place(source)
    return _with_paths(source, lambda path: os.path.normpath(place / os.path.relpath(path, before)))


def output_paths(plan: RenderPlan, render_dir: Path) -> dict[str, Path]:
    """Where each style's video belongs, absolute."""
    return {name: absolute_path(path, render_dir) for name, path in plan.outputs.items()}


def weights_paths(plan: RenderPlan, render_dir: Path, find: FindFile = absolute_path) -> dict[str, Path]:
    """The weights file of each style that was given one, absolute."""
    return {name: find(path, render_dir) for name, path in plan.weights.items()}


def relative_config(config: Config, render_dir: Path) -> dict[str, Any]:
    """A style config as plain data with paths relative to the render directory."""
    relative = with_paths(config, lambda path: Path(relative_path(path, render_dir)))
    settings: dict[str, Any] = plain_data(relative.model_dump(by_alias=True))
    return settings


def style_configs(plan: RenderPlan, render_dir: Path, find: FindFile = absolute_path) -> dict[str, Config]:
    """The resolved config of each style, with the absolute paths that `find` gives.

    Raises RenderDirectoryError if this version of Tempera does not understand one.
    """
    configs = {}
    for name, settings in plan.styles.items():
        try:
            config = parse_config(dict(settings), where=f"style {name!r} of the plan")
            configs[name] = with_paths(config, lambda path: shipped_image(find(str(path), render_dir)))
        except (ConfigError, TypeError, LookupError) as error:
            raise RenderDirectoryError(
                f"{render_dir}: {error}",
                hint="this render was begun by another version of Tempera: continue it with that one, or begin anew "
                "with --fresh (the old folder is moved aside) or another --workdir",
            ) from None
    return configs


def paths_of(config: Config) -> list[Path]:
    """Every path in a config, always in the same order."""
    found: list[Path] = []

    def note(path: Path) -> Path:
        found.append(path)
        return path

    with_paths(config, note)
    return found


def plain_data(value: Any) -> Any:
    """Plain JSON data: tuples become lists, paths become text."""
    if isinstance(value, Mapping):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(item) for item in value]
    return value.as_posix() if isinstance(value, Path) else value


def _with_paths(source: Source, change: Callable[[str], str]) -> Source:
    return replace(source, path=change(source.path), files=tuple(change(file) for file in source.files))

"""Opening an existing render: its plan, with paths that are valid where the directory is now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.config.settings import Config
from pipeline.plan.paths import absolute_source, output_paths, style_configs, weights_paths
from pipeline.store.directory import RenderDirectory
from pipeline.types import RenderPlan, Source


@dataclass(frozen=True, slots=True)
class OpenedRender:
    """An existing render. `source`, `configs`, `weights` and `outputs` have paths that work from the current folder.

    `configs` and `outputs` have an entry for every style, `weights` for those that were given a weights file.
    """

    path: Path
    directory: RenderDirectory
    source: Source
    configs: dict[str, Config]
    weights: dict[str, Path]
    outputs: dict[str, Path]

    @property
    def plan(self) -> RenderPlan:
        """The plan as it was written before the first frame."""
        return self.directory.plan


def open_render(path: Path) -> OpenedRender:
    """Open the render in a directory; nothing is written.

    Raises RenderDirectoryError if there is none, if its plan is damaged, or if this version does not understand it.
    """
    directory = RenderDirectory.open(path)
    plan = directory.plan
    return OpenedRender(
        path=path,
        directory=directory,
        source=absolute_source(plan, path),
        configs=style_configs(plan, path),
        weights=weights_paths(plan, path),
        outputs=output_paths(plan, path),
    )

"""Resuming: continue the render in a directory, also after it was moved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.plan.comparison import check_same
from pipeline.plan.curves import planned_values
from pipeline.plan.identity import ResolvedStyle
from pipeline.plan.paths import paths_of
from pipeline.plan.planning import make_plan
from pipeline.plan.region_colors import planned_region_colors
from pipeline.runtime.cancellation import Cancellation
from pipeline.workflows.complete import check_disk_space, complete
from pipeline.workflows.forecast.forecast import tell_forecast
from pipeline.workflows.input.digest import hash_input
from pipeline.workflows.opened import OpenedRender, check_input, open_render
from pipeline.workflows.output.names import check_outputs
from pipeline.workflows.prepare import Prepared
from pipeline.workflows.resolve import resolve_styles

if TYPE_CHECKING:
    from pipeline.runtime.progress import Reporter
    from pipeline.stylers.resources import Resources


def resume(
    path: Path,
    reporter: Reporter,
    cancellation: Cancellation | None = None,
    *,
    moved_to: Path | None = None,
    with_forecast: bool = False,
) -> list[Path]:
    """Stylize what is left of the render in a directory, and write its videos; returns them in the order of the styles.

    `moved_to` is where the input is now (see `open_render`). `with_forecast` as in `render`.

    Raises RenderDirectoryError if there is no render or if the input, the style images or the weights have changed
    since, InputError if the input is not there, and what `complete` raises.
    """
    opened = open_render(path, moved_to)
    check_input(opened, "resume")
    check_outputs(opened.outputs, opened.configs, opened.source, (opened.plan.width_px, opened.plan.height_px))
    prepared = prepare_again(opened, reporter)
    check_disk_space(prepared, reporter)
    if with_forecast:
        tell_forecast(prepared, reporter)
    return complete(opened.directory, prepared, reporter, cancellation or Cancellation())


def prepare_again(opened: OpenedRender, reporter: Reporter) -> Prepared:
    """Load what an existing render needs, and check that it is what the render was planned with.

    Raises RenderDirectoryError, naming every difference, if it is not.
    """
    resolved, resources = resolve_opened(opened, reporter)
    with reporter.stage("checking the input", None):
        hashed = hash_input(opened.source, opened.path)
    plan = opened.plan
    wanted = make_plan(
        replace(opened.source, digest=hashed.digest),
        plan.width_px,
        plan.height_px,
        plan.shots,
        resolved,
        outputs=opened.outputs,
        render_dir=opened.path,
        exposure=plan.exposure,
        levels=plan.levels,
        contrasts=plan.contrasts,
        shot_colors=plan.shot_colors,
        photo_digests=hashed.photos,
        values={name: planned_values(plan, name, config) for name, config in opened.configs.items()},
        region_colors={name: planned_region_colors(plan, config) for name, config in opened.configs.items()},
    )
    check_same(plan, wanted, where=str(opened.path))
    return Prepared(plan, opened.path, opened.source, opened.configs, resources, opened.outputs, hashed, opened.weights)


def resolve_opened(opened: OpenedRender, reporter: Reporter) -> tuple[list[ResolvedStyle], dict[str, Resources]]:
    """The resolved styles of an existing render and their networks, each with its own weights file.

    Raises ConfigError, naming it, if a file of a style is not there, and what `resolve_styles` raises.
    """
    resolved: list[ResolvedStyle] = []
    resources: dict[str, Resources] = {}
    for name, config in opened.configs.items():
        missing = next((path for path in paths_of(config) if not path.exists()), None)
        if missing is not None:
            raise ConfigError(
                f"{missing}: style {name!r} of {opened.path} needs this file, and it is not there",
                hint=f"put it back, or into the folder of the render directory, {opened.path.resolve().parent}",
            )
        styles, own = resolve_styles((config,), opened.weights.get(name), reporter, plan=opened.plan)
        resolved += styles
        resources.update(own)
    return resolved, resources

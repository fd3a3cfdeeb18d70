"""Resolving the styles of a render on this machine: networks, precision, digests of images and weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.settings import Config
from pipeline.errors import ConfigError
from pipeline.plan.identity import ResolvedStyle, planned_segment_frames
from pipeline.plan.segments import automatic_length
from pipeline.workflows.missing_weights import fetch_missing

if TYPE_CHECKING:
    from pipeline.runtime.progress import Reporter
    from pipeline.stylers.loaded import Loaded
    from pipeline.stylers.resources import Resources
    from pipeline.types import RenderPlan


def check_same_runtime(styles: Sequence[Config]) -> None:
    """Raise ConfigError if styles that are rendered together want different devices, batches or threads.

    They run in the same batches and threads, so the settings of one would silently be ignored.
    """
    first, *others = styles
    for other in others:
        for key in type(first.runtime).model_fields:
            values = getattr(first.runtime, key), getattr(other.runtime, key)
            if values[0] != values[1]:
                raise ConfigError(
                    f"styles {first.name!r} and {other.name!r} are rendered together, but runtime.{key} is "
                    f"{values[0]!r} and {values[1]!r}",
                    hint=f"say which one holds for both, as --set runtime.{key}={values[0]}",
                )


def resolve_styles(
    styles: Sequence[Config],
    weights: Path | None,
    reporter: Reporter,
    *,
    frame_count: int | None = None,
    plan: RenderPlan | None = None,
    loaded: Loaded | None = None,
) -> tuple[list[ResolvedStyle], dict[str, Resources]]:
    """Load what each style needs and resolve its settings; equal encoders are loaded once.

    `frame_count` is that of the source, by default as many as in `plan`. Segments are as long as in `plan`, if there is
    one: a render that is continued on another device stays the same. Only where it was too short to have segments, and
    the source has more frames, the length is chosen anew. `loaded` has what other renders loaded. Returns the resolved
    styles in order, and their networks by style name. Raises InputError for a style image that cannot be read,
    MissingPartError for a device or weights that are not there.
    """
    from pipeline.stylers.loaded import Loaded

    loaded = loaded or Loaded()
    resolved: list[ResolvedStyle] = []
    resources: dict[str, Resources] = {}
    for config, found in zip(styles, load_resources(styles, weights, reporter, loaded), strict=True):
        resources[config.name] = found
        length = _segment_frames(config, found, frame_count, len(styles), plan)
        resolved.append(resolve_style(config, found, weights, segment_frames=length, loaded=loaded))
    return resolved, resources


def resolve_style(
    config: Config, found: Resources, weights: Path | None, *, segment_frames: int = 0, loaded: Loaded | None = None
) -> ResolvedStyle:
    """A style with the digests of its images and networks, and what was chosen. Raises as `resolve_styles` does."""
    from pipeline.stylers.loaded import Loaded
    from pipeline.workflows.masks.regions import region_digests

    loaded = loaded or Loaded()
    least_px = found.encoder.min_side_px if found.encoder else 1
    init = config.optimize.cold.init
    return ResolvedStyle(
        name=config.name,
        config=config,
        image_digests=tuple(loaded.image_digest(image.path, min_side_px=least_px) for image in config.style.images),
        encoder=found.encoder.name if found.encoder else "none",
        encoder_digest=found.encoder.digest if found.encoder else "",
        precision=found.precision,
        init_digest=loaded.image_digest(init, is_start=True) if isinstance(init, Path) else "",
        weights=weights,
        segment_frames=segment_frames,
        flow_digest=found.flow.digest if found.flow else "",
        regions=region_digests(config, min_side_px=least_px),
    )


def load_resources(
    configs: Sequence[Config], weights: Path | None, reporter: Reporter, loaded: Loaded | None = None
) -> list[Resources]:
    """What each config needs of this machine; equal networks are loaded once, and downloaded where they are missing.

    Raises MissingPartError for a device or weights that cannot be had.
    """
    from pipeline.stylers.loaded import Loaded

    loaded = loaded or Loaded()
    fetch_missing(configs, weights, reporter)
    return [loaded.resources(config, weights) for config in configs]


def _segment_frames(
    config: Config, resources: Resources, frame_count: int | None, styles: int, plan: RenderPlan | None
) -> int:
    """Length of the segments that long shots are split into; 0: they stay whole.

    "auto" splits for accelerators, which stylize several segments in the time of one; the CPU gains nothing.
    """
    if config.styler != "neural" or config.motion.every_frame_cold:
        return 0
    chosen = config.motion.segment_frames
    if chosen != "auto":
        return chosen
    planned = None if plan is None else planned_segment_frames(plan, config.name)
    if plan is not None and planned is not None:
        split = any(chain.style == config.name and chain.interval > 1 for chain in plan.chains)
        if split or planned == 0 or frame_count in (None, plan.source.frame_count):
            return planned
    return 0 if resources.device.type == "cpu" else automatic_length(frame_count or 1, styles)

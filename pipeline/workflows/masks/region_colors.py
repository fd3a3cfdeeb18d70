"""The colors of what each region of a style covers, measured in the input before the first frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.workflows.masks.measured import measured_regions

if TYPE_CHECKING:
    from pipeline.config.settings import Config
    from pipeline.media.reader.thumbnails import Thumbnails
    from pipeline.plan.region_colors import RegionColors
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter
    from pipeline.types import Source
    from pipeline.workflows.input.first_pass import FirstPass


def measured_region_colors(
    config: Config,
    source: Source,
    found: FirstPass,
    thumbnails: Thumbnails,
    reporter: Reporter,
    cancellation: Cancellation,
) -> RegionColors:
    """The colors of the parts of every shot; empty if the style does not use them, or the input is damaged.

    `found` is what the first pass knows of the frames. Raises what `measured_regions` raises.
    """
    if not config.uses_region_colors or not found.shot_colors:
        return ()
    from pipeline.analysis.shot_colors import region_colors
    from pipeline.motion.region_change import region_maps

    return measured_regions(
        config.regions,
        lambda masks, frames: region_colors(lambda index, rgb: region_maps(masks(index, rgb)), frames, found.shots),
        source,
        config.input,
        found.shots,
        found.exposure,
        reporter,
        cancellation,
        thumbnails,
    )

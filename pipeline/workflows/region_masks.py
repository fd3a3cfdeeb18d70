"""The masks of the regions of a session's styles."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pipeline.execute.session import Session
from pipeline.plan.identity import RegionDigests
from pipeline.workflows.mask_pass import mask_digests, prepare_masks

if TYPE_CHECKING:
    from pipeline.config.settings import Config
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter


def with_region_masks(session: Session, reporter: Reporter, cancellation: Cancellation) -> Session:
    """The session with the masks of its styles' regions, which are prepared now; the same if none has regions."""
    plan = session.directory.plan
    masks = {
        name: prepare_masks(
            [region.mask for region in config.regions],
            session.source,
            (plan.width_px, plan.height_px),
            partial(session.read_content, config),
            plan.shots,
            session.directory.path / "cache",
            reporter,
            cancellation,
        )
        for name, config in session.configs.items()
        if config.regions
    }
    return replace(session, masks=masks) if masks else session


def region_digests(config: Config, *, min_side_px: int) -> tuple[RegionDigests, ...]:
    """The digests of the files of a style's regions. Raises ConfigError for one that cannot be read."""
    from pipeline.stylers.resources import image_digest

    return tuple(
        RegionDigests(
            images=tuple(image_digest(it.path, min_side_px=min_side_px) for it in region.style.images)
            if region.style
            else (),
            mask=mask_digests(region.mask),
        )
        for region in config.regions
    )

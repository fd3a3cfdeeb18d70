"""The masks of the regions of a session's styles."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.plan.identity import RegionDigests
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.types import Frame, Shot, Source
from pipeline.workflows.masks.coverage import covering_masks, covers_nothing, empty_mask
from pipeline.workflows.masks.preparation import MaskedFrames, check_mask, mask_digests, prepare_masks

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from pipeline.config.masks import MaskSettings
    from pipeline.config.regions import RegionSettings
    from pipeline.config.settings import Config
    from pipeline.execute.session import Session
    from pipeline.runtime.progress import Reporter


def with_region_masks(session: Session, reporter: Reporter, cancellation: Cancellation) -> Session:
    """The session with the masks of its styles' regions, which are prepared now; the same if none has regions.

    Raises ConfigError or InputError for a region that covers nothing in any frame, and what `prepare_masks` raises.
    """
    plan = session.directory.plan
    masks = {
        name: covering_masks(
            _named(config.regions),
            MaskedFrames(
                session.source,
                (plan.width_px, plan.height_px),
                partial(session.read_content, config),
                plan.shots,
                session.directory.cache_path,
                steady=True,
            ),
            reporter,
            cancellation,
        )
        for name, config in session.configs.items()
        if config.regions
    }
    return replace(session, masks=masks) if masks else session


def check_region_masks(config: Config, source: Source, size_px: tuple[int, int], shots: Sequence[Shot]) -> None:
    """Raise ConfigError or InputError for a mask of a region whose files do not fit the frames of `size_px` (width,
    height), or whose picture covers nothing; see `check_mask`."""
    for owner, mask in _named(config.regions):
        picture = check_mask(mask, source, size_px, shots)
        if picture is not None and covers_nothing(picture):
            raise empty_mask(owner, mask)


def image_regions(config: Config, contents: torch.Tensor) -> list[torch.Tensor | None]:
    """The maps (1, R + 1, H, W) of the regions of each of some images (B, 3, H, W) in [0, 1]; None: no regions.

    Image i is frame i for masks that differ from frame to frame.
    """
    if not config.regions:
        return [None] * len(contents)
    import torch

    from pipeline.media.image.arrays import to_uint8
    from pipeline.motion.region_change import region_maps

    found = image_masks([region.mask for region in config.regions], [to_uint8(one) for one in contents])
    return [torch.from_numpy(region_maps(masks))[None] for masks in found]


def image_masks(settings: Sequence[MaskSettings], frames: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
    """The masks (R, H, W) in [0, 1] of each of some images of one size, uint8 (H, W, 3) sRGB; image i is frame i."""
    height, width = frames[0].shape[:2]
    numbers = tuple(range(len(frames)))
    source = Source("", "photos", (), width, height, Fraction(1), Fraction(1), numbers, 1, numbers)

    def read(start: int, stop: int) -> Generator[Frame]:
        for index in range(start, stop):
            yield Frame(index, index, frames[index])

    with tempfile.TemporaryDirectory(prefix="tempera-") as folder:
        shots = tuple(Shot(index, index, index + 1) for index in numbers)
        masked = MaskedFrames(source, (width, height), read, shots, Path(folder))
        masks = prepare_masks(settings, masked, SilentReporter(), Cancellation())
        return [masks(index, rgb) for index, rgb in enumerate(frames)]


def _named(regions: Sequence[RegionSettings]) -> list[tuple[str, MaskSettings]]:
    """The masks of regions, each with what it is of."""
    return [(f"region {region.name or number}", region.mask) for number, region in enumerate(regions, start=1)]


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

"""The masks of the regions of a session's styles."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import ConfigError, InputError, TemperaError
from pipeline.plan.identity import RegionDigests
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.types import Frame, Masks, Shot, Source
from pipeline.workflows.mask_pass import MaskedFrames, check_mask, mask_digests, prepare_masks

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from pipeline.config.masks import MaskSettings
    from pipeline.config.regions import RegionSettings
    from pipeline.config.settings import Config
    from pipeline.execute.session import Session
    from pipeline.runtime.progress import Reporter

COVERED_FROM: Final = 1 / 255
"""A mask that is nowhere higher than this level covers nothing."""


def with_region_masks(session: Session, reporter: Reporter, cancellation: Cancellation) -> Session:
    """The session with the masks of its styles' regions, which are prepared now; the same if none has regions.

    Raises ConfigError or InputError for a region that covers nothing in any frame, and what `prepare_masks` raises.
    """
    plan = session.directory.plan
    masks = {
        name: _region_masks(
            config.regions,
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
    for number, region in enumerate(config.regions):
        picture = check_mask(region.mask, source, size_px, shots)
        if picture is not None and picture.max() < COVERED_FROM:
            raise _covers_nothing(region, number)


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


def _region_masks(
    regions: Sequence[RegionSettings], frames: MaskedFrames, reporter: Reporter, cancellation: Cancellation
) -> Masks:
    """The masks of regions, each of which covers something in at least one frame."""
    settings = [region.mask for region in regions]
    masks = prepare_masks(settings, frames, reporter, cancellation)
    empty = _covering_nothing(settings, masks, frames, cancellation)
    if empty is None:
        return masks
    raise _covers_nothing(regions[empty], empty)


def _covers_nothing(region: RegionSettings, number: int) -> TemperaError:
    name, mask = f"region {region.name or number + 1}", region.mask
    if mask.sky or mask.luminance is not None or mask.hue is not None:
        found = "sky" if mask.sky else "luminance" if mask.luminance is not None else "hue"
        return InputError(
            f"{name}: its mask, found by {found}, covers nothing in any frame of the input",
            hint="remove the region for this input, or give it another mask: "
            + ("" if mask.sky else f"a wider range of {found}, or ")
            + "a picture with image",
        )
    files = f"{mask.image or mask.frames} is" if mask.painted is None else "all painted masks are"
    return ConfigError(
        f"{name}: its mask covers nothing in any frame: {files} {'white, and inverted' if mask.invert else 'black'}",
        hint=f"paint what is inside {'black' if mask.invert else 'white'}, exchange inside and outside with invert: "
        f"{'false' if mask.invert else 'true'}, or remove the region",
    )


def _covering_nothing(
    settings: Sequence[MaskSettings],
    masks: Masks,
    frames: MaskedFrames,
    cancellation: Cancellation,
) -> int | None:
    """The first region that covers nothing in any frame; None: there is none. Reads until all have been seen."""
    checkpoint = cancellation.checkpoint("stopped before the first frame", hint="run it again")
    unseen = set(range(len(settings)))
    for shot in frames.shots:
        with closing(frames.read(shot.start, shot.stop)) as contents:
            for frame in contents:
                found = masks(frame.index, frame.rgb)
                unseen = {region for region in unseen if found[region].max() < COVERED_FROM}
                if all(settings[region].image is not None for region in unseen):
                    return min(unseen, default=None)  # a picture is the same in every frame
                checkpoint()
    return min(unseen, default=None)


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

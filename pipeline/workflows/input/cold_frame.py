"""One frame of an input as a styler gets it in a render, where it starts cold."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.analysis.content import content_frames
from pipeline.media.reader.source import read_frame
from pipeline.media.reader.thumbnails import Thumbnails
from pipeline.stylers.shot_colors import ShotColors, decoded_shots
from pipeline.types import Frame
from pipeline.workflows.input.first_pass import first_pass
from pipeline.workflows.masks.preparation import MaskedFrames, prepare_mask
from pipeline.workflows.masks.region_colors import measured_region_colors
from pipeline.workflows.masks.sheet import needed_shots
from pipeline.workflows.prepare import THUMBNAIL_SIDE_PX

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.settings import Config
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter
    from pipeline.types import Source


@dataclass(frozen=True, slots=True)
class ColdFrame:
    """A content frame, uint8 (H, W, 3) sRGB, and what the style needs to know of it.

    `regions` are the maps of the style's regions, float32 (R + 1, H, W) in [0, 1] (None: it has none). `shots` are the
    colors of all shots, and `shot` is the number of the frame's; they are empty and 0 where the style uses none.
    """

    index: int
    content: NDArray[np.uint8]
    regions: NDArray[np.float32] | None = None
    shots: Sequence[ShotColors] = ()
    shot: int = 0


def cold_frame(
    source: Source,
    config: Config,
    index: int,
    *,
    size_px: tuple[int, int],
    reporter: Reporter,
    cancellation: Cancellation,
) -> ColdFrame:
    """Frame `index` of a source at `size_px` (width, height).

    All frames are looked through only for a style with regions or with colors of whole shots. Raises what reading them
    and `prepare_mask` raise, and Interrupted if an end was requested.
    """
    import numpy as np

    from pipeline.motion.region_change import region_maps

    width, height = size_px
    if not config.regions and not config.uses_shot_colors:
        return ColdFrame(index, read_frame(source, index, width_px=width, height_px=height, settings=config.input))
    with Thumbnails(THUMBNAIL_SIDE_PX) as thumbnails:
        looked = first_pass(source, config, reporter, cancellation, thumbnails)
        region_colors = measured_region_colors(config, source, looked, thumbnails, reporter, cancellation)

    def read(start: int, stop: int) -> Generator[Frame]:
        return content_frames(source, start, stop, size_px=size_px, settings=config.input, exposure=looked.exposure)

    with closing(read(index, index + 1)) as frames:
        content = next(frames).rgb
    masks = []
    with tempfile.TemporaryDirectory(prefix="tempera-") as folder:
        for region in config.regions:
            shots = needed_shots(looked.shots, [index], region.mask, source)
            masked = MaskedFrames(source, size_px, read, shots, Path(folder), steady=True)
            masks.append(prepare_mask(region.mask, masked, reporter, cancellation).mask(index, content))
    return ColdFrame(
        index,
        content,
        region_maps(np.stack(masks)) if masks else None,
        decoded_shots(looked.shots, looked.shot_colors, region_colors),
        next(number for number, shot in enumerate(looked.shots) if shot.start <= index < shot.stop),
    )

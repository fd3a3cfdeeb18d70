"""What is measured of the regions of a style before the first frame: in small frames, with small masks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from pipeline.workflows.masks.preparation import MaskedFrames, prepare_masks

if TYPE_CHECKING:
    from pipeline.config.regions import RegionSettings
    from pipeline.config.settings import InputSettings
    from pipeline.media.reader.thumbnails import Thumbnails
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter
    from pipeline.types import Frame, Masks, Shot, Source, ToneCurve

MEASURED_SIDE_PX: Final = 160
"""Longer side of the frames in which regions are measured."""

Result = TypeVar("Result")


def measured_regions(
    regions: Sequence[RegionSettings],
    measure: Callable[[Masks, Generator[Frame]], Result],
    source: Source,
    settings: InputSettings,
    shots: Sequence[Shot],
    exposure: Sequence[ToneCurve],
    reporter: Reporter,
    cancellation: Cancellation,
    thumbnails: Thumbnails | None = None,
) -> Result:
    """What `measure` finds, given the masks of the regions and all frames in order, small and after their tone curves.

    They are so small that what carried masks compute is not worth keeping: its folder is temporary. Raises what
    `prepare_masks` raises, and Interrupted if an end was requested.
    """
    from pipeline.analysis.content import content_frames
    from pipeline.media.image.arrays import size_within

    size = size_within(source.width_px, source.height_px, MEASURED_SIDE_PX)

    def read(start: int, stop: int) -> Generator[Frame]:
        return content_frames(
            source, start, stop, size_px=size, settings=settings, exposure=exposure, thumbnails=thumbnails
        )

    checkpoint = cancellation.checkpoint("stopped while regions were measured", hint="run it again to begin")
    with tempfile.TemporaryDirectory(prefix="tempera-") as folder:
        frames_of = MaskedFrames(source, size, read, shots, Path(folder))
        masks = prepare_masks([region.mask for region in regions], frames_of, reporter, cancellation)
        with (
            reporter.stage("measuring regions", source.frame_count) as advance,
            closing(read(0, source.frame_count)) as frames,
        ):

            def watched() -> Generator[Frame]:
                for frame in frames:
                    checkpoint()
                    yield frame
                    advance(frame.index + 1)

            return measure(masks, watched())

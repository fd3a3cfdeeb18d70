"""The palette of an input: its main colors over all frames, with their names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.types import FrameSlice, Shot

if TYPE_CHECKING:
    from pipeline.media.image.swatch import Swatch
    from pipeline.runtime.progress import Reporter

SIDE_PX: Final = 256
"""Longer side of the frames in which the colors are looked for."""
CONTRAST: Final = 1.1
"""Entries are moved apart by this factor, as in the finish: the mean of many colors is duller than they are."""


def find_palette(
    inputs: Sequence[str | Path],
    colors: int,
    reporter: Reporter,
    *,
    frames: FrameSlice | None = None,
) -> list[Swatch]:
    """The `colors` main colors of an image, a video or photos, from dark to light; fewer where there are no more.

    Raises what reading them raises.
    """
    import numpy as np

    from pipeline.analysis.shot_colors import ColorMeasurement, decoded_colors
    from pipeline.config.settings import InputSettings
    from pipeline.media.image.color_names import color_names
    from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab
    from pipeline.media.image.palette import color_distances, main_colors
    from pipeline.media.image.swatch import Swatch
    from pipeline.media.reader.source import probe, read_frames
    from pipeline.media.reader.thumbnails import Thumbnails

    settings, measurement = InputSettings(fit="cover"), ColorMeasurement()
    with Thumbnails(SIDE_PX) as thumbnails:
        with reporter.stage("reading the input", None):
            source = probe(inputs, settings, frames=frames, digest=False, thumbnails=thumbnails)
        width, height = thumbnails.size_of(source.width_px, source.height_px)
        small = read_frames(source, width_px=width, height_px=height, settings=settings, thumbnails=thumbnails)
        with closing(small), reporter.stage("looking for colors", source.frame_count) as advance:
            for frame in small:
                measurement.add(frame.rgb)
                advance(frame.index + 1)
    (sample,) = measurement.colors([Shot(0, 0, source.frame_count)])
    lab = oklab_from_srgb(decoded_colors(sample))
    palette = main_colors(lab, colors, np.random.default_rng(0), CONTRAST)
    counts = np.bincount(color_distances(lab, palette).argmin(axis=1), minlength=colors)
    # Where there are fewer colors than asked for, the others repeat them.
    palette, counts = palette[counts > 0], counts[counts > 0]
    rgb = srgb_from_oklab(palette)
    return [
        Swatch(name, f"#{bytes(color).hex()}", round(float(count) / len(lab), 4))
        for name, color, count in zip(color_names(rgb), rgb.tolist(), counts, strict=True)
    ]

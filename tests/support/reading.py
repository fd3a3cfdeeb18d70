"""A clip for the tests of the readers, its uneven time stamps, and reading with the default settings."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from pipeline.config.settings import InputSettings
from pipeline.media.reader.source import read_frames
from pipeline.types import Frame, Source
from tests.support.clips import moving_square

SETTINGS = InputSettings()
COUNT = 14
FRAMES = moving_square(COUNT)
UNEVEN = [0, 40, 90, 100, 180, 230, 231, 300, 400, 410, 500, 610, 650, 700]
MS = Fraction(1, 1000)
"""Time base of `UNEVEN`, in seconds."""


def read(source: Source, **options: Any) -> list[Frame]:
    """All frames of a source, or those that the options of `read_frames` choose."""
    return list(read_frames(source, settings=SETTINGS, **options))


def pixels(source: Source, settings: InputSettings = SETTINGS, **options: Any) -> list[Any]:
    """The images of all frames of a source, or of those that the options of `read_frames` choose."""
    return [frame.rgb for frame in read_frames(source, settings=settings, **options)]


def read_from_everywhere(source: Source, settings: InputSettings = SETTINGS) -> list[Any]:
    """All frames, after a check that each comes out the same when reading begins at it."""
    whole = pixels(source, settings)
    assert len(whole) == source.frame_count
    for start in range(source.frame_count):
        np.testing.assert_array_equal(pixels(source, settings, start=start, stop=start + 1)[0], whole[start])
    return whole

"""A clip for the tests of the readers, its uneven time stamps, and reading with the default settings."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

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

"""What tests of writing use: sources, frames, and what a written video has."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.config.settings import OutputSettings
from pipeline.types import Source

RGB = NDArray[np.uint8]
FAST = OutputSettings(preset="ultrafast")
VIDEOS = [
    (".mp4", "h264"),
    (".mp4", "hevc"),
    (".mp4", "av1"),
    (".mp4", "vp9"),
    (".mov", "h264"),
    (".mov", "prores"),
    (".mkv", "h264"),
    (".mkv", "ffv1"),
    (".webm", "vp9"),
    (".webm", "av1"),
]


def source_of(
    pts: tuple[int, ...] = tuple(range(6)),
    *,
    time_base: Fraction = Fraction(1, 25),
    last: int = 1,
    audio: Path | None = None,
    size: tuple[int, int] = (96, 64),
) -> Source:
    return Source(
        path=str(audio or "photos"),
        kind="video" if audio else "photos",
        files=(str(audio),) if audio else (),
        width_px=size[0],
        height_px=size[1],
        frame_rate=Fraction(25),
        time_base=time_base,
        pts=pts,
        duration_ticks=last,
        decoded_indices=tuple(range(len(pts))),
        has_audio=audio is not None,
    )


def ramps(count: int, width: int = 96, height: int = 64) -> list[RGB]:
    """Smooth frames, each a little brighter than the one before."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    base = np.dstack([x * 200 / width, y * 200 / height, 100 + 60 * np.sin(x / 9)])
    return [np.asarray(np.rint(base + 5 * i), np.uint8) for i in range(count)]


def read_back(path: Path) -> tuple[list[RGB], list[Fraction], float]:
    """Frames, times in seconds, and the duration in seconds that the file states."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        times = [frame.pts * frame.time_base for frame in frames if frame.pts is not None and frame.time_base]
        stated = (
            float(stream.duration * stream.time_base)
            if stream.duration is not None and stream.time_base is not None
            else (container.duration or 0) / 1e6
        )
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames], times, stated


def times_of(source: Source) -> list[Fraction]:
    return [(tick - source.pts[0]) * source.time_base for tick in source.pts]


def leftovers(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*"))

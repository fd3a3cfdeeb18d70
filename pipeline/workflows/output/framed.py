"""Finished pictures as an output shows them: the part, the size and the bars that its settings ask for."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pipeline.execute.in_order import map_in_order, thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.framing import FramingSettings
    from pipeline.postprocess.framing import Framing
    from pipeline.postprocess.timeline import Timeline
    from pipeline.runtime.progress import Reporter
    from pipeline.types import Source


@dataclass(frozen=True, slots=True)
class OutputFraming:
    """How the pictures of an output are framed, and by picture the left and top edge of the part that is shown."""

    made: Framing
    corners: tuple[tuple[float, float], ...]


def shown_times(source: Source, timeline: Timeline | None = None, fps: Fraction | None = None) -> list[Fraction]:
    """When each picture of an output appears, in seconds after the first one."""
    if timeline is not None:
        return [shown.start for shown in timeline.shown]
    if fps is not None:
        return [index / fps for index in range(source.frame_count)]
    return [(pts - source.pts[0]) * source.time_base for pts in source.pts]


def output_framing(
    settings: FramingSettings,
    size_px: tuple[int, int],
    times: Sequence[Fraction],
    name: str = "",
    reporter: Reporter | None = None,
) -> OutputFraming | None:
    """How frames of `size_px`, (width, height), that appear at `times` are framed; None: they are shown as they are.

    A `reporter` is told what happens to the output `name`. Raises ConfigError for settings that do not fit the frames
    or the clip.
    """
    from pipeline.postprocess.framing import corners, framing

    made = framing(settings, *size_px)
    if made is None:
        return None
    if reporter is not None:
        reporter.note(f"{name}: {made}")
    return OutputFraming(made, tuple(corners(settings, made, times)))


def framed_pictures(
    pictures: Generator[NDArray[Any]], framing: OutputFraming | None, threads: int = 0
) -> Generator[NDArray[Any]]:
    """The pictures, (H, W, 3) of one size, as an output shows them; `threads` is the most that are used, 0: all."""
    from pipeline.postprocess.framing import framed

    if framing is None:
        return pictures
    made = framing.made

    def placed() -> Generator[tuple[NDArray[Any], tuple[float, float]]]:
        with closing(pictures):
            yield from zip(pictures, framing.corners, strict=False)  # the writer counts the pictures

    largest = max(made.frame_px, made.size_px, key=lambda px: px[0] * px[1])
    return map_in_order(lambda work: framed(work[0], made, work[1]), placed(), thread_count(largest, threads))

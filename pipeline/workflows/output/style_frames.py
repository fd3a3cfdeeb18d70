"""The stored frames of a style: how many there are, their pixels in order, and the part of the source they show."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.errors import RenderDirectoryError
from pipeline.store.directory import RenderDirectory, resume_command
from pipeline.store.videos import exported
from pipeline.types import Chain, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """A frame of a chain in a render directory, by its index in the source."""

    directory: RenderDirectory
    chain_id: str
    index: int

    def read(self) -> NDArray[np.uint8]:
        """Its pixels, uint8 (H, W, 3) sRGB; decoding takes long enough that several threads should do it.

        Raises RenderDirectoryError if it is missing or damaged.
        """
        return self.directory.read_frame(self.chain_id, self.index)


def frames_ready(directory: RenderDirectory, style: str) -> int:
    """How many frames of a style are stored without a gap from the first one.

    Raises RenderDirectoryError if there is none, or if they were removed after their video was written.
    """
    path = directory.path
    video = exported(directory).get(style)
    if video is not None:
        raise video.no_frames(path, "copy that video, or convert it with another program")
    ready = 0
    for chain in _output_chains(directory, style):
        ready = max(chain.start, min(chain.stop, directory.done(chain)))
        if ready < chain.stop:
            break
    if ready == 0:
        raise RenderDirectoryError(
            f"{path}: no frame of style {style!r} is stored yet", hint=f"`{resume_command(path)}` goes on"
        )
    return ready


def stored_frames(
    directory: RenderDirectory, style: str, frames: range, checkpoint: Callable[[], None] = lambda: None
) -> Generator[StoredFrame]:
    """These frames of a style's video, in order, not yet read."""
    for chain in _output_chains(directory, style):
        for index in range(max(chain.start, frames.start), min(chain.stop, frames.stop)):
            checkpoint()
            yield StoredFrame(directory, chain.id, index)


def selected(source: Source, frames: range) -> Source:
    """The part of a source that consists of these frames, of which there is at least one."""
    if frames == range(source.frame_count):
        return source
    start, stop = frames.start, frames.stop
    shown_until = source.pts[stop] if stop < source.frame_count else source.pts[-1] + source.duration_ticks
    return replace(
        source,
        pts=source.pts[start:stop],
        decoded_indices=source.decoded_indices[start:stop],
        damaged=tuple(index - start for index in source.damaged if index in frames),
        stream_pts=source.stream_pts[start:stop],
        gaps_to_fill=tuple(index - start for index in source.gaps_to_fill if index in frames),
        duration_ticks=shown_until - source.pts[stop - 1],
        blended=source.blended[start:stop],
        alignment=source.alignment and source.alignment.part(start, stop),
    )


def _output_chains(directory: RenderDirectory, style: str) -> list[Chain]:
    """The chains whose frames make the video of a style, in order."""
    chains = (chain for chain in directory.plan.chains if chain.style == style and chain.in_output)
    return sorted(chains, key=lambda chain: chain.start)

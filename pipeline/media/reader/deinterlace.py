"""Interlaced video: frames that hold two moments, one in the even and one in the odd lines, become frames of one.

By FFmpeg's filter bwdif (Weston 3 field deinterlacing with the motion check of yadif): the lines of the field that is
shown first stay, the others are interpolated from it and from the fields around it.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Literal

import av
from av.filter import Graph

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pipeline.config.settings import InputSettings

Which = Literal["none", "interlaced", "all"]
"""Which frames are deinterlaced; `interlaced` are those that the stream marks."""


def which_frames(settings: InputSettings, *, interlaced: bool) -> Which:
    """Which frames the settings ask for in a video that is `interlaced` or not."""
    if settings.deinterlace == "always":
        return "all"
    return "interlaced" if settings.deinterlace == "auto" and interlaced else "none"


def deinterlaced(frames: Generator[av.VideoFrame], which: Which) -> Generator[av.VideoFrame]:
    """The frames with the same stamps and in the same number; those that `which` names at the moment of their first
    field.

    The pixels of a frame depend on the frame before it and the one after it, and on no others. A frame that the filter
    cannot take (less than 3 px wide or 4 px high) stays as it is. Closing this generator closes `frames`.
    """
    with closing(frames):
        if which == "none":
            yield from frames
            return
        graph: Graph | None = None
        kind: tuple[object, ...] = ()
        waiting: deque[av.VideoFrame] = deque()
        for frame in frames:
            if (now := _kind(frame)) != kind:
                if graph is not None:
                    yield from _flushed(graph, waiting)
                graph, kind = _graph(frame, which), now
            if graph is None:
                yield frame
                continue
            waiting.append(frame)
            graph.push(frame)
            yield from _pulled(graph, waiting)
        if graph is not None:
            yield from _flushed(graph, waiting)


def _kind(frame: av.VideoFrame) -> tuple[object, ...]:
    """What the frames of one graph have in common."""
    return frame.width, frame.height, frame.format.name, int(frame.colorspace), int(frame.color_range)


def _graph(frame: av.VideoFrame, which: Which) -> Graph | None:
    """A filter for frames like this one; None if there is none."""
    graph = Graph()
    graph.threads = 1
    try:
        graph.link_nodes(
            graph.add(
                "buffer",
                video_size=f"{frame.width}x{frame.height}",
                pix_fmt=frame.format.name,
                time_base=str(frame.time_base),
                colorspace=str(int(frame.colorspace)),
                range=str(int(frame.color_range)),
            ),
            graph.add("bwdif", f"mode=send_frame:parity=auto:deint={which}"),
            graph.add("buffersink"),
        ).configure()
    except av.FFmpegError:
        return None
    return graph


def _flushed(graph: Graph, waiting: deque[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    graph.push(None)
    yield from _pulled(graph, waiting)
    yield from waiting  # what the filter has kept back
    waiting.clear()


def _pulled(graph: Graph, waiting: deque[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """The frames that are ready, with the stamps that they had: the filter counts in another time base."""
    while waiting:
        try:
            frame = graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
        given = waiting.popleft()
        frame.pts, frame.time_base = given.pts, given.time_base
        yield frame

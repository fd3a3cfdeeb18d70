"""Clips as cameras and editors write them: interlaced, HDR, with transparency, with several streams."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.filter import Graph
from av.video.reformatter import Colorspace, Interpolation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    RGB = NDArray[np.uint8]

PQ, HLG = 16, 18
"""Transfers as code points of ITU-T H.273."""
BT2020 = 9
_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def woven(moments: Sequence[RGB], *, top_first: bool = True) -> list[RGB]:
    """Two moments in each frame: the first one in the even lines if `top_first`, else in the odd ones."""
    frames = []
    for first, second in zip(moments[::2], moments[1::2], strict=True):
        top, bottom = (first, second) if top_first else (second, first)
        frame = top.copy()
        frame[1::2] = bottom[1::2]
        frames.append(frame)
    return frames


def write_interlaced(
    path: Path,
    frames: Sequence[RGB],
    *,
    top_first: bool = True,
    marked: Sequence[bool] | None = None,
    codec: str = "libx264",
) -> Path:
    """Encode `frames` as interlaced video without loss, those that are not `marked` as progressive ones.

    x264 marks all frames of a video alike; FFV1 does not.
    """
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        options = {"qp": "0", "g": "4", "bf": "2", "flags": "+ildct+ilme"} if codec == "libx264" else {}
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = int(Colorspace.ITU709), 1
        stream.time_base = stream.codec_context.time_base = Fraction(1, 25)
        orders = ["prog" if marked and not marked[i] else "tff" if top_first else "bff" for i in range(len(frames))]
        for frame in _with_order(frames, orders):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _with_order(frames: Sequence[RGB], orders: Sequence[str]) -> Iterator[av.VideoFrame]:
    """Frames that state their order of fields, which PyAV cannot set itself."""
    graphs = {}
    for order in set(orders):
        graph = graphs[order] = Graph()
        height, width = frames[0].shape[:2]
        given: dict[str, Any] = {"width": width, "height": height, "format": "yuv444p", "time_base": Fraction(1, 25)}
        graph.link_nodes(graph.add_buffer(**given), graph.add("setfield", order), graph.add("buffersink")).configure()
    for index, (rgb, order) in enumerate(zip(frames, orders, strict=True)):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(
            format="yuv444p", dst_colorspace=Colorspace.ITU709, dst_color_range=1, interpolation=_EXACT
        )
        frame.pts, frame.time_base = index, Fraction(1, 25)
        graphs[order].push(frame)
        yield graphs[order].vpull()


def write_deep(
    path: Path,
    frames: Sequence[NDArray[np.uint16]],
    *,
    transfer: int = 1,
    primaries: int = 1,
    matrix: int = int(Colorspace.ITU709),
    pix_fmt: str = "yuv444p10le",
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> Path:
    """Encode uint16 (H, W, 3), 0 to 65535, as they are, with these code points of ITU-T H.273; x264 without loss."""
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        lossless = {"qp": "0"} if codec == "libx264" else {}
        stream: Any = container.add_stream(codec, rate=24, options=lossless if options is None else options)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = (
            transfer,
            primaries,
            matrix,
            1,
        )
        for codes in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(codes), format="rgb48le").reformat(
                format=pix_fmt, dst_colorspace=matrix, dst_color_range=1, interpolation=_EXACT
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_rgba(
    path: Path, frames: Sequence[RGB], *, codec: str, pix_fmt: str, options: dict[str, str] | None = None
) -> Path:
    """Encode uint8 (H, W, 4) with transparency."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=24, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if codec.startswith("libvpx"):
            stream.metadata["alpha_mode"] = "1"
        for rgba in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgba), format="rgba")
            container.mux(stream.encode(frame.reformat(format=pix_fmt, interpolation=_EXACT)))
        container.mux(stream.encode())
    return path


def write_streams(path: Path, clips: Sequence[Sequence[RGB]], *, default: int | None = None) -> Path:
    """Several video streams in one file, without loss; `default` is the one that is marked for players."""
    from av.stream import Disposition

    with av.open(str(path), "w") as container:
        streams: list[Any] = []
        for number, frames in enumerate(clips):
            stream: Any = container.add_stream("ffv1", rate=24)
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = "bgr0"
            stream.disposition = Disposition.default if number == default else Disposition(0)
            streams.append(stream)
        for stream, frames in zip(streams, clips, strict=True):
            for rgb in frames:
                container.mux(
                    stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=stream.pix_fmt))
                )
            container.mux(stream.encode())
    return path

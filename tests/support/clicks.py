"""Videos whose audio clicks at every whole second, and when the clicks of a video are heard."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 48_000


def clip_with_clicks(path: Path, codec: str, *, seconds: int = 3, first_pts: int = 0) -> Path:
    """A video of 25 frames per second that begins at `first_pts` frames, clicking at every whole second but 0."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        audio: Any = container.add_stream(codec, rate=RATE, layout="mono")
        samples = np.zeros((1, seconds * RATE), np.float32)
        for second in range(1, seconds):
            samples[0, second * RATE : second * RATE + 300] = 0.8 * np.sin(np.arange(300) * 0.5)
        for index in range(first_pts, seconds * 25):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), index, np.uint8), format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, samples.shape[1], 960):
            piece = av.AudioFrame.from_ndarray(samples[:, start : start + 960].copy(), format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = RATE, start, Fraction(1, RATE)
            container.mux(audio.encode(piece))
        container.mux(audio.encode(None))
    return path


def listen(path: Path) -> tuple[list[float], float, float, str]:
    """Times of the clicks, begin and end of the audio (all in seconds), and its codec."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        to_float = av.AudioResampler("fltp", "mono", RATE)
        clicks: list[float] = []
        begin = end = -1.0
        for frame in container.decode(stream):
            assert frame.pts is not None
            assert frame.time_base is not None
            at = float(frame.pts * frame.time_base)
            begin = at if begin < 0 else begin
            end = at + frame.samples / frame.sample_rate
            for piece in to_float.resample(frame):
                for index in np.flatnonzero(np.abs(piece.to_ndarray()[0]) > 0.35):
                    time_s = at + index / RATE
                    if not clicks or time_s - clicks[-1] > 0.5:
                        clicks.append(time_s)
        return clicks, begin, end, stream.codec_context.name

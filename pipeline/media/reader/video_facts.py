"""What `tempera probe` tells about a video beside its `Source`: streams, codec, pixel format, bits, transparency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from av.audio.stream import AudioStream

from pipeline.media.reader.decode import has_separate_alpha, open_video

if TYPE_CHECKING:
    from pipeline.types import Source


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """Of the stream that is rendered: codec, pixel format, bits per sample, and whether it may be transparent.

    `streams` are all of the file, as FFmpeg numbers them. `audio` describes the track that is carried over, "" if none.
    """

    codec: str
    pixel_format: str
    bits: int
    transparent: bool
    streams: tuple[str, ...]
    audio: str


def video_facts(source: Source) -> VideoFacts:
    """Facts from the header of a video file. Raises InputError if it cannot be opened."""
    with open_video(source.files[0]) as container:
        stream = next(each for each in container.streams.video if each.index == source.stream_index)
        context = stream.codec_context
        components = context.format.components if context.format is not None else ()
        track = container.streams.best("audio")
        audio = ""
        if isinstance(track, AudioStream) and track.codec_context is not None:
            audio = f"{track.codec_context.name}, {track.rate} Hz, {track.layout.name}"
        return VideoFacts(
            codec=context.name,
            pixel_format=context.pix_fmt or "unknown",
            bits=max((component.bits for component in components), default=0),
            transparent=has_separate_alpha(stream) or any(component.is_alpha for component in components),
            streams=tuple(each.type for each in container.streams),
            audio=audio,
        )

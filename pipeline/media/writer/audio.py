"""The source's audio in the output: copied where the container takes it, else encoded again, in sync."""

from __future__ import annotations

import logging
import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import numpy as np
from av.stream import Disposition

from pipeline.errors import ConfigError, InputError
from pipeline.media.writer.partial import write_error
from pipeline.media.writer.stretch import stretched
from pipeline.media.writer.time_map import AS_RECORDED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.media.writer.codecs import Container
    from pipeline.media.writer.time_map import TimeMap
    from pipeline.types import Source

log = logging.getLogger(__name__)

# Stamps of some containers are rounded to milliseconds: smaller jumps are no gap, and filling them would click.
JITTER_S = Fraction(1, 100)
_BIT_RATE = 192_000
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_BLOCK = 1024
# Encoders with a bit rate, with one sample rate, and the format of samples where it is not the encoder's first.
_LOSSY = frozenset({"aac", "libopus"})
_RATES = {"aac": _AAC_RATES, "libopus": (48_000,)}
_FORMATS = {"flac": "s32"}


class AudioTrack:
    """An audio stream of the output, fed in step with the images; `open_audio` makes it, `close` ends it."""

    def __init__(
        self, output: av.container.OutputContainer, source: Any, packets: Iterator[Any], clock: Fraction
    ) -> None:
        self._output = output
        self._source = source
        self._packets = packets
        self._clock = clock
        self._waiting: Any = None

    def mux_until(self, time_s: Fraction | None) -> None:
        """Write the packets that begin up to this time of the output (None: all that are left)."""
        while True:
            if self._waiting is None:
                self._waiting = next(self._packets, None)
            packet = self._waiting
            if packet is None or (time_s is not None and packet.pts * (packet.time_base or self._clock) > time_s):
                return
            self._output.mux(packet)
            self._waiting = None

    def close(self) -> None:
        """Close the source file."""
        self._source.close()


def open_audio(
    output: av.container.OutputContainer,
    source: Source,
    container: Container,
    duration_s: Fraction,
    *,
    wanted: str = "auto",
    time_map: TimeMap = AS_RECORDED,
) -> AudioTrack | None:
    """Add the source's audio to the output, before its header is written: its default stream, else its first one.

    None when there is none, or no decoder for it. What belongs to `source.pts[0]` is the 0 of the input of `time_map`;
    it is heard at the times that the map gives, and none after `duration_s`. Copied packets (20 to 100 ms) are kept
    whole: the end is up to half of one off, and where the container has no edit list the beginning up to one. Encoded
    again, the audio is cut to the sample, in mono or stereo; so it is where the map changes its speed, at the same
    pitch (see `stretched`). `wanted` is `VideoSettings.audio`.

    Raises InputError when the source is gone, ConfigError when its audio cannot be copied as wanted, WriteError when
    the output refuses the stream.
    """
    path = Path(source.files[0] if source.files else source.path)
    try:
        opened = av.open(os.path.abspath(path))  # noqa: PTH100 - absolute, or a colon in the name means a protocol
    except (av.error.FFmpegError, OSError) as error:
        raise _unreadable(path, error) from error
    try:
        stream = _default_stream(opened)
        if stream is None:
            log.warning("%s: there is no audio that can be decoded here: the video is silent", path)
            opened.close()
            return None
        start_s = source.pts[0] * source.time_base + (time_map.input_s[0] if time_map.plain else 0)
        codec = stream.codec_context.name.removesuffix("float")
        copied = wanted != "encode" and codec in container.audio_copied and time_map.plain
        if copied:
            added: Any = output.add_stream_from_template(stream)
            if stream.codec_context.name.startswith("pcm_"):
                packets = _sliced(opened, stream, added, start_s, duration_s)
            else:
                packets = _copied(opened, stream, added, start_s, duration_s, early=container.negative_times)
            clock = stream.time_base or Fraction(1, 1000)
        else:
            if wanted == "copy":
                why = f"{container.format} does not take {codec}" if time_map.plain else "its speed changes"
                raise _not_copied(path, why)
            added = _added_encoder(output, container, stream)
            packets = _encoded(opened, stream, added, start_s, duration_s, time_map)
            clock = Fraction(1, added.codec_context.sample_rate)
    except (av.error.FFmpegError, ValueError) as error:
        opened.close()
        raise write_error(path, error, "carrying the audio over") from error
    except ConfigError:
        opened.close()
        raise
    return AudioTrack(output, opened, packets, clock)


def _default_stream(opened: Any) -> Any:
    streams = [stream for stream in opened.streams.audio if stream.codec_context is not None]
    return next((its for its in streams if its.disposition & Disposition.default), next(iter(streams), None))


def _added_encoder(output: av.container.OutputContainer, container: Container, stream: Any) -> Any:
    """A stream for audio that is encoded again, as exact as its encoder can keep it."""
    encoder, mono = container.audio_encoder, stream.codec_context.channels == 1
    rate = stream.codec_context.sample_rate
    if container.rates or rate not in _RATES.get(encoder, (rate,)):
        rate = 48_000
    added: Any = output.add_stream(encoder, rate=rate, layout="mono" if mono else "stereo")
    if encoder in _LOSSY:
        added.bit_rate = _BIT_RATE // 2 if mono else _BIT_RATE
    if encoder in _FORMATS:
        added.codec_context.format = _FORMATS[encoder]
    return added


def _readable(source: Any, stream: Any) -> Iterator[Any]:
    """Packets of the stream until the end of the file, or until it is damaged."""
    packets = source.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.InvalidDataError as error:
            log.warning("%s: the audio is damaged from here on and ends: %s", source.name, error)
            return
        except (av.error.FFmpegError, OSError) as error:
            raise _unreadable(source.name, error) from error
        yield packet


def _unreadable(path: str | Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: the audio of the source cannot be read: {error}",
        hint="put the source back where it was, or write a silent video: --set output.audio=none",
    )


def _not_copied(path: Path, why: str) -> ConfigError:
    return ConfigError(f"{path}: the audio cannot be copied: {why}", hint="encode it again: --set output.audio=auto")


def _copied(
    source: Any, stream: Any, added: Any, start_s: Fraction, duration_s: Fraction, *, early: bool
) -> Iterator[Any]:
    clock = stream.time_base
    offset, stop = round(start_s / clock), round((start_s + duration_s) / clock)
    for packet in _readable(source, stream):
        if packet.pts is None or not packet.size:
            continue
        if 2 * packet.pts + (packet.duration or 0) >= 2 * stop:
            return
        # One packet more in front, hidden by the edit list: transform codecs need it to begin cleanly.
        if packet.pts + 2 * (packet.duration or 0) > offset if early else packet.pts >= offset:
            packet.pts -= offset
            packet.dts = packet.pts
            packet.stream = added
            yield packet


def _sliced(source: Any, stream: Any, added: Any, start_s: Fraction, duration_s: Fraction) -> Iterator[Any]:
    """PCM, cut to the sample: its packets may be seconds long, and any part of one is a packet too."""
    rate = stream.codec_context.sample_rate
    sample_bytes = stream.codec_context.channels * _bytes_per_value(stream.codec_context.name)
    clock = Fraction(1, rate)
    length = round(duration_s * rate)
    for packet in _readable(source, stream):
        if packet.pts is None or not packet.size:
            continue
        at = round((packet.pts * stream.time_base - start_s) * rate)
        if at >= length:
            return
        data = bytes(packet)
        kept = data[max(-at, 0) * sample_bytes : (length - at) * sample_bytes]
        if kept:
            piece = av.Packet(kept)
            piece.time_base, piece.pts = clock, max(at, 0)
            piece.dts, piece.duration = piece.pts, len(kept) // sample_bytes
            piece.stream, piece.is_keyframe = added, True
            yield piece


def _bytes_per_value(codec: str) -> int:
    """Size of one value of a PCM codec, from its name: pcm_s24le -> 3."""
    return int("".join(filter(str.isdecimal, codec))) // 8


def _encoded(
    source: Any, stream: Any, added: Any, start_s: Fraction, duration_s: Fraction, time_map: TimeMap
) -> Iterator[Any]:
    context = added.codec_context
    rate, layout = context.sample_rate, context.layout.name
    length = round(duration_s * rate)
    if time_map.plain:
        blocks = _aligned(source, stream, layout, rate=rate, start_s=start_s, length=length)
    else:
        begin_s, end_s = Fraction(time_map.input_at(0)), Fraction(time_map.input_at(float(duration_s)) + 1)
        heard = _aligned(
            source, stream, layout, rate=rate, start_s=start_s + begin_s, length=round((end_s - begin_s) * rate)
        )
        blocks = stretched(heard, time_map, rate=rate, length=length, channels=context.layout.nb_channels)
    position = 0
    for block in blocks:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), position
        position += block.shape[1]
        yield from added.encode(frame)
    yield from added.encode(None)


def _aligned(
    source: Any, stream: Any, layout: str, *, rate: int, start_s: Fraction, length: int
) -> Iterator[NDArray[np.float32]]:
    """Blocks (channels, n) that follow one another without gap, from `start_s` of the source, `length` samples at most.

    Gaps of the source become silence, what overlaps is dropped: the audio stays where its stamps say.
    """
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    jitter = int(JITTER_S * rate)
    position = 0
    for packet in _readable(source, stream):
        try:
            decoded = packet.decode()
        except av.error.InvalidDataError as error:
            log.warning("%s: a piece of the audio is damaged and becomes silence: %s", source.name, error)
            continue
        for frame in decoded:
            if frame.pts is None:
                continue
            at = round((frame.pts * frame.time_base - start_s) * rate)
            blocks = [piece.to_ndarray().astype(np.float32, copy=False) for piece in resampler.resample(frame)]
            block = np.concatenate(blocks, axis=1) if blocks else np.zeros((1, 0), np.float32)
            if at - position > (jitter if position else 0):
                yield from _silence(block.shape[0], min(at, length) - position)
                position = min(at, length)
            elif position - at > jitter or position == 0:
                block = block[:, max(position - at, 0) :]
            block = np.ascontiguousarray(block[:, : length - position])
            if block.shape[1]:
                yield block
                position += block.shape[1]
            if position >= length:
                return


def _silence(channels: int, count: int) -> Iterator[NDArray[np.float32]]:
    for start in range(0, count, _BLOCK):
        yield np.zeros((channels, min(_BLOCK, count - start)), np.float32)

"""What a video says about itself: title, time and place of the recording, time code, and what has written it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av
import av.error

from pipeline.errors import TemperaError
from pipeline.media.image.record import RECORD_KEY
from pipeline.media.reader.header import read_header
from pipeline.version import __version__

if TYPE_CHECKING:
    from pipeline.config.video import VideoSettings
    from pipeline.media.writer.codecs import Container
    from pipeline.media.writer.timing import Timing
    from pipeline.types import Source

_PLACES: Final = ("location", "com.apple.quicktime.location.iso6709", "location-eng")
_TIMECODE: Final = re.compile(r"\d\d:\d\d:\d\d[:;.]\d\d")
_TIMECODE_RATES: Final = frozenset(
    (*map(Fraction, (24, 25, 30, 48, 50, 60)), *(Fraction(1000 * rate, 1001) for rate in (24, 30, 60)))
)


def container_metadata(
    source: Source, settings: VideoSettings, container: Container, timing: Timing, record: str = ""
) -> dict[str, str]:
    """The metadata of the video, by FFmpeg's names.

    Taken over from the input: its title, when it was recorded (of photos: the first one, if its camera stated the
    offset from UTC), its time code if the container keeps one and the frames begin and run as in the input; the place
    only with `settings.location`. The rotation is not: frames are upright. An input that cannot be read gives none.
    MKV and WebM also have the record of the settings, if it is not empty.
    """
    found = _of_video(source) if source.kind == "video" else _of_photo(source)
    kept = {"comment": f"encoded by Tempera {__version__}"}
    kept |= {name: found[name] for name in ("title", "creation_time") if found.get(name)}
    place = next((found[name] for name in _PLACES if found.get(name)), "")
    if settings.location and place:
        kept["location"] = place
    timecode = found.get("timecode", "")
    runs_on = timing.constant and timing.mean_rate == source.frame_rate and timing.mean_rate in _TIMECODE_RATES
    if container.format in {"mov", "mxf"} and runs_on and source.pts[0] == 0 and _TIMECODE.fullmatch(timecode):
        kept["timecode"] = timecode
    if record and container.format in {"matroska", "webm"}:
        kept[RECORD_KEY] = record
    return kept


def _of_video(source: Source) -> dict[str, str]:
    file = os.path.abspath(source.files[0] if source.files else source.path)  # noqa: PTH100 - as in `open_audio`
    with suppress(av.error.FFmpegError, OSError, IndexError), av.open(file, metadata_errors="replace") as opened:
        streams = {name: text for stream in opened.streams for name, text in stream.metadata.items()}
        # Phones write the place in capitals or not, Matroska always; names of a stream stand below those of the file.
        return {name.lower(): text for name, text in {**streams, **opened.metadata}.items()}
    return {}


def _of_photo(source: Source) -> dict[str, str]:
    with suppress(TemperaError, IndexError):
        taken = read_header(source.files[min(source.decoded_indices, default=0)]).exif.taken
        if taken is not None and taken.offset is not None:
            return {"creation_time": f"{(taken.local - taken.offset).isoformat(timespec='seconds')}Z"}
    return {}

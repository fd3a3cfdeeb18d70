"""What can be encoded: codecs with the pixels that they keep, containers with what they hold, hardware encoders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

import av

from pipeline.media.writer.pixels import PixelFormat


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the named qualities of a codec that has no CRF: FFmpeg's name of the profile, and the pixels it keeps."""

    option: str
    pixels: PixelFormat


@dataclass(frozen=True, slots=True)
class Codec:
    """A video codec: its encoders in order of preference and the pixels that it keeps, the first ones by default.

    `crf` and `crf_max` are the default and the largest CRF, 0 where quality is not set by CRF. A codec with `variants`
    keeps the pixels of the chosen one. Sides below `smallest_px` (width, height) are refused. `hardware` are encoders
    on graphics processors, in the order in which they are tried.
    """

    encoders: tuple[str, ...]
    pixels: tuple[PixelFormat, ...] = ()
    crf: int = 0
    crf_max: int = 0
    smallest_px: tuple[int, int] = (1, 1)
    variants: Mapping[str, Variant] = field(default_factory=dict)
    hardware: tuple[str, ...] = ()

    @property
    def layouts(self) -> tuple[PixelFormat, ...]:
        """All pixels that the codec can keep, each once."""
        return tuple(dict.fromkeys((*self.pixels, *(variant.pixels for variant in self.variants.values()))))


@dataclass(frozen=True, slots=True)
class Container:
    """A video file format: FFmpeg's name, the codecs it holds (the first is `auto`), and how it takes audio."""

    format: str
    codecs: tuple[str, ...]
    audio_copied: frozenset[str]
    audio_encoder: str
    negative_times: bool
    """Whether audio may begin before 0 and is cut exactly by an edit list."""
    rates: frozenset[Fraction] = frozenset()
    """The only frame rates that it has, with frames that stay equally long; empty: any times."""


def _grid(chromas: tuple[int, ...], depths: tuple[int, ...]) -> tuple[PixelFormat, ...]:
    return tuple(PixelFormat(chroma, depth) for depth in depths for chroma in chromas)


_422_10, _444_10 = PixelFormat(422, 10), PixelFormat(444, 10)
# The smallest sides are our limits: libx265 (4.1) writes beyond its buffers for images of less than one block of 64 px,
# and libsvtav1 fails after some frames. The default CRFs give the quality of h264 at 16: scripts/bench/video_codecs.py.
CODECS = {
    "h264": Codec(
        ("libx264",),
        _grid((420, 422, 444), (8, 10)),
        crf=16,
        crf_max=51,
        hardware=("h264_videotoolbox", "h264_nvenc", "h264_qsv"),
    ),
    "hevc": Codec(
        ("libx265",),
        _grid((420, 422, 444), (8, 10, 12)),
        crf=17,
        crf_max=51,
        smallest_px=(64, 64),
        hardware=("hevc_videotoolbox", "hevc_nvenc", "hevc_qsv"),
    ),
    "vp9": Codec(("libvpx-vp9",), _grid((420, 422, 444), (8, 10)), crf=11, crf_max=63),
    "av1": Codec(
        ("libsvtav1", "libaom-av1"),
        _grid((420,), (8, 10)),
        crf=13,
        crf_max=63,
        smallest_px=(16, 16),
        hardware=("av1_nvenc", "av1_qsv"),
    ),
    "prores": Codec(
        ("prores_ks",),
        variants={
            "hq": Variant("hq", _422_10),
            "standard": Variant("standard", _422_10),
            "lt": Variant("lt", _422_10),
            "proxy": Variant("proxy", _422_10),
            "4444": Variant("4444", _444_10),
        },
    ),
    "dnxhr": Codec(
        ("dnxhd",),
        smallest_px=(256, 120),
        variants={
            "hq": Variant("dnxhr_hq", PixelFormat(422, 8)),
            "sq": Variant("dnxhr_sq", PixelFormat(422, 8)),
            "lb": Variant("dnxhr_lb", PixelFormat(422, 8)),
            "hqx": Variant("dnxhr_hqx", _422_10),
            "444": Variant("dnxhr_444", _444_10),
        },
    ),
    "ffv1": Codec(("ffv1",), tuple(PixelFormat(444, depth, rgb=True) for depth in (8, 10, 12, 16))),
}
_PCM = frozenset({"pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_f32le"})
_MXF_RATES = frozenset(
    (
        *(Fraction(rate) for rate in (24, 25, 30, 48, 50, 60, 100, 120)),
        *(Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60, 120)),
    )
)
CONTAINERS = {
    ".mp4": Container(
        "mp4",
        ("h264", "hevc", "av1", "vp9"),
        frozenset({"aac", "mp3", "ac3", "eac3", "alac"}),
        "aac",
        negative_times=True,
    ),
    ".mov": Container(
        "mov",
        ("h264", "hevc", "prores", "dnxhr"),
        frozenset({"aac", "mp3", "ac3", "alac"}) | _PCM,
        "aac",
        negative_times=True,
    ),
    ".mkv": Container(
        "matroska",
        ("h264", "hevc", "vp9", "av1", "prores", "ffv1"),
        frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "vorbis", "flac"}) | _PCM,
        "aac",
        negative_times=False,
    ),
    ".webm": Container("webm", ("vp9", "av1"), frozenset({"opus", "vorbis"}), "libopus", negative_times=False),
    # Audio is cut to the lengths of frames there, so that no packet can be copied.
    ".mxf": Container("mxf", ("dnxhr", "prores"), frozenset(), "pcm_s24le", negative_times=False, rates=_MXF_RATES),
}


def available_encoder(codec: str) -> str | None:
    """Name of the first encoder for the codec that this installation has."""
    return next((name for name in CODECS[codec].encoders if name in av.codecs_available), None)


@cache
def encoder_formats(encoder: str) -> frozenset[str]:
    """FFmpeg's names of the pixel formats that an installed encoder takes, as it was built here."""
    return frozenset(taken.name for taken in av.Codec(encoder, "w").video_formats or ())


def available_layouts(codec: str) -> tuple[PixelFormat, ...]:
    """The pixels that a codec can keep with its encoder as it was built here."""
    encoder = available_encoder(codec)
    taken = encoder_formats(encoder) if encoder else frozenset()
    return tuple(pixels for pixels in CODECS[codec].layouts if pixels.format in taken)

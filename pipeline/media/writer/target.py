"""What can be written: suffixes, containers, codecs, and a check of an output before the work."""

from __future__ import annotations

import io
import os
import re
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import av
import av.error
from PIL import Image

from pipeline.errors import ConfigError, MissingPartError, UsageError, WriteError
from pipeline.media.writer.partial import write_error

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.config.settings import OutputSettings

Kind = Literal["video", "animation", "stills", "still"]

PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
# The same names for the encoders that count their speeds (SVT-AV1: 0..13, libvpx "good": 0..5, larger is faster).
_SVT_SPEEDS = dict(zip(PRESETS, ("12", "11", "10", "9", "8", "7", "5", "4", "3", "1"), strict=True))
_VPX_SPEEDS = dict(zip(PRESETS, ("5", "5", "5", "5", "4", "3", "2", "1", "0", "0"), strict=True))


@dataclass(frozen=True, slots=True)
class Codec:
    """A video codec: its encoders in order of preference, the pixels it stores, and the largest CRF.

    `even` tells that sides must be even, because chroma is halved; `crf_max` is None when quality is not set by CRF;
    sides below `smallest_px` are refused.
    """

    encoders: tuple[str, ...]
    pixel_format: str
    even: bool
    crf_max: int | None
    smallest_px: int = 1


@dataclass(frozen=True, slots=True)
class Container:
    """A video file format: FFmpeg's name, the codecs it holds (the first is `auto`), and how it takes audio."""

    format: str
    codecs: tuple[str, ...]
    audio_copied: frozenset[str]
    audio_encoder: str
    negative_times: bool
    """Whether audio may begin before 0 and is cut exactly by an edit list."""


# The smallest sides are our limits: libx265 (4.1) writes beyond its buffers for images of less than one block of 64 px,
# and libsvtav1 fails after some frames.
CODECS = {
    "h264": Codec(("libx264",), "yuv420p", even=True, crf_max=51),
    "hevc": Codec(("libx265",), "yuv420p", even=True, crf_max=51, smallest_px=64),
    "vp9": Codec(("libvpx-vp9",), "yuv420p", even=True, crf_max=63),
    "av1": Codec(("libsvtav1", "libaom-av1"), "yuv420p", even=True, crf_max=63, smallest_px=16),
    "prores": Codec(("prores_ks",), "yuv422p10le", even=True, crf_max=None),
    "ffv1": Codec(("ffv1",), "bgr0", even=False, crf_max=None),
}
_PCM = frozenset({"pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_f32le"})
CONTAINERS = {
    ".mp4": Container(
        "mp4",
        ("h264", "hevc", "av1", "vp9"),
        frozenset({"aac", "mp3", "ac3", "eac3", "alac"}),
        "aac",
        negative_times=True,
    ),
    ".mov": Container(
        "mov", ("h264", "hevc", "prores"), frozenset({"aac", "mp3", "ac3", "alac"}) | _PCM, "aac", negative_times=True
    ),
    ".mkv": Container(
        "matroska",
        ("h264", "hevc", "vp9", "av1", "prores", "ffv1"),
        frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "vorbis", "flac"}) | _PCM,
        "aac",
        negative_times=False,
    ),
    ".webm": Container("webm", ("vp9", "av1"), frozenset({"opus", "vorbis"}), "libopus", negative_times=False),
}
ANIMATIONS = {".gif": "GIF", ".webp": "WEBP", ".apng": "APNG", ".avif": "AVIF"}
STILLS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".exr": "EXR",
    ".webp": "WEBP",
    ".avif": "AVIF",
}
"""Names in `STILLS` and `ANIMATIONS` are Pillow's where Pillow writes them. Those in both are stills by a number."""
SUFFIXES = tuple(dict.fromkeys((*CONTAINERS, *ANIMATIONS, *STILLS)))
_LONGEST_SIDE_PX = {".gif": 65_535, ".webp": 16_383, ".avif": 32_768, ".jpg": 65_500, ".jpeg": 65_500}
_PATTERN = re.compile(r"%0?(\d*)d")


@dataclass(frozen=True, slots=True)
class Target:
    """What a path asks for. `container`, `codec` and `encoder` are set for kind "video"."""

    kind: Kind
    suffix: str
    codec: str = ""
    encoder: str = ""

    @property
    def container(self) -> Container:
        """The container of a video."""
        return CONTAINERS[self.suffix]


def available_encoder(codec: str) -> str | None:
    """Name of the first encoder for the codec that this installation has."""
    return next((name for name in CODECS[codec].encoders if name in av.codecs_available), None)


def resolve(path: Path, settings: OutputSettings) -> Target:
    """What to write for this path and these settings.

    Raises UsageError for a suffix that cannot be written, ConfigError for a codec that the container does not hold, is
    not available here, or does not know the asked quality or preset.
    """
    suffix = path.suffix.lower()
    found = _PATTERN.findall(path.name)
    if suffix in STILLS and (found or suffix not in ANIMATIONS):
        if not found:
            return Target("still", suffix)
        if len(found) > 1 or "%" in _PATTERN.sub("", path.name):
            raise UsageError(f"{path}: one number is expected in the name", hint="for example -o out/%05d.png")
        return Target("stills", suffix)
    if suffix in ANIMATIONS:
        if suffix == ".avif" and settings.animation.plays:
            raise ConfigError(
                f"output.animation.plays: an .avif is shown for ever, found {settings.animation.plays}",
                hint="set it to 0, or write .gif, .webp or .apng",
            )
        return Target("animation", suffix)
    if suffix not in CONTAINERS:
        raise UsageError(
            f"{path}: {suffix or 'no suffix'} is not a kind of file that can be written",
            hint=f"choose one of {', '.join(SUFFIXES)}, or out/%05d.png for a folder of images",
        )
    container = CONTAINERS[suffix]
    codec = container.codecs[0] if settings.codec == "auto" else settings.codec
    working = [name for name in container.codecs if available_encoder(name)]
    if codec not in container.codecs:
        homes = ", ".join(other for other, its in CONTAINERS.items() if codec in its.codecs)
        raise ConfigError(
            f"{path}: {suffix} does not hold {codec}",
            hint=f"output.codec can be {', '.join(working)} in {suffix}; {codec} goes into {homes}",
        )
    encoder = available_encoder(codec)
    if encoder is None:
        raise ConfigError(
            f"{path}: no encoder for {codec} is installed ({', '.join(CODECS[codec].encoders)})",
            hint=f"in {suffix} these work here: {', '.join(working) or 'none'}; `tempera doctor` lists all",
        )
    limit = CODECS[codec].crf_max
    if limit is not None and settings.crf > limit:
        raise ConfigError(
            f"output.crf: {codec} takes 0 to {limit}, found {settings.crf}", hint=f"--set output.crf={limit} or less"
        )
    encoder_options(encoder, settings)
    return Target("video", suffix, codec, encoder)


def encoder_options(encoder: str, settings: OutputSettings) -> dict[str, str]:
    """FFmpeg options that mean output.crf and output.preset for this encoder. Raises ConfigError for a wrong preset."""
    crf = str(settings.crf)
    options = {
        "libx264": {"crf": crf},
        "libx265": {"crf": crf, "x265-params": "log-level=error"},
        # A target rate of 0 is what makes libvpx treat crf as constant quality.
        "libvpx-vp9": {"crf": crf, "b": "0", "deadline": "good", "row-mt": "1"},
        "libsvtav1": {"crf": crf},
        "libaom-av1": {"crf": crf, "b": "0", "row-mt": "1"},
        "prores_ks": {"profile": "hq", "vendor": "apl0"},
        "ffv1": {"level": "3", "slicecrc": "1"},
    }[encoder]
    preset = settings.preset
    if encoder in {"libx264", "libx265"}:
        if preset not in PRESETS:
            raise _wrong_preset(preset, ", ".join(PRESETS))
        options["preset"] = preset
    elif encoder in {"libsvtav1", "libvpx-vp9", "libaom-av1"}:
        svt = encoder == "libsvtav1"
        fastest = 13 if svt else 5
        speed = (_SVT_SPEEDS if svt else _VPX_SPEEDS).get(preset, preset)
        if not (speed.isdecimal() and int(speed) <= fastest):
            raise _wrong_preset(preset, f"{', '.join(PRESETS)}, or 0 to {fastest}")
        options["preset" if svt else "cpu-used"] = speed
    return options


def quiet(encoder: str) -> None:
    """Keep an encoder from printing its settings to stderr, where progress is shown."""
    if encoder == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only


def _wrong_preset(preset: str, known: str) -> ConfigError:
    return ConfigError(f"output.preset: {preset!r} is not known to the codec", hint=f"choose one of {known}")


def written_size(path: Path, settings: OutputSettings, width_px: int, height_px: int) -> tuple[int, int]:
    """(width, height) in px of the video that is written for frames of this size.

    Codecs that keep color at half resolution need even sides (all but FFV1): there an odd side grows by one, by
    repeating the last column or row, so no pixel is lost. Everything else keeps the frames' size.
    """
    target = resolve(path, settings)
    if target.kind == "video" and CODECS[target.codec].even:
        return width_px + width_px % 2, height_px + height_px % 2
    return width_px, height_px


def check_output(
    path: Path,
    settings: OutputSettings,
    *,
    frame_count: int,
    width_px: int = 64,
    height_px: int = 64,
) -> str:
    """Check before rendering whether the result can be written; returns what will be, as "h264 in .mp4".

    Checks suffix, container, codec, quality and preset, that one image is not asked to hold many frames, that the
    encoder opens for this size, and that the folder (or the nearest one above it that exists) takes a new file. Nothing
    stays on the disk. Raises UsageError, ConfigError, MissingPartError or WriteError.
    """
    target = resolve(path, settings)
    if target.kind == "still" and frame_count != 1:
        raise UsageError(
            f"{path}: one image cannot hold {frame_count} frames",
            hint=f"-o {path.with_name(path.stem)}/%05d{path.suffix} writes a folder of images; .mp4 writes a video",
        )
    if path.is_dir():
        raise WriteError(f"{path}: is a folder", hint="name the file: for example -o out.mp4")
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    except OSError as error:
        raise write_error(path, error, f"creating a file in {folder}") from error
    if target.kind != "video":
        side_px = max(width_px, height_px)
        longest_px = _LONGEST_SIDE_PX.get(target.suffix, side_px)
        if side_px > longest_px:
            raise WriteError(
                f"{path}: {target.suffix} holds images of up to {longest_px} px, these have {side_px}",
                hint="choose a smaller --width or --height, or .mp4",
            )
        _check_library(path, target.suffix)
        return {"animation": f"animated {target.suffix}", "stills": f"numbered {target.suffix} images"}.get(
            target.kind, f"one {target.suffix} image"
        )
    width_px, height_px = written_size(path, settings, width_px, height_px)
    check_size(path, target, width_px, height_px)
    try:
        quiet(target.encoder)
        context: Any = av.CodecContext.create(target.encoder, "w")
        context.width, context.height = width_px, height_px
        context.pix_fmt = CODECS[target.codec].pixel_format
        context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
        context.options = encoder_options(target.encoder, settings)
        context.open()
    except (av.error.FFmpegError, ValueError) as error:
        raise refused(path, target, width_px, height_px, error) from error
    return f"{target.codec} in {target.suffix}"


def _check_library(path: Path, suffix: str) -> None:
    """Raise MissingPartError if Pillow was built without what the suffix needs."""
    name = {".webp": "WEBP", ".avif": "AVIF"}.get(suffix)
    if name is None:
        return
    try:
        Image.new("RGB", (16, 16)).save(io.BytesIO(), name)
    except (KeyError, OSError, ValueError) as error:
        raise MissingPartError(
            f"{path}: this installation of Pillow cannot write {suffix} ({error})",
            hint="pip install --upgrade pillow, or write .gif, .apng or .mp4",
        ) from error


def check_size(path: Path, target: Target, width_px: int, height_px: int) -> None:
    """Raise WriteError for an image that is too small for the codec of a video."""
    smallest_px = CODECS[target.codec].smallest_px
    if min(width_px, height_px) < smallest_px:
        raise refused(path, target, width_px, height_px, ValueError(f"both sides need {smallest_px} px"))


def refused(path: Path, target: Target, width_px: int, height_px: int, error: Exception) -> WriteError:
    """The WriteError for an encoder that does not open."""
    others = [name for name in target.container.codecs if name != target.codec and available_encoder(name)]
    return WriteError(
        f"{path}: {target.encoder} refuses images of {width_px}x{height_px} px: "
        f"{getattr(error, 'strerror', None) or error}",
        hint=f"choose another --width or --height, or --set output.codec={' or '.join(others) or 'auto'}",
    )


def describe_codecs() -> dict[str, Any]:
    """What can be written here, for `tempera doctor`.

    `codecs`: codec -> {encoder (None: not installed), containers}; `containers`: suffix -> codecs that work;
    `other`: the remaining suffixes; `audio`: encoders for audio; `libraries`: versions of PyAV and FFmpeg's parts.
    """
    return {
        "codecs": {
            name: {
                "encoder": available_encoder(name),
                "containers": [suffix for suffix, container in CONTAINERS.items() if name in container.codecs],
            }
            for name in CODECS
        },
        "containers": {
            suffix: [name for name in container.codecs if available_encoder(name)]
            for suffix, container in CONTAINERS.items()
        },
        "other": [suffix for suffix in SUFFIXES if suffix not in CONTAINERS],
        "audio": [name for name in ("aac", "libopus") if name in av.codecs_available],
        "libraries": {
            "av": av.__version__,
            **{name: ".".join(map(str, version)) for name, version in sorted(av.library_versions.items())},
        },
    }

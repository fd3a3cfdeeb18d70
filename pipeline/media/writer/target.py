"""What a path and the settings ask for, whether it can be written, and a check of that before the work."""

from __future__ import annotations

import io
import os
import re
import tempfile
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import av
import av.error
from PIL import Image

from pipeline.config.video import VideoSettings
from pipeline.errors import ConfigError, MissingPartError, UsageError, WriteError
from pipeline.media.writer.codecs import (
    CODECS,
    CONTAINERS,
    Container,
    available_encoder,
    available_layouts,
    encoder_formats,
)
from pipeline.media.writer.encoder_options import encoder_options
from pipeline.media.writer.partial import write_error
from pipeline.media.writer.pixels import PixelFormat
from pipeline.media.writer.profiles import PROFILES, profiled_container, with_profile

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["video", "animation", "stills", "still"]

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
DEEP_IMAGES = frozenset({".png", ".tif", ".tiff", ".apng", ".exr"})
"""Images that can have 16 bits."""
SUFFIXES = tuple(dict.fromkeys((*CONTAINERS, *ANIMATIONS, *STILLS)))
_LONGEST_SIDE_PX = {".gif": 65_535, ".webp": 16_383, ".avif": 32_768, ".jpg": 65_500, ".jpeg": 65_500}
_PATTERN = re.compile(r"%0?(\d*)d")
_SRGB = PixelFormat(444, 8, rgb=True)
_SEMIPLANAR = {"yuv420p": ("nv12",), "yuv420p10le": ("p010le",)}


@dataclass(frozen=True, slots=True)
class Target:
    """What a path asks for, by `settings`, of kind "video" with their profile.

    `codec`, `encoder`, `variant` (FFmpeg's name of it) and `pixels` are set for kind "video".
    """

    kind: Kind
    suffix: str
    codec: str = ""
    encoder: str = ""
    variant: str = ""
    pixels: PixelFormat = _SRGB
    settings: VideoSettings = field(default_factory=VideoSettings)

    @property
    def container(self) -> Container:
        """The container of a video."""
        return profiled_container(self.suffix, self.settings.profile)

    @property
    def deep(self) -> bool:
        """Whether more than 8 bits of each value are kept: by EXR always, by PNG, TIFF and APNG if asked for."""
        if self.kind == "video":
            return self.pixels.depth > 8
        asked = self.settings.depth != "auto" and self.settings.depth > 8
        return self.suffix == ".exr" or (asked and self.suffix in DEEP_IMAGES)

    def __str__(self) -> str:
        """As "h264 in .mp4", "animated .gif", "numbered .png images" or "one .png image"."""
        match self.kind:
            case "video":
                return f"{self.codec} in {self.suffix}"
            case "animation":
                return f"animated {self.suffix}"
            case "stills":
                return f"numbered {self.suffix} images"
        return f"one {self.suffix} image"


def resolve(path: Path, settings: VideoSettings) -> Target:
    """What to write for this path and these settings.

    Raises UsageError for a suffix that cannot be written, ConfigError for a profile or a codec that the container does
    not hold, and for a codec that is not available here or does not know the asked pixels, variant, quality or preset.
    """
    suffix = path.suffix.lower()
    found = _PATTERN.findall(path.name)
    if suffix in STILLS and (found or suffix not in ANIMATIONS):
        if not found:
            return Target("still", suffix, settings=settings)
        if len(found) > 1 or "%" in _PATTERN.sub("", path.name):
            raise UsageError(f"{path}: one number is expected in the name", hint="for example -o out/%05d.png")
        return Target("stills", suffix, settings=settings)
    if suffix in ANIMATIONS:
        if suffix == ".avif" and settings.animation.plays:
            raise ConfigError(
                f"output.animation.plays: an .avif is shown for ever, found {settings.animation.plays}",
                hint="set it to 0, or write .gif, .webp or .apng",
            )
        return Target("animation", suffix, settings=settings)
    if suffix not in CONTAINERS:
        raise UsageError(
            f"{path}: {f'{suffix} is no kind of file that can be written' if suffix else 'has no suffix'}",
            hint=f"choose one of {', '.join(SUFFIXES)}, or out/%05d.png for a folder of images",
        )
    settings = with_profile(path, settings)
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
    _check_quality(codec, settings)
    variant, pixels = _choose_pixels(codec, settings)
    encoder_options(encoder, codec, settings, variant)
    return Target("video", suffix, codec, encoder, variant, pixels, settings)


def _check_quality(codec: str, settings: VideoSettings) -> None:
    limit = CODECS[codec].crf_max
    if limit and settings.crf_or(0) > limit:
        raise ConfigError(
            f"output.crf: {codec} takes 0 to {limit}, found {settings.crf}", hint=f"--set output.crf={limit} or less"
        )
    if settings.bitrate is not None and not limit:
        raise ConfigError(
            f"output.bitrate: {codec} has no bit rate to choose, found {settings.bitrate}",
            hint="leave it out; the size of prores and dnxhr is chosen by output.variant",
        )


def _choose_pixels(codec: str, settings: VideoSettings) -> tuple[str, PixelFormat]:
    """FFmpeg's name of the variant ("" where the codec has none), and the pixels: the first that fit the settings."""
    variants = CODECS[codec].variants
    if settings.variant != "auto" and settings.variant not in variants:
        raise ConfigError(
            f"output.variant: {codec} has no variant {settings.variant}",
            hint=f"it has {', '.join(variants)}" if variants else "only prores and dnxhr have variants",
        )
    named = {name: its for name, its in variants.items() if settings.variant in ("auto", name)}
    choices = [(its.option, its.pixels) for its in named.values()] or [("", its) for its in CODECS[codec].pixels]
    here = set(available_layouts(codec))
    for option, pixels in choices:
        if pixels in here and settings.depth in ("auto", pixels.depth) and settings.chroma in ("auto", pixels.chroma):
            return option, pixels
    of = f"{codec} {settings.variant}" if settings.variant != "auto" else codec
    asked = [f"{name} {value}" for name in ("depth", "chroma") if (value := getattr(settings, name)) != "auto"]
    possible = dict.fromkeys(str(pixels) for _, pixels in choices if pixels in here)
    raise ConfigError(
        f"{of} does not keep output.{' with output.'.join(asked) or 'depth auto'} as it is installed here",
        hint=f"it keeps {', '.join(possible) or 'nothing'}; `tempera doctor` lists what every codec keeps",
    )


def written_size(path: Path, settings: VideoSettings, width_px: int, height_px: int) -> tuple[int, int]:
    """(width, height) in px of the video that is written for frames of this size.

    All codecs but FFV1, which keeps RGB, need even sides: there an odd side grows by one, by repeating the last column
    or row, so no pixel is lost. Everything else keeps the frames' size.
    """
    return grown_size(resolve(path, settings), width_px, height_px)


def grown_size(target: Target, width_px: int, height_px: int) -> tuple[int, int]:
    """See `written_size`."""
    if target.kind == "video" and not target.pixels.rgb:
        return width_px + width_px % 2, height_px + height_px % 2
    return width_px, height_px


def check_output(
    path: Path,
    settings: VideoSettings,
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
    check_count(path, target, frame_count)
    folder = path.parent
    try:
        if path.is_dir():
            raise WriteError(f"{path}: is a folder", hint="name the file: for example -o out.mp4")
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
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
                hint="choose a smaller output.size, --width or --height, or .mp4",
            )
        _check_library(path, target.suffix)
        return str(target)
    width_px, height_px = grown_size(target, width_px, height_px)
    check_size(path, target, width_px, height_px)
    try:
        open_encoder(target, width_px, height_px)
    except (av.error.FFmpegError, ValueError) as error:
        raise refused(path, target, width_px, height_px, error) from error
    return str(target)


def check_count(path: Path, target: Target, frame_count: int) -> None:
    """Raise UsageError if one image is asked to hold many frames."""
    if target.kind == "still" and frame_count != 1:
        raise UsageError(
            f"{path}: one image cannot hold {frame_count} frames",
            hint=f"-o {path.with_name(path.stem)}/%05d{path.suffix} writes a folder of images; .mp4 writes a video",
        )


def open_encoder(target: Target, width_px: int, height_px: int) -> None:
    """Open the encoder of a video as a trial. Raises av.error.FFmpegError or ValueError when it refuses."""
    quiet(target.encoder)
    context: Any = av.CodecContext.create(target.encoder, "w")
    context.width, context.height = width_px, height_px
    context.pix_fmt = pixel_format(target)
    context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
    context.options = encoder_options(target.encoder, target.codec, target.settings, target.variant)
    context.open()


def pixel_format(target: Target) -> str:
    """FFmpeg's name of the format that the encoder takes. Raises ValueError if it takes none that keeps the pixels.

    Encoders on graphics processors may want both chromas in one plane.
    """
    names: tuple[str, ...] = (target.pixels.format, *_SEMIPLANAR.get(target.pixels.format, ()))
    for name in names:
        if name in encoder_formats(target.encoder):
            return name
    raise ValueError(f"it does not keep {target.pixels}")


def quiet(encoder: str) -> None:
    """Keep an encoder from printing its settings to stderr, where progress is shown."""
    if encoder == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only


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
    """Raise WriteError for an image that is too small for the codec of a video, or too large for its profile."""
    smallest = CODECS[target.codec].smallest_px
    if width_px < smallest[0] or height_px < smallest[1]:
        raise refused(path, target, width_px, height_px, ValueError(f"{smallest[0]}x{smallest[1]} px are the least"))
    profile = PROFILES.get(target.settings.profile)
    if profile is not None and profile.largest_px is not None and max(width_px, height_px) > profile.largest_px:
        raise WriteError(
            f"{path}: {width_px}x{height_px} px are more than the profile {target.settings.profile} plays "
            f"({profile.largest_px} px)",
            hint="choose a smaller --width or --height, a smaller output.size, such as --set "
            f"output.size={'' if width_px >= height_px else 'x'}{profile.largest_px}, or --set output.profile=none",
        )


def refused(path: Path, target: Target, width_px: int, height_px: int, error: Exception) -> WriteError:
    """The WriteError for an encoder that does not open."""
    others = [name for name in target.container.codecs if name != target.codec and available_encoder(name)]
    return WriteError(
        f"{path}: {target.encoder} refuses images of {width_px}x{height_px} px: "
        f"{getattr(error, 'strerror', None) or error}",
        hint=f"choose another --width, --height or output.size, or --set output.codec={' or '.join(others) or 'auto'}",
    )


def describe_codecs() -> dict[str, Any]:
    """What can be written here, for `tempera doctor`.

    `codecs`: codec -> {encoder (None: not installed), containers, pixels: depth -> colors, variants, hardware: the
    encoders on graphics processors that are built in, which open only where there is one}; `containers`: suffix ->
    codecs that work; `other`: the remaining suffixes; `audio`: encoders for audio; `libraries`: versions of PyAV and
    FFmpeg's parts.
    """
    return {
        "codecs": {
            name: {
                "encoder": available_encoder(name),
                "containers": [suffix for suffix, container in CONTAINERS.items() if name in container.codecs],
                "pixels": {
                    f"{depth} bits": [its.color for its in available_layouts(name) if its.depth == depth]
                    for depth in dict.fromkeys(its.depth for its in available_layouts(name))
                },
                "variants": list(codec.variants),
                "hardware": [encoder for encoder in codec.hardware if encoder in av.codecs_available],
            }
            for name, codec in CODECS.items()
        },
        "containers": {
            suffix: [name for name in container.codecs if available_encoder(name)]
            for suffix, container in CONTAINERS.items()
        },
        "other": [suffix for suffix in SUFFIXES if suffix not in CONTAINERS],
        "audio": [name for name in ("aac", "libopus", "flac", "pcm_s24le") if name in av.codecs_available],
        "libraries": {
            "av": av.__version__,
            **{name: ".".join(map(str, version)) for name, version in sorted(av.library_versions.items())},
        },
    }

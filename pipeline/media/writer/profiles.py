"""Profiles: what a video is for, as defaults of the settings that the user left open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import ConfigError
from pipeline.media.writer.codecs import CONTAINERS, Container

if TYPE_CHECKING:
    from pipeline.config.video import VideoSettings


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile decides.

    `codecs`: by suffix, those that serve the purpose, the default one first. `settings`: by codec, defaults of the
    settings. `audio`: by suffix, what replaces the container's way with audio. `largest_px`: the longest side.
    """

    codecs: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, Mapping[str, Any]]
    audio: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    largest_px: int | None = None


_SMALL: Final = {"depth": 8, "chroma": 420}
_AAC: Final = {"audio_copied": frozenset({"aac", "mp3"}), "audio_encoder": "aac"}
_PCM: Final = {"audio_copied": frozenset({"pcm_s16le", "pcm_s24le"}), "audio_encoder": "pcm_s24le"}
PROFILES: Final = {
    "web": Profile(
        codecs={".mp4": ("h264", "av1"), ".webm": ("vp9", "av1")},
        settings={"h264": _SMALL | {"crf": 20}, "vp9": _SMALL, "av1": _SMALL},
        audio={".mp4": _AAC},
        largest_px=4096,  # the widest frame of H.264's levels 5.1 and 5.2, which decoders of browsers and phones have
    ),
    "phone": Profile(
        codecs={".mp4": ("h264", "hevc"), ".mov": ("h264", "hevc")},
        settings={"h264": _SMALL | {"crf": 18}, "hevc": _SMALL},
        audio={".mp4": _AAC, ".mov": _AAC},
        largest_px=4096,
    ),
    "master": Profile(
        codecs={".mov": ("prores", "dnxhr"), ".mxf": ("dnxhr", "prores"), ".mkv": ("ffv1",)},
        settings={"prores": {"variant": "hq"}, "dnxhr": {"variant": "hqx"}, "ffv1": {"depth": 16}},
        audio={".mov": _PCM, ".mkv": {"audio_copied": frozenset({"flac"}), "audio_encoder": "flac"}},
    ),
}


def with_profile(path: Path, settings: VideoSettings) -> VideoSettings:
    """The settings with what their profile decides in place of every "auto".

    `path` has the suffix of a container. Raises ConfigError where the profile does not go into this container or does
    not use the codec that is set.
    """
    if settings.profile == "none":
        return settings
    profile, suffix = PROFILES[settings.profile], path.suffix.lower()
    if suffix not in profile.codecs:
        raise ConfigError(
            f"{path}: the profile {settings.profile} is not for {suffix}",
            hint=f"name the video {' or '.join(profile.codecs)}, or leave the profile out: --set output.profile=none",
        )
    codecs = profile.codecs[suffix]
    codec = codecs[0] if settings.codec == "auto" else settings.codec
    if codec not in codecs:
        raise ConfigError(
            f"{path}: the profile {settings.profile} does not use {codec} in {suffix}",
            hint=f"--set output.codec={' or '.join(codecs)}, or leave the profile out: --set output.profile=none",
        )
    defaults = dict(profile.settings[codec])
    if settings.bitrate is not None:
        defaults.pop("crf", None)
    if settings.depth != "auto" or settings.chroma != "auto":
        defaults.pop("variant", None)  # it is chosen by them
    changes = {name: value for name, value in defaults.items() if getattr(settings, name) == "auto"}
    return settings.model_copy(update={"codec": codec, **changes})


def profiled_container(suffix: str, profile: str) -> Container:
    """The container of a suffix, with the audio of a profile."""
    container = CONTAINERS[suffix]
    return replace(container, **PROFILES[profile].audio.get(suffix, {})) if profile in PROFILES else container

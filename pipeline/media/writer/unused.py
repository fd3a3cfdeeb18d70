"""Settings that do nothing for the kind of file that is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.media.writer.codecs import CODECS
from pipeline.media.writer.target import Target, resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.config.video import VideoSettings

_OF_VIDEOS: Final = ("profile", "codec", "variant", "chroma", "bitrate", "preset", "hardware", "location")
_BY_CRF: Final = frozenset({".gif", ".webp", ".avif", ".jpg", ".jpeg"})
"""Images and animations whose quality follows from `output.crf` where they are given none of their own."""


def note_unused(path: Path, settings: VideoSettings, note: Callable[[str], None]) -> None:
    """Tell `note` in one sentence which settings that are not at their default do nothing for a path.

    What a profile decides is none of them, nor are sections whose names say what they are for, as `output.animation`.
    Raises what `resolve` raises.
    """
    target = resolve(path, settings)
    usual = type(settings)()
    changed = [key for key in _idle(target, settings) if getattr(settings, key) != getattr(usual, key)]
    if changed:
        keys = ", ".join(f"output.{key}" for key in changed)
        note(f"{path.name} ({target}): {keys} {'does' if len(changed) == 1 else 'do'} nothing")


def _idle(target: Target, settings: VideoSettings) -> list[str]:
    """The fields of settings that do nothing for a target whatever they are, or as they are."""
    if target.kind == "video":
        return [] if CODECS[target.codec].crf_max else ["crf"]
    quality = (settings.animation if target.kind == "animation" else settings.images).quality
    idle = [*_OF_VIDEOS]
    if not target.deep and settings.depth != 8:
        idle.append("depth")
    if target.suffix not in _BY_CRF or quality != "auto":
        idle.append("crf")
    if settings.audio != "none":
        idle.append("audio")
    if target.kind == "still":
        idle += ["time", "view"]
    return idle

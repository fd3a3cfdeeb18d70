"""The disk space that a render still needs, estimated before it begins."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.config.settings import Config, OutputSettings
from pipeline.errors import WriteError
from pipeline.store.frames import stored_sizes
from pipeline.types import RenderPlan

# Bytes per pixel of stored frames. Neural: 17 renders of 9 styles took 1.92 to 2.40 (PNG of `encode_png`, mean 2.2).
# The other stylers fill areas with one color, and how well those compress depends on the content.
_FRAME_BYTES: Final = {"neural": 2.2}
_OTHER_FRAME_BYTES: Final = 0.8
_CERTAIN_FRACTION: Final = {"neural": 0.7}
"""Which fraction of the estimate is certain to be needed; 0 for the other stylers."""

# Bytes per pixel and frame of videos: h264 at crf 16 took 0.06 to 0.19; six steps of crf are a factor of two.
_VIDEO_BYTES: Final = 0.15
_OTHER_VIDEO_BYTES: Final = {
    ".gif": 1.0, ".webp": 0.5, ".avif": 0.4, ".apng": 2.3, ".png": 2.3, ".jpg": 0.8, ".tif": 2.3, ".tiff": 2.3,
    ".exr": 4.2, ".mxf": 0.5, "prores": 0.5, "dnxhr": 0.5, "ffv1": 2.5, "master": 0.8,
}  # fmt: skip
_CERTAIN_FRACTION_OF_VIDEO: Final = 0.3

_MARGIN: Final = 1.2
"""An estimate that does not fit with this factor is reported as tight."""
_SPARE_BYTES: Final = 50 << 20


@dataclass(frozen=True, slots=True)
class Need:
    """The space needed on one file system, in bytes: expected under `path`, at least needed, and free."""

    path: Path
    expected: int
    least: int
    free: int


def needs(
    plan: RenderPlan, path: Path, configs: Mapping[str, Config], outputs: Mapping[str, Path], *, anew: bool = False
) -> list[Need]:
    """The disk space that a render in `path` still needs, one entry per file system that says how much is free.

    Frames that are stored already are not counted, and the others are expected to have their mean size. With `anew`
    stored frames are ignored.
    """
    from pipeline.postprocess.framing import shown_size

    pixels = plan.width_px * plan.height_px
    wanted: dict[int, list[tuple[Path, float, float]]] = defaultdict(list)

    def want(target: Path, expected: float, certain: float) -> None:
        folder = _existing(target)
        with suppress(OSError):  # a folder that cannot be accessed is an error later, when it is written to
            wanted[folder.stat().st_dev].append((folder, expected, expected * certain))

    for name, config in configs.items():
        chains = [chain for chain in plan.chains if chain.style == name]
        sizes = [] if anew else [size for chain in chains for size in stored_sizes(path, chain)]
        left = sum(len(chain.frames) for chain in chains) - len(sizes)
        each = sum(sizes) / len(sizes) if sizes else pixels * frame_bytes_per_px(config)
        want(path, left * each, _CERTAIN_FRACTION.get(config.styler, 0.0))
        width_px, height_px = shown_size(config.output, plan.width_px, plan.height_px)
        video = width_px * height_px * plan.source.frame_count * video_bytes_per_px(outputs[name], config.output)
        want(outputs[name].parent, video, _CERTAIN_FRACTION_OF_VIDEO)
    found = []
    for entries in wanted.values():
        try:
            usage = shutil.disk_usage(entries[0][0])
        except OSError:
            continue
        if usage.total > 0:  # some network file systems say 0 of 0
            expected, least = sum(entry[1] for entry in entries), sum(entry[2] for entry in entries)
            found.append(Need(entries[0][0], round(expected), round(least), usage.free))
    return found


def check_space(found: Iterable[Need]) -> list[str]:
    """Raise WriteError where the space cannot suffice; return a sentence for every disk where it is tight."""
    tight = []
    for need in found:
        if need.least > need.free:
            raise WriteError(
                f"{need.path}: frames and videos need at least {in_words(need.least)} here (more likely "
                f"{in_words(need.expected)}), and {in_words(need.free)} are free",
                hint="free some space, render smaller with --width, or put the frames on another disk with --workdir",
            )
        if need.expected * _MARGIN + _SPARE_BYTES > need.free:
            tight.append(
                f"{need.path}: space is tight: about {in_words(need.expected)} are needed, {in_words(need.free)} are "
                "free; if it runs out, what is stored stays, and the same command continues"
            )
    return tight


def in_words(size: float) -> str:
    """`512 bytes`, `3.4 MB`, `1.2 GB`; decimal units, as disks are sold."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} bytes"


def frame_bytes_per_px(config: Config) -> float:
    """Expected bytes per pixel of a stored frame."""
    return _FRAME_BYTES.get(config.styler, _OTHER_FRAME_BYTES)


def video_bytes_per_px(output: Path, settings: OutputSettings) -> float:
    """Expected bytes per pixel and frame of what is written to `output`."""
    for key in (output.suffix.lower(), settings.codec, settings.profile):
        if key in _OTHER_VIDEO_BYTES:
            return _OTHER_VIDEO_BYTES[key]
    return _VIDEO_BYTES * float(2 ** ((16 - settings.crf_or(16)) / 6))


def _existing(path: Path) -> Path:
    """The path itself or its nearest parent that exists."""
    absolute = Path(os.path.realpath(path))
    return next((folder for folder in (absolute, *absolute.parents) if folder.is_dir()), Path(absolute.anchor))

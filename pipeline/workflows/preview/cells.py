"""Stylized frames of earlier previews, so that another sheet stylizes only what is new.

<cache>/cells/<key>.png   one stylized frame, before the finish; the key is a digest of all that changes its pixels

The folder is that of downloads (`TEMPERA_CACHE`, else `$XDG_CACHE_HOME/tempera`). It may be deleted at any time; when
it grows beyond its limit, what was not used for longest goes. A disk that refuses is ignored: nothing is reused then.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.encoders.fetch import cache_folder
from pipeline.plan.curves import planned_values
from pipeline.plan.identity import ResolvedStyle, make_identity
from pipeline.plan.region_colors import planned_region_colors
from pipeline.runtime.atomic import make_folders, remove, write_bytes
from pipeline.runtime.hashing import json_digest
from pipeline.types import RenderPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_BYTES: Final = 1 << 30
"""What the folder holds at most: over a thousand frames of 640x400 px."""


def cells_folder() -> Path:
    """Where the stylized frames of previews are kept; it need not exist yet."""
    return cache_folder() / "cells"


@dataclass(frozen=True, slots=True)
class StylizedCells:
    """The kept frames in a folder, found by their keys."""

    folder: Path
    max_bytes: int = MAX_BYTES

    def read(self, key: str) -> NDArray[np.uint8] | None:
        """The frame with a key, uint8 (H, W, 3) sRGB; None if it is not there or damaged. It counts as used now."""
        from pipeline.media.image.png import decode_png

        path = self._path(key)
        try:
            rgb = decode_png(path.read_bytes())
        except (OSError, ValueError):
            return None
        with suppress(OSError):
            os.utime(path)
        return rgb

    def keep(self, key: str, rgb: NDArray[np.uint8]) -> None:
        """Keep a frame, and drop the least recently used ones beyond the limit."""
        from pipeline.media.image.png import encode_png

        with suppress(OSError):
            make_folders(self.folder)
            write_bytes(self._path(key), encode_png(rgb))
            self._trim()

    def _trim(self) -> None:
        entries = [(path, path.stat()) for path in self.folder.iterdir()]
        size = sum(found.st_size for _, found in entries)
        for path, found in sorted(entries, key=lambda entry: entry[1].st_mtime_ns):
            if size <= self.max_bytes:
                break
            remove(path)
            size -= found.st_size

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.png"


def cell_keys(plan: RenderPlan, style: ResolvedStyle, frames: Iterable[int]) -> dict[int, str]:
    """For each frame the key of what the chains of `plan` make of it in a style.

    It covers what the identity of a render covers, of photos only those that its chain shows where others have no say,
    of curves the values up to the frame, and where the chain begins. Raises InputError if a file cannot be read.
    """
    from pipeline.media.reader.source import content_digest

    source = plan.source
    # A mask may be carried from any frame, and a damaged frame may be shown as the one before it.
    whole = source.kind == "video" or bool(source.damaged or style.config.regions)
    keys: dict[int, str] = {}
    curves = planned_values(plan, style.name, style.config)
    colors = {style.name: planned_region_colors(plan, style.config)}
    digests: dict[tuple[int, int], str] = {}
    for index in frames:
        chain = next(chain for chain in plan.chains if index in chain.frames)
        span = (0, source.frame_count) if whole else (chain.start, index + 1)
        if span not in digests:
            digests[span] = content_digest(replace(source, decoded_indices=source.decoded_indices[slice(*span)]))
        hashed = replace(source, digest=digests[span])
        values = {style.name: {key: own[: index + 1] for key, own in curves.items()}}
        facts = {
            "identity": make_identity(
                hashed,
                plan.width_px,
                plan.height_px,
                plan.shots,
                [style],
                plan.exposure,
                plan.shot_colors,
                values,
                colors,
            ),
            "source": [source.width_px, source.height_px],  # of the first photo, by which others are cropped
            "chain": [chain.start, index, chain.seed],
        }
        keys[index] = json_digest(facts)
    return keys

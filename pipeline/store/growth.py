"""Pictures of frames while they are stylized: part of the cache of a render, advisory, may be deleted at any time.

cache/growth/<chain id>/<frame>/000016.png   the picture after evaluation 16, at the size of its scale
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.runtime import atomic
from pipeline.store.frames import frame_index, frame_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.store.directory import RenderDirectory

GROWTH_NAME: Final = "growth"
_PICTURE: Final = re.compile(r"(\d{6,})\.png")


def write_growth(
    directory: RenderDirectory, chain_id: str, index: int, evaluation: int, rgb: NDArray[np.uint8]
) -> None:
    """Keep the picture, uint8 (h, w, 3) sRGB of any size, of a frame after an evaluation. Raises OSError."""
    from pipeline.media.image.png import encode_png

    folder = directory.cache_path
    atomic.make_folder(folder)  # not the render directory, which may have been moved
    for name in (GROWTH_NAME, chain_id, Path(frame_name(index)).stem):
        folder = folder / name
        atomic.make_folder(folder)
    atomic.write_bytes(folder / f"{evaluation:06d}.png", encode_png(rgb))


def stored_growth(directory: RenderDirectory) -> dict[tuple[str, int], dict[int, Path]]:
    """The pictures that are kept, by (chain id, frame), in the order of the plan, and by evaluation, in order."""
    found = {}
    for chain in directory.plan.chains:
        frames: dict[int, dict[int, Path]] = {}
        for path in (directory.cache_path / GROWTH_NAME / chain.id).glob("*/*.png"):
            index, picture = frame_index(f"{path.parent.name}.png"), _PICTURE.fullmatch(path.name)
            if index is not None and index in chain.frames and picture is not None:
                frames.setdefault(index, {})[int(picture[1])] = path
        found.update({(chain.id, index): dict(sorted(frames[index].items())) for index in sorted(frames)})
    return found

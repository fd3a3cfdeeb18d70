"""Names of colors: the nearest of the named colors of CSS."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import ImageColor

from pipeline.media.image.oklab import oklab_from_srgb
from pipeline.media.image.palette import color_distances

if TYPE_CHECKING:
    from numpy.typing import NDArray


def color_names(rgb: NDArray[np.uint8]) -> list[str]:
    """A name for every color (n, 3) sRGB: that of the nearest CSS color in Oklab; the second of a name is `name 2`."""
    names, lab = _named()
    nearest = color_distances(oklab_from_srgb(rgb), lab).argmin(axis=1)
    found: list[str] = []
    for name in (names[index] for index in nearest):
        count = sum(other.split()[0] == name for other in found)
        found.append(f"{name} {count + 1}" if count else name)
    return found


@cache
def _named() -> tuple[list[str], NDArray[np.float32]]:
    """The names of CSS with their colors (n, 3) Oklab, one name for each."""
    colors = {ImageColor.getrgb(name): name for name in sorted(ImageColor.colormap) if "grey" not in name}
    return list(colors.values()), oklab_from_srgb(np.array([color[:3] for color in colors], np.uint8))

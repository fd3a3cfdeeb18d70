"""Working on an image band by band of rows, so that what is computed between two steps stays in the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BAND_PX: Final = 1 << 15
"""Pixels of a band, as far as whole rows allow: one image of a band takes 0.4 MB in float32."""


def in_bands(
    function: Callable[..., NDArray[np.float32]], image: NDArray[Any], *others: NDArray[Any]
) -> NDArray[np.float32]:
    """`function` of an image (H, W, 3) and of other arrays (H, ...), called for bands of all, as if called once.

    It works on each pixel by itself: its result, float32 (H, W) or (H, W, 3), depends on nothing beside.
    """
    height, width = image.shape[:2]
    rows = max(1, BAND_PX // width)
    result: NDArray[np.float32] | None = None
    for top in range(0, height, rows):
        band = slice(top, top + rows)
        found = function(image[band], *(other[band] for other in others))
        if result is None:
            result = np.empty((height, *found.shape[1:]), np.float32)
        result[band] = found
    assert result is not None
    return result

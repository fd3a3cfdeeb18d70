"""Working on an image band by band of rows, so that what is computed between two steps stays in the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BAND_PX: Final = 1 << 15
"""Pixels of a band, as far as whole rows allow: one image of a band takes 0.4 MB in float32."""
_HALOS: Final = 4
"""How many times as high as what is added to it at one side a band is at least."""

Sample = TypeVar("Sample", bound=np.generic)


def in_bands(
    function: Callable[..., NDArray[Sample]], image: NDArray[Any], *others: NDArray[Any], halo: int = 0
) -> NDArray[Sample]:
    """`function` of an image (H, W, ...) and of other arrays (H, ...), called for bands of all, as if called once.

    Each row of its result, (H, W) or (H, W, 3), depends on the same rows of the arrays and on those at most `halo` rows
    above or below, which a band has beside its own wherever the image has them.
    """
    height, width = image.shape[:2]
    rows = max(1, BAND_PX // width, _HALOS * halo)
    result: NDArray[Sample] | None = None
    for top in range(0, height, rows):
        first, last = max(0, top - halo), top + rows + halo
        found = function(image[first:last], *(other[first:last] for other in others))
        if result is None:
            result = np.empty((height, *found.shape[1:]), found.dtype)
        result[top : top + rows] = found[top - first :][:rows]
    assert result is not None
    return result

"""Finding pictures on a contact sheet."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def places(sheet: NDArray[np.uint8], picture: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Where a picture stands on a sheet, both uint8 (H, W, 3), pixel by pixel: (top, left) from top to bottom."""
    difference = cv2.matchTemplate(sheet, picture, cv2.TM_SQDIFF)
    candidates = np.argwhere(difference < 0.5 * picture.size)
    height, width = picture.shape[:2]
    return [
        (int(top), int(left))
        for top, left in candidates
        if np.array_equal(sheet[top : top + height, left : left + width], picture)
    ]

"""The effect `sharpen`: unsharp masking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.postprocess.effect import LUMA, FrameContext

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sharpen(image: NDArray[np.float32], amount: float, context: FrameContext) -> NDArray[np.float32]:  # noqa: ARG001 - all effects are called alike
    """Unsharp masking of luma alone (colored edges would fringe), with a radius that grows with the frame."""
    luma = cv2.transform(image, LUMA)
    sigma_px = max(0.8, max(image.shape[:2]) / 1000)
    detail = luma - cv2.GaussianBlur(luma, (0, 0), sigma_px)
    return image + np.float32(amount) * detail[..., np.newaxis]

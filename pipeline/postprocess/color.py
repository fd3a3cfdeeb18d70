"""The effects of color: `match_color` for the distribution of a shot, `preserve_color` for the color of each place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.media.image.bands import in_bands
from pipeline.media.image.color_transfer import transfer_colors
from pipeline.media.image.depth import as_float, to_8_bit
from pipeline.media.image.oklab import image_from_oklab, oklab_from_image
from pipeline.postprocess.effect import FrameContext

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.types import Pixels


def match_color(image: NDArray[np.float32], amount: float, context: FrameContext) -> NDArray[np.float32]:
    """The image after the color map of its shot, as far as `amount` in [0, 1]. From 8-bit values."""
    transfer = context.look.transfer
    return image if transfer is None else as_float(transfer_colors(to_8_bit(image), transfer, amount))


def preserve_color(image: NDArray[np.float32], amount: float, context: FrameContext) -> NDArray[np.float32]:
    """The lightness of the image with the chroma of the content, as far as `amount` in [0, 1]."""

    def preserved(band: NDArray[np.float32], content: Pixels) -> NDArray[np.float32]:
        own, other = oklab_from_image(band), oklab_from_image(as_float(content))
        lab = np.asarray(cv2.addWeighted(own, 1 - amount, other, amount, 0), np.float32)
        cv2.insertChannel(cv2.extractChannel(own, 0), lab, 0)  # much faster than slices of the last axis
        return image_from_oklab(lab)

    return in_bands(preserved, image, context.content)

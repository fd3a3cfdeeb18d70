"""The effects of color: `match_color` for the distribution of a shot, `preserve_color` for the color of each place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.media.image.bands import in_bands
from pipeline.media.image.oklab import image_from_oklab, oklab_from_image
from pipeline.postprocess.effect import FrameContext

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.types import Pixels


def match_color(image: NDArray[np.float32], amount: float, context: FrameContext) -> NDArray[np.float32]:
    """The image after the color map of its shot, as far as `amount` in [0, 1]."""
    transfer = context.look.transfer
    if transfer is None:
        return image

    def matched(band: NDArray[np.float32]) -> NDArray[np.float32]:
        lab = oklab_from_image(band)
        mapped = transfer.of_image(band, lab)
        return image_from_oklab(np.asarray(cv2.addWeighted(lab, 1 - amount, mapped, amount, 0), np.float32))

    return in_bands(matched, image)


def preserve_color(image: NDArray[np.float32], amount: float, context: FrameContext) -> NDArray[np.float32]:
    """The lightness of the image with the chroma of the content, as far as `amount` in [0, 1]."""
    kept, taken = (np.diag([lightness, part, part]) for lightness, part in ((1, 1 - amount), (0, amount)))

    def preserved(band: NDArray[np.float32], content: Pixels) -> NDArray[np.float32]:
        lab = np.asarray(cv2.transform(oklab_from_image(band), kept), np.float32)
        lab += cv2.transform(oklab_from_image(content), taken)
        return image_from_oklab(lab)

    return in_bands(preserved, image, context.content)

"""The effects of color: `match_color` for the distribution of a shot, `preserve_color` for the color of each place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.media.image.arrays import as_float
from pipeline.media.image.color_transfer import transfer_colors
from pipeline.media.image.oklab import image_from_oklab, oklab_from_image
from pipeline.postprocess.effect import FrameContext, from_8_bit, to_8_bit

if TYPE_CHECKING:
    from numpy.typing import NDArray


def match_color(image: NDArray[np.float32], amount: float, context: FrameContext) -> NDArray[np.float32]:
    """The image after the color map of its shot, as far as `amount` in [0, 1]. From 8-bit values."""
    transfer = context.look.transfer
    return image if transfer is None else from_8_bit(transfer_colors(to_8_bit(image), transfer, amount))


def preserve_color(image: NDArray[np.float32], amount: float, context: FrameContext) -> NDArray[np.float32]:
    """The lightness of the image with the chroma of the content, as far as `amount` in [0, 1]."""
    lab = oklab_from_image(image)
    lab[..., 1:] += np.float32(amount) * (oklab_from_image(as_float(context.content))[..., 1:] - lab[..., 1:])
    return image_from_oklab(lab)

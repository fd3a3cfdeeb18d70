"""Masks of the frames of an input, from their settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.masks import MaskSettings
from pipeline.errors import ConfigError
from pipeline.runtime.cancellation import Cancellation
from pipeline.types import Masks, Shot, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.execute.chain_frames import ReadContent
    from pipeline.runtime.progress import Reporter


def prepare_masks(
    settings: Sequence[MaskSettings],
    source: Source,  # noqa: ARG001
    size_px: tuple[int, int],
    read: ReadContent,  # noqa: ARG001
    shots: Sequence[Shot],  # noqa: ARG001
    cache: Path,  # noqa: ARG001
    reporter: Reporter,  # noqa: ARG001
    cancellation: Cancellation,  # noqa: ARG001
) -> Masks:
    """The masks of every frame, of `size_px` (width, height). Raises ConfigError for a kind that is not known."""
    import cv2
    import numpy as np

    from pipeline.media.image.arrays import resize
    from pipeline.media.image.load import load_rgb
    from pipeline.media.image.oklab import oklab_from_srgb

    pictures = {
        number: resize(load_rgb(mask.image), *size_px) for number, mask in enumerate(settings) if mask.image is not None
    }
    for mask in settings:
        if mask.image is None and mask.luminance is None:
            raise ConfigError("only masks of an image or of luminance are known", hint="use one of these")

    def one(number: int, content: NDArray[np.uint8]) -> NDArray[np.float32]:
        mask = settings[number]
        if number in pictures:
            picture = pictures[number]
            if mask.color is not None:
                color = np.array([int(mask.color[at : at + 2], 16) for at in (1, 3, 5)])
                inside = (np.abs(picture.astype(int) - color).max(axis=2) < 48).astype(np.float32)
            else:
                inside = picture.mean(axis=2, dtype=np.float32) / 255
        else:
            low, high = mask.luminance or (0, 1)
            lightness = oklab_from_srgb(content)[..., 0]
            outside = np.maximum(np.maximum(low - lightness, lightness - high), 0)
            inside = np.clip(1 - outside / max(mask.softness, 1e-3), 0, 1).astype(np.float32)
        sigma_px = mask.feather * max(size_px)
        if sigma_px > 0:
            inside = np.asarray(cv2.GaussianBlur(inside, (0, 0), sigma_px), np.float32)
        return np.asarray(1 - inside if mask.invert else inside, np.float32)

    def masks(_index: int, content: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.stack([one(number, content) for number in range(len(settings))])

    return masks

"""What a finishing effect is: a pure function of an image, its settings and the frame that it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.looks import Dither
    from pipeline.media.image.color_transfer import ColorTransfer
    from pipeline.postprocess.lut import Lut
    from pipeline.types import Pixels

LUMA: Final = np.array([[0.2126, 0.7152, 0.0722]], np.float32)
"""BT.709, on gamma-encoded values; (1, 3), as `cv2.transform` takes it."""


@dataclass(frozen=True, slots=True)
class Level:
    """How bright and how rich in contrast the content of a frame is beside the rest of its shot.

    Mean lumas in [0, 1]: `own` is that of the frame, `reference` that of the shot in full light. `contrast` is a ratio
    in [0, 1]: 1 in a clear view, near 0 in a fog in which nothing is seen. `followed`: the styler has transferred both
    already, as those do that keep the lightness of the content.
    """

    own: float
    reference: float
    contrast: float = 1.0
    followed: bool = False


@dataclass(frozen=True, slots=True)
class ShotLook:
    """What is the same in all frames of a shot: a map of colors, and a palette, float32 (k, 3) Oklab; None: none."""

    transfer: ColorTransfer | None = None
    palette: NDArray[np.float32] | None = None
    dither: Dither = "none"


@dataclass(frozen=True, slots=True)
class FrameContext:
    """What an effect may read beside the image: the content frame, its index, a seed, its level.

    `content` is uint8 or uint16 (H, W, 3) sRGB.

    `level` is None where it is not known: for single images and for renders whose plan has no levels. `lut` is the
    table that the grade names, if it names one. `look` is that of the shot.
    """

    content: Pixels
    index: int
    seed: int
    level: Level | None = None
    lut: Lut | None = None
    look: ShotLook = field(default_factory=ShotLook)


Effect = Callable[["NDArray[np.float32]", Any, FrameContext], "NDArray[np.float32]"]
"""Called with an image, float32 (H, W, 3) sRGB, its setting and the context; returns an image like it.

The setting is the field of `FinishSettings` with the effect's name: a strength above 0, or a section.

The image is in [0, 1], or outside it by what previous effects overshoot, and is not modified.
"""


def luma_of(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The luma of an image, float32 (H, W, 3) to (H, W)."""
    return np.asarray(cv2.transform(image, LUMA), np.float32)


def shifted(image: NDArray[np.float32], shift: NDArray[np.float32]) -> NDArray[np.float32]:
    """All channels of an image (H, W, 3) moved by the same values (H, W)."""
    moved = in_channels(shift)
    moved += image
    return moved


def in_channels(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values (H, W) in each of three channels, float32 (H, W, 3)."""
    return np.asarray(cv2.cvtColor(values, cv2.COLOR_GRAY2RGB), np.float32)

"""A mask from a picture: black and white, or the region of one color, at the size of the frames; and its feather."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.errors import ConfigError
from pipeline.masks.labels import dominant_colors, label_mask, nearest_label
from pipeline.media.image.arrays import size_within
from pipeline.media.image.depth import as_8_bit
from pipeline.media.image.load import exif_orientation, open_image, render_frame, upright

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

MAX_ASPECT_ERROR: Final = 0.02
"""The aspect ratio of a mask may differ from that of the frames by this fraction, as rounded sizes do."""
_LISTED_COLORS: Final = 12


class MissingColorError(ConfigError):
    """A picture has no region of the color that a mask asks for."""


def read_mask(path: Path, color: str | None, size_px: tuple[int, int]) -> NDArray[np.float32]:
    """The mask in a picture file: float32 (H, W) in [0, 1] for `size_px` (width, height).

    The gray level is the mask; the opacity is, where all of the picture has one color; with a `color` such as
    "#ff0000", the region of that color. Raises InputError for a file that cannot be read, ConfigError for an aspect
    ratio unlike that of the frames or a color that the picture does not have.
    """
    with open_image(path) as image:
        rgb = as_8_bit(render_frame(image, path))
        alpha = _shape_in_alpha(image) if color is None else None
    return mask_of(rgb if alpha is None else np.repeat(alpha[..., None], 3, axis=2), color, size_px, name=str(path))


def mask_of(rgb: NDArray[np.uint8], color: str | None, size_px: tuple[int, int], *, name: str) -> NDArray[np.float32]:
    """The mask in a picture, uint8 (H, W, 3) sRGB, as `read_mask` returns it; `name` is for messages."""
    check_aspect(rgb.shape[1], rgb.shape[0], size_px, name=name)
    if color is None:
        gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(255)
        return resized(gray, size_px)
    largest = size_within(rgb.shape[1], rgb.shape[0], 2 * max(size_px))
    rgb = np.asarray(cv2.resize(rgb, largest, interpolation=cv2.INTER_AREA), np.uint8)
    labels = dominant_colors(rgb)
    red, green, blue = bytes.fromhex(color[1:])
    label = nearest_label(labels, (red, green, blue))
    if label is None:
        listed = ", ".join("#" + bytes(found).hex() for found in labels[:_LISTED_COLORS].tolist())
        raise MissingColorError(
            f"{name}: no region has the color {color}; its colors are {listed or 'none that fills an area'}",
            hint="choose one of these as the mask's color",
        )
    return resized(label_mask(rgb, labels, label), size_px)


def check_aspect(width_px: int, height_px: int, size_px: tuple[int, int], *, name: str) -> None:
    """Raise ConfigError if a mask of this size would be distorted by more than 2 percent at `size_px`."""
    width, height = size_px
    ratio = width_px * height / (height_px * width)
    # A side of a small frame is rounded to whole pixels, which may be more than 2 percent.
    if max(ratio, 1 / ratio) > 1 + MAX_ASPECT_ERROR + 1 / min(size_px):
        raise ConfigError(
            f"{name}: a mask of {width_px}x{height_px} px does not have the shape of the frames, {width}x{height} px",
            hint="a mask covers the whole frame: save it with the same aspect ratio",
        )


def resized(mask: NDArray[np.float32], size_px: tuple[int, int]) -> NDArray[np.float32]:
    """A mask at (width, height) px: averaged over areas along an axis that shrinks, linear along one that grows."""
    height, width = mask.shape
    small = (min(width, size_px[0]), min(height, size_px[1]))
    if small != (width, height):
        mask = np.asarray(cv2.resize(mask, small, interpolation=cv2.INTER_AREA), np.float32)
    if small != size_px:
        mask = np.asarray(cv2.resize(mask, size_px, interpolation=cv2.INTER_LINEAR), np.float32)
    return np.clip(mask, 0, 1)


def feathered(mask: NDArray[np.float32], feather: float) -> NDArray[np.float32]:
    """The mask, blurred by a Gaussian whose standard deviation is this fraction of the longer side."""
    sigma = feather * max(mask.shape)
    return mask if sigma < 0.1 else np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), np.float32)


def _shape_in_alpha(image: Image.Image) -> NDArray[np.uint8] | None:
    """The opacity of a decoded image, upright (H, W), if it alone shows a shape: over white, a white one vanishes."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return None
    shown = np.asarray(image.convert("RGBA"))
    opacity = shown[..., 3]
    visible = shown[opacity > 0][:, :3]
    one_color = not len(visible) or bool((visible == visible[0]).all())
    return upright(opacity, exif_orientation(image)) if one_color and opacity.min() < 255 else None

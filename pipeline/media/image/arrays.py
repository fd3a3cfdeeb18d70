"""Sizes and samples of images in memory: resizing, fitting, and the way to tensors and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

import cv2
import numpy as np

from pipeline.errors import UsageError
from pipeline.media.image.depth import as_float
from pipeline.media.image.limits import MAX_SIDE_PX
from pipeline.runtime.transfers import download, upload

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from pipeline.types import Pixels

    RGB = NDArray[np.uint8]

Depth = TypeVar("Depth", bound=np.unsignedinteger[Any])


def resize(rgb: NDArray[Depth], width_px: int, height_px: int) -> NDArray[Depth]:
    """Resize uint8 or uint16 (H, W, 3) to exactly `height_px` by `width_px`; the same array if it has that size.

    Averages over areas on an axis that shrinks (no aliasing) and uses Lanczos on one that grows, in gamma-encoded
    sRGB.
    """
    height, width = rgb.shape[:2]
    if width_px < 1 or height_px < 1:
        raise ValueError(f"expected a size of at least 1x1 px, found {width_px}x{height_px}")
    small = (min(width, width_px), min(height, height_px))
    if small != (width, height):
        rgb = np.asarray(cv2.resize(rgb, small, interpolation=cv2.INTER_AREA), dtype=rgb.dtype)
    if small != (width_px, height_px):
        rgb = np.asarray(cv2.resize(rgb, (width_px, height_px), interpolation=cv2.INTER_LANCZOS4), dtype=rgb.dtype)
    return rgb


def fit(rgb: NDArray[Depth], width_px: int, height_px: int, how: Literal["cover", "contain"]) -> NDArray[Depth]:
    """Bring uint8 or uint16 (H, W, 3) of any shape to exactly `height_px` by `width_px` without distortion.

    `"cover"` fills the frame and crops what stands out, evenly; `"contain"` shows all of it, centered on black.
    """
    height, width = rgb.shape[:2]
    if (width, height) == (width_px, height_px):
        return rgb
    ratios = (width_px / width, height_px / height)
    ratio = max(ratios) if how == "cover" else min(ratios)
    inner_w, inner_h = max(1, round(width * ratio)), max(1, round(height * ratio))
    scaled = resize(rgb, inner_w, inner_h)
    left, top = abs(inner_w - width_px) // 2, abs(inner_h - height_px) // 2
    if how == "cover":
        return np.ascontiguousarray(scaled[top : top + height_px, left : left + width_px])
    framed = np.zeros((height_px, width_px, 3), rgb.dtype)
    framed[top : top + inner_h, left : left + inner_w] = scaled
    return framed


def fit_size(width_px: int, height_px: int, width: int | None = None, height: int | None = None) -> tuple[int, int]:
    """Size in px for `--width` or `--height`: the aspect is kept, each side is rounded to nearest and at least 2.

    With both, the largest size inside that box; with neither, the size as it is. Raises UsageError for a side below 2.
    """
    for name, value in (("--width", width), ("--height", height)):
        if value is not None and not 2 <= value <= MAX_SIDE_PX:
            raise UsageError(f"{name} {value}: expected 2 to {MAX_SIDE_PX} px", hint=f"for example {name} 640")
    if width is None and height is None:
        return width_px, height_px
    if height is None or (width is not None and width * height_px <= height * width_px):
        assert width is not None
        return width, max(2, round(height_px * width / width_px))
    return max(2, round(width_px * height / height_px)), height


def size_within(width_px: int, height_px: int, side_px: int) -> tuple[int, int]:
    """(width, height) with the same aspect ratio and a longer side of at most `side_px`; never larger than it was."""
    scale = min(1.0, side_px / max(width_px, height_px))
    return max(1, round(width_px * scale)), max(1, round(height_px * scale))


def to_tensor(rgb: Pixels, device: torch.device | None = None) -> torch.Tensor:
    """uint8 or uint16 (..., H, W, 3) to float32 (..., 3, H, W) in [0, 1], contiguous, on a device (None: the CPU).

    uint8 goes there as it is, a quarter of the bytes.
    """
    if device is None or device.type == "cpu" or rgb.dtype != np.uint8:
        # NumPy's division: torch would start a team of threads in every thread that calls this.
        return upload(as_float(np.ascontiguousarray(np.moveaxis(rgb, -1, -3))), device)
    return upload(rgb, device).movedim(-1, -3).contiguous().float().div_(255)


def to_uint8(image: torch.Tensor) -> RGB:
    """Float (3, H, W) in [0, 1], on any device, to uint8 (H, W, 3): clamped and rounded to nearest, never truncated.

    The device of the image does the rounding, so that a quarter of the bytes are transferred. Raises ValueError if a
    value is not finite. `to_uint8(to_tensor(rgb))` is exactly `rgb`.
    """
    (rgb,) = to_frames(image[None])
    if rgb is None:
        raise ValueError("the image has values that are not finite")
    return rgb


def to_frames(images: torch.Tensor) -> list[RGB | None]:
    """Float (B, 3, H, W) in [0, 1] to B frames as `to_uint8` makes them; None where a value is not finite.

    Computed on the device of the images, which sends uint8 and is waited for once.
    """
    import torch

    images = images.detach().to(torch.float32)
    finite = images.isfinite().flatten(1).all(dim=1)
    rounded = images.mul(255).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    frames, usable = download(rounded, finite)
    return [frame if keep else None for frame, keep in zip(frames, usable, strict=True)]

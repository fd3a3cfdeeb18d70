"""Stylizing single images: each by itself, as the first frame of a render would be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import InputError, UsageError
from pipeline.plan.chains import frame_seed
from pipeline.runtime.progress import SilentReporter
from pipeline.types import Frame, FrameBatch, Shot
from pipeline.workflows.input.driving import image_values
from pipeline.workflows.masks.regions import image_regions
from pipeline.workflows.resolve import resolve_styles

if TYPE_CHECKING:
    import torch

    from pipeline.config.settings import Config
    from pipeline.stylers.shot_colors import ShotColors

_OVERSHOOT: Final = 0.1
"""How far values may be outside [0, 1], as behind a resize by Lanczos's kernel; more is another range."""


def stylize_images(
    image: Any,
    config: Config,
    *,
    width_px: int | None = None,
    height_px: int | None = None,
    weights: Path | None = None,
) -> Any:
    """Stylize what `as_tensor` takes, resized to fit `width_px` and `height_px`; returns the kind that was given.

    Several images are stylized one after the other, image i with the seed of frame i. Raises InputError for an image
    that cannot be read or is too small for the encoder, UsageError for a kind that is not known, and the errors of the
    style.
    """
    import torch

    from pipeline.media.image.arrays import fit_size, to_uint8
    from pipeline.runtime.device import use_threads
    from pipeline.stylers.shot_colors import styler_of
    from pipeline.stylers.table import build_stylers

    content = as_tensor(image)
    height, width = content.shape[-2:]
    size = fit_size(width, height, width_px, height_px)
    _, resources = resolve_styles((config,), weights, SilentReporter())
    found = resources[config.name]
    least_px = found.encoder.min_side_px if found.encoder else 1
    if min(size) < least_px:
        raise InputError(
            f"an image of {size[0]}x{size[1]} px is too small, the encoder needs {least_px} px along each side",
            hint="use a larger image, or ask for a larger width_px or height_px",
        )
    values = image_values(config, [to_uint8(one) for one in content])
    content = _resized(content, size)
    use_threads(config.runtime.threads)
    regions = image_regions(config, content)
    stylers = build_stylers(config, found, shots=_image_colors(config, content, regions))
    stylized = []
    for index, (one, maps, own) in enumerate(zip(content, regions, values, strict=True)):
        seed = frame_seed(config.seed, config.name, index)
        batch = FrameBatch("cold", one[None], None, (seed,), regions=maps, indices=(index,), values=(own,))
        stylized.append(styler_of(stylers, index).stylize(batch).images[0])
    return like(image, torch.stack(stylized))


def _image_colors(config: Config, content: torch.Tensor, regions: Sequence[torch.Tensor | None]) -> list[ShotColors]:
    """The colors of images (B, 3, H, W), each a shot by itself, with the maps (1, R + 1, H, W) of their regions."""
    from pipeline.analysis.shot_colors import region_colors
    from pipeline.media.image.arrays import to_uint8
    from pipeline.stylers.shot_colors import ShotColors, decoded_parts

    frames = [Frame(index, index, to_uint8(one)) for index, one in enumerate(content)]
    shots = [Shot(index, index, index + 1) for index in range(len(frames))]
    parts: Sequence[Sequence[str]] = [()] * len(frames)
    if config.uses_region_colors:
        maps = [own[0].numpy() for own in regions if own is not None]
        parts = region_colors(lambda index, _: maps[index], frames, shots)
    found = []
    for frame, own in zip(frames, parts, strict=True):
        whole = frame.rgb.reshape(-1, 3)
        found.append(ShotColors(whole, frame.index, frame.index + 1, decoded_parts(own, whole)))
    return found


def as_tensor(image: Any) -> torch.Tensor:
    """An image as float32 (B, 3, H, W) sRGB in [0, 1] on the CPU.

    A path, a PIL image (which is read as its file would be: upright, over white where it is transparent), a NumPy array
    (H, W, 3) uint8, or a floating point tensor (3, H, W) or (B, 3, H, W) in [0, 1].
    Raises InputError for a file that cannot be read, UsageError for anything else.
    """
    import numpy as np
    import torch
    from PIL.Image import Image as PilImage

    from pipeline.media.image.arrays import to_tensor
    from pipeline.media.image.depth import as_8_bit
    from pipeline.media.image.load import load_rgb, render_frame

    if isinstance(image, str | Path):
        return to_tensor(load_rgb(Path(image)))[None]
    if isinstance(image, PilImage):
        # A copy has no file, whose pixels could be other ones by now.
        return to_tensor(as_8_bit(render_frame(image.copy(), "image")))[None]
    if isinstance(image, np.ndarray):
        if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size:
            return to_tensor(image)[None]
        raise _unknown(f"an array {image.shape} of {image.dtype}")
    if isinstance(image, torch.Tensor):
        batch = image[None] if image.ndim == 3 else image
        if image.is_floating_point() and batch.ndim == 4 and batch.shape[1] == 3 and batch.numel():
            values = batch.detach().to("cpu", torch.float32)
            low, high = (float(value) for value in values.aminmax())
            if not (low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT):  # nor if one is not a number
                raise UsageError(
                    f"cannot stylize a tensor of values from {low:g} to {high:g}; expected 0 to 1",
                    hint="divide by 255, undo a normalization, or clamp it",
                )
            return values
        raise _unknown(f"a tensor {tuple(image.shape)} of {image.dtype}")
    raise _unknown(type(image).__name__)


def like(image: Any, stylized: torch.Tensor) -> Any:
    """Stylized images, float32 (B, 3, H, W) in [0, 1], as the kind that `image` is: a path counts as a PIL image."""
    import numpy as np
    import torch
    from PIL.Image import fromarray

    from pipeline.media.image.arrays import to_uint8

    if isinstance(image, torch.Tensor):
        return (stylized[0] if image.ndim == 3 else stylized).to(image)
    rgb = to_uint8(stylized[0])
    return rgb if isinstance(image, np.ndarray) else fromarray(rgb)


def _resized(content: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Images (B, 3, H, W) in [0, 1] at (width, height), resized and rounded to 8 bits as the frames of a render are."""
    import torch

    from pipeline.media.image.arrays import resize, to_tensor, to_uint8

    if content.shape[-2:] == size[::-1]:
        return content
    return torch.stack([to_tensor(resize(to_uint8(one), *size)) for one in content])


def _unknown(found: str) -> UsageError:
    return UsageError(
        f"cannot stylize {found}",
        hint="give a path, a PIL image, a uint8 array (H, W, 3), or a floating point tensor (3, H, W) or (B, 3, H, W)",
    )

"""A styler that sees prepared frames: other colors, fewer colors, cells of one color, or lightness alone.

Only the styler sees the content so; motion is estimated in the content as it is. What is stored is the stylized frame,
with `luma_only` in the hue and chroma of the content as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pipeline.media.image.arrays import to_tensor, to_uint8
from pipeline.media.image.oklab import LAB_FROM_LMS, LMS_FROM_RGB, oklab_from_srgb, srgb_from_oklab
from pipeline.types import FrameBatch, Observable, SavesMemory, StyleColors, StylizedBatch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from pipeline.types import Styler

    RGB = NDArray[np.uint8]
    Maps = NDArray[np.float32]

    Step = Callable[[RGB, Maps | None], RGB]


class PreparedStyler:
    """Stylizes what `steps`, one after the other, make of the content, uint8 (H, W, 3) sRGB.

    They are also given the maps of its regions, float32 (R + 1, H, W) in [0, 1]; None: the style has no regions.
    With `luma_only` frames are gray for the styler, whose style images should be so too (`gray`), and its frames keep
    the hue and chroma of the content; with `luma_parts` they are and do so inside the maps of these numbers.
    """

    def __init__(
        self, inner: Styler, steps: Sequence[Step], *, luma_only: bool = False, luma_parts: Sequence[int] = ()
    ) -> None:
        self.inner = inner
        self._steps = steps
        self._luma_only = luma_only
        self._luma_parts = list(luma_parts)

    @property
    def style_colors(self) -> StyleColors | None:
        """Those of the styler."""
        return self.inner.style_colors

    def stylize(self, batch: FrameBatch) -> StylizedBatch:
        """Stylize every frame of the batch."""
        content = batch.content
        maps = [None] * len(content) if batch.regions is None else [one.cpu().numpy() for one in batch.regions]
        frames = [
            to_tensor(self.prepared(to_uint8(one), own), content.device) for one, own in zip(content, maps, strict=True)
        ]
        batch = replace(batch, content=torch.stack(frames))
        parts = [self._gray_part(own) for own in maps]
        if not any(part.any() for part in parts):
            return self.inner.stylize(batch)
        gray_batch = replace(
            batch, init=_grayed(batch.init, parts), warped_previous=_grayed(batch.warped_previous, parts)
        )
        stylized = self.inner.stylize(gray_batch)
        images = [
            to_tensor(with_chroma(to_uint8(image), to_uint8(own), part), stylized.images.device)
            for image, own, part in zip(stylized.images.clamp(0, 1), content, parts, strict=True)
        ]
        return StylizedBatch(torch.stack(images), stylized.stats)

    def with_values(self, values: Mapping[str, float]) -> PreparedStyler:
        """With other settings of the styler, by dotted key, as `NeuralStyler.with_values`; others have none."""
        from pipeline.stylers.neural import NeuralStyler

        if not isinstance(self.inner, NeuralStyler):
            return self
        return PreparedStyler(
            self.inner.with_values(values), self._steps, luma_only=self._luma_only, luma_parts=self._luma_parts
        )

    @property
    def observer(self) -> Any:
        """See `Observable`: the pictures that it is shown are those of the styler."""
        return self.inner.observer if isinstance(self.inner, Observable) else None

    @observer.setter
    def observer(self, observer: Any) -> None:
        if isinstance(self.inner, Observable):
            self.inner.observer = observer

    def prepared(self, rgb: RGB, maps: Maps | None = None) -> RGB:
        """A content frame, uint8 (H, W, 3) sRGB, with the maps of its regions, as the styler sees it."""
        for step in self._steps:
            rgb = step(rgb, maps)
        return self.seen(rgb, maps)

    def seen(self, rgb: RGB, maps: Maps | None = None) -> RGB:
        """A stylized frame, uint8 (H, W, 3) sRGB, with the maps of its regions, as the styler sees it."""
        part = self._gray_part(maps)
        return gray(rgb, part) if part.any() else rgb

    def _gray_part(self, maps: Maps | None) -> Maps:
        """How far the lightness alone of every pixel of a frame is stylized: (H, W), or one number for all (1, 1)."""
        if maps is None or self._luma_only or not self._luma_parts:
            return np.full((1, 1), self._luma_only, np.float32)
        return np.asarray(maps[self._luma_parts].sum(axis=0))

    def save_memory(self) -> str | None:
        """See `SavesMemory`."""
        return self.inner.save_memory() if isinstance(self.inner, SavesMemory) else None


def gray(rgb: RGB, part: Maps | None = None) -> RGB:
    """uint8 (H, W, 3) sRGB without hue: gray of the same Oklab lightness, as far as `part` in [0, 1] says."""
    lab = oklab_from_srgb(rgb)
    lab[..., 1:] *= 0 if part is None else 1 - part[..., np.newaxis]
    return srgb_from_oklab(lab)


def with_chroma(rgb: RGB, content: RGB, part: Maps) -> RGB:
    """An image with hue and chroma of the content as far as `part` in [0, 1] says, and as sRGB has such a color; uint8.

    Its Oklab lightness stays.
    """
    lab, kept = oklab_from_srgb(rgb), oklab_from_srgb(content)[..., 1:]
    lab[..., 1:] = part[..., np.newaxis] * kept + (1 - part[..., np.newaxis]) * lab[..., 1:]
    return srgb_from_oklab(lab)


def _grayed(images: Tensor | None, parts: Sequence[Maps]) -> Tensor | None:
    """Images (B, 3, H, W) in [0, 1], gray as far as the part (H, W) of each says; None: there are none."""
    if images is None:
        return None
    weight = torch.stack([torch.from_numpy(part)[None] for part in parts]).to(images.device)
    return images.lerp(gray_tensor(images), weight)


def gray_tensor(images: Tensor) -> Tensor:
    """`gray` of float32 (B, 3, H, W) in [0, 1] on their device, without rounding; values outside are clipped."""
    values = images.clamp(0, 1)
    light = torch.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    cones = torch.einsum("kc,bchw->bkhw", _matrix(LMS_FROM_RGB, images), light).clamp_min(0) ** (1 / 3)
    lightness = torch.einsum("k,bkhw->bhw", _matrix(LAB_FROM_LMS[0], images), cones)[:, None]
    linear = lightness**3  # the three cones of a gray are equal, and so are its three values
    level = torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp_min(1e-9) ** (1 / 2.4) - 0.055)
    return level.clamp(0, 1).expand_as(images).contiguous()


def _matrix(values: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=like.dtype, device=like.device)

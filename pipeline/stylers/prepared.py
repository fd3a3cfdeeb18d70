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


class PreparedStyler:
    """Stylizes what `steps`, one after the other, make of the content, uint8 (H, W, 3) sRGB.

    With `luma_only` frames are gray for the styler, whose style images should be so too (`gray`), and its frames keep
    the hue and chroma of the content.
    """

    def __init__(self, inner: Styler, steps: Sequence[Callable[[RGB], RGB]], *, luma_only: bool = False) -> None:
        self.inner = inner
        self._steps = steps
        self._luma_only = luma_only

    @property
    def style_colors(self) -> StyleColors | None:
        """Those of the styler."""
        return self.inner.style_colors

    def stylize(self, batch: FrameBatch) -> StylizedBatch:
        """Stylize every frame of the batch."""
        content = batch.content
        frames = [to_tensor(self.prepared(to_uint8(one)), content.device) for one in content]
        batch = replace(batch, content=torch.stack(frames))
        if not self._luma_only:
            return self.inner.stylize(batch)
        gray_batch = replace(
            batch,
            init=None if batch.init is None else gray_tensor(batch.init),
            warped_previous=None if batch.warped_previous is None else gray_tensor(batch.warped_previous),
        )
        stylized = self.inner.stylize(gray_batch)
        images = [
            to_tensor(with_chroma(to_uint8(image), to_uint8(own)), stylized.images.device)
            for image, own in zip(stylized.images.clamp(0, 1), content, strict=True)
        ]
        return StylizedBatch(torch.stack(images), stylized.stats)

    def with_values(self, values: Mapping[str, float]) -> PreparedStyler:
        """With other settings of the styler, by dotted key, as `NeuralStyler.with_values`; others have none."""
        from pipeline.stylers.neural import NeuralStyler

        if not isinstance(self.inner, NeuralStyler):
            return self
        return PreparedStyler(self.inner.with_values(values), self._steps, luma_only=self._luma_only)

    @property
    def observer(self) -> Any:
        """See `Observable`: the pictures that it is shown are those of the styler."""
        return self.inner.observer if isinstance(self.inner, Observable) else None

    @observer.setter
    def observer(self, observer: Any) -> None:
        if isinstance(self.inner, Observable):
            self.inner.observer = observer

    def prepared(self, rgb: RGB) -> RGB:
        """A content frame, uint8 (H, W, 3) sRGB, as the styler sees it."""
        for step in self._steps:
            rgb = step(rgb)
        return gray(rgb) if self._luma_only else rgb

    def seen(self, rgb: RGB) -> RGB:
        """A stylized frame, uint8 (H, W, 3) sRGB, as the styler sees it."""
        return gray(rgb) if self._luma_only else rgb

    def save_memory(self) -> str | None:
        """See `SavesMemory`."""
        return self.inner.save_memory() if isinstance(self.inner, SavesMemory) else None


def gray(rgb: RGB) -> RGB:
    """uint8 (..., 3) sRGB without hue: gray of the same Oklab lightness."""
    lab = oklab_from_srgb(rgb)
    lab[..., 1:] = 0
    return srgb_from_oklab(lab)


def with_chroma(rgb: RGB, content: RGB) -> RGB:
    """The Oklab lightness of an image with hue and chroma of the content, as far as sRGB has such a color; uint8."""
    lab = oklab_from_srgb(content)
    lab[..., 0] = oklab_from_srgb(rgb)[..., 0]
    return srgb_from_oklab(lab)


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

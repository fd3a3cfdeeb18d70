"""Watching one frame while it is stylized: its losses, and the picture after chosen evaluations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.explain.growth import CLIP_PICTURES, GrowthPicture, spaced
from pipeline.explain.losses import LossStep
from pipeline.media.image.arrays import to_uint8

if TYPE_CHECKING:
    from torch import Tensor


class Watched:
    """An observer (see `Observer`) of a batch of one cold frame.

    `steps` has the losses after every evaluation, `pictures` the first, the last and some between at every scale.
    """

    def __init__(self, evaluations: int, checkpoint: Callable[[], None]) -> None:
        """`evaluations` are those of every scale; `checkpoint` is called after each, and may raise."""
        self.steps: list[LossStep] = []
        self.pictures: list[GrowthPicture] = []
        self._evaluations = evaluations
        self._kept = frozenset(spaced(evaluations, CLIP_PICTURES))
        self._checkpoint = checkpoint

    def __call__(self, number: int, images: Tensor, losses: Tensor, terms: Tensor) -> None:
        self._checkpoint()
        scale = (number - 1) // self._evaluations + 1
        height, width = images.shape[-2:]
        self.steps.append(LossStep(number, scale, width, height, float(losses[0]), tuple(terms[0].tolist())))
        if (number - 1) % self._evaluations + 1 in self._kept and bool(images.isfinite().all()):
            self.pictures.append(GrowthPicture(number, to_uint8(images[0])))

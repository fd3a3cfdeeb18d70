"""The baselines of a render: the same frames stylized in two simpler ways; and losses and features of single images."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from pipeline.media.image.arrays import to_tensor, to_uint8
from pipeline.plan.chains import frame_seed
from pipeline.types import Chain, FrameBatch, Phase, Styler

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from pipeline.runtime.progress import Reporter
    from pipeline.types import Masks

    RGB = NDArray[np.uint8]


class Losses(NamedTuple):
    """Losses of one image: dimensionless, `content` and `style` unweighted.

    `total` is the weighted sum of the content, style and total variation terms, without the temporal one, so that warm
    frames can be compared with frames that have no temporal term.
    """

    total: float
    content: float
    style: float


class BaselineStyler:
    """Stylizes frames of a chain without what makes the chain coherent."""

    def __init__(self, styler: Styler, reporter: Reporter, masks: Masks | None = None) -> None:
        """`masks` are those of the regions of the style, if it has some."""
        self._styler = styler
        self._reporter = reporter
        self._masks = masks

    def independent(self, chain: Chain, index: int, content: RGB) -> RGB:
        """The frame stylized independently, with the seed that the render gives it."""
        return self._stylize(chain, index, "cold", content, None)

    def without_flow(self, chain: Chain, index: int, content: RGB, previous: RGB) -> RGB:
        """The frame started from the previous stylized one as it is: not warped, and without a temporal term."""
        return self._stylize(chain, index, "warm", content, previous)

    def _stylize(self, chain: Chain, index: int, phase: Phase, content: RGB, previous: RGB | None) -> RGB:
        began = time.perf_counter()
        batch = FrameBatch(
            phase,
            to_tensor(content)[None],
            None if previous is None else to_tensor(previous)[None],
            (frame_seed(chain.seed, chain.style, index),),
            regions=frame_regions(self._masks, index, content),
            indices=(index,),
        )
        stylized = self._styler.stylize(batch)
        self._reporter.frame_stored(chain, index, phase, stylized.stats[0], time.perf_counter() - began)
        return to_uint8(stylized.images[0])


def frame_regions(masks: Masks | None, index: int, content: RGB) -> Tensor | None:
    """The maps (1, R + 1, H, W) of the regions of a frame; None without masks."""
    if masks is None:
        return None
    import torch

    from pipeline.motion.region_change import region_maps

    return torch.from_numpy(region_maps(masks(index, content)))[None]


def losses_of(
    styler: Styler, content: RGB, images: Sequence[RGB], regions: Tensor | None = None
) -> list[Losses] | None:
    """Losses of images, uint8 (H, W, 3), under the objective of the style at full size; None if it has no objective.

    Measured with the encoder of the render, in its precision, and with the `frame_regions`.
    """
    from pipeline.stylers.neural import NeuralStyler
    from pipeline.stylers.prepared import PreparedStyler

    if isinstance(styler, PreparedStyler):
        maps = None if regions is None else regions[0].numpy()
        content, images = styler.prepared(content, maps), [styler.seen(image, maps) for image in images]
        styler = styler.inner
    if not isinstance(styler, NeuralStyler):
        return None
    objective = styler.objective(to_tensor(content)[None], regions)
    found = []
    for image in images:
        evaluation = objective(to_tensor(image)[None].to(styler.device))
        content_loss, style_loss, *_ = evaluation.terms[0].tolist()
        found.append(Losses(float(evaluation.losses[0]), content_loss, style_loss))
    return found


def features_of(styler: Styler, images: Sequence[RGB], layer: str) -> list[Tensor] | None:
    """Features (C, h, w) of images, uint8 (H, W, 3), at a layer of the encoder of the render, in its precision.

    None if the styler has no encoder, or the encoder has no such layer.
    """
    from pipeline.stylers.neural import NeuralStyler
    from pipeline.stylers.prepared import PreparedStyler

    if isinstance(styler, PreparedStyler):
        styler = styler.inner
    if not isinstance(styler, NeuralStyler) or layer not in styler.encoder.layers:
        return None
    import torch

    with torch.no_grad():
        return [styler.encoder(to_tensor(image)[None].to(styler.device), (layer,))[layer][0] for image in images]

"""The neural styler: paints frames by minimizing the objective over their pixels.

A cold frame is painted from coarse to fine, with fresh noise and less content at the coarse scales, so that large
strokes form first. A warm frame continues from the previous stylized frame at full size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.errors import StylizeError
from pipeline.optimize.minimize import FIRST_STEP_RMS, WARM_FIRST_STEP_RMS, Minimum, adam, lbfgs
from pipeline.optimize.objective import Objective, StyleTarget, content_targets, style_target
from pipeline.types import FrameBatch, FrameStats, StylizedBatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.settings import ColdSettings, StylizeSettings
    from pipeline.encoders.network import Encoder


def cold_scales(
    width_px: int, height_px: int, settings: ColdSettings, *, min_side_px: int = 1
) -> list[tuple[int, int]]:
    """Sizes (width, height) in px from the coarsest to the full one, `scale_step` apart.

    The longer side of the coarsest is at least `min_scale_px`, the shorter one at least `min_side_px`, which the
    encoder needs; a frame that is smaller has one scale.
    """
    longer = max(width_px, height_px)
    steps = max(0, math.floor(math.log(longer / settings.min_scale_px) / math.log(settings.scale_step) + 1e-9))
    factors = [settings.scale_step**-k for k in range(steps, 0, -1)]
    coarse = [(max(1, round(width_px * factor)), max(1, round(height_px * factor))) for factor in factors]
    return [*(size for size in coarse if min(size) >= min_side_px), (width_px, height_px)]


NOISE_CURVE = (1.0, 1.0, 0.5, 0.2)
"""Noise from the coarsest to the finest scale: at the coarse ones it lets large strokes form, at the fine ones there
are too few evaluations left to paint over all of it, and what stays is speckle."""


NEW_FRACTION = (0.01, 0.15)
"""Share of a warm frame that shows something new at which it may take more evaluations, and at which most."""


def stretched(curve: Sequence[float], scales: int) -> list[float]:
    """A curve from the coarsest to the finest scale, stretched over however many scales there are."""
    if scales == 1:
        return [curve[-1]]
    return [float(value) for value in np.interp(np.linspace(0, 1, scales), np.linspace(0, 1, len(curve)), curve)]


def painting_size(
    painting: tuple[int, int], frame: tuple[int, int], scale: float, *, min_side_px: int = 1
) -> tuple[int, int]:
    """Size (width, height) at which a painting is looked at beside a frame: longer sides equal, times `scale`.

    Never larger than the painting is: enlarging it would teach the frame blur. The shorter side stays at `min_side_px`,
    which the encoder needs.
    """
    factor = min(1.0, max(scale * max(frame) / max(painting), min_side_px / min(painting)))
    return max(1, round(painting[0] * factor)), max(1, round(painting[1] * factor))


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (B, 3, H, W) at (width, height): bicubic, with a low-pass when shrinking; the same tensor if equal."""
    width, height = size
    if images.shape[-2:] == (height, width):
        return images
    shrink = height < images.shape[-2] or width < images.shape[-1]
    result = F.interpolate(images, size=(height, width), mode="bicubic", align_corners=False, antialias=shrink)
    return result.clamp_(0, 1)


class NeuralStyler:
    """Paints batches of frames in the style of one or more paintings."""

    def __init__(
        self,
        settings: StylizeSettings,
        paintings: Sequence[NDArray[np.uint8]],
        encoder: Encoder,
        *,
        device: torch.device,
        init_picture: NDArray[np.uint8] | None = None,
    ) -> None:
        """`paintings` are uint8 (H, W, 3) sRGB, one for each of `settings.style.images`."""
        self.settings = settings
        self.encoder = encoder
        self.device = device
        # As they are: as float tensors on the device, two of 24 megapixels would take 600 MB there all the time.
        self._paintings = tuple(paintings)
        self._init_picture = init_picture
        self._targets: dict[tuple[int, int], tuple[StyleTarget, ...]] = {}

    def _tensor(self, rgb: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].to(self.device).float() / 255

    def stylize(self, batch: FrameBatch) -> StylizedBatch:
        """Paint every frame of the batch.

        Raises StylizeError if a loss is not finite.
        """
        content = batch.content.to(self.device)
        minimum = self._cold(content, batch) if batch.phase == "cold" else self._warm(content, batch)
        losses = minimum.losses.tolist()
        for position, loss in enumerate(losses):
            if not math.isfinite(loss):
                raise StylizeError(
                    f"the loss of frame {position + 1} of the batch is {loss}: expected a finite number",
                    hint="try --set optimize.precision=float32, or smaller weights; `tempera doctor` tests the encoder",
                )
        stats = tuple(
            FrameStats(evaluations, loss, *terms)
            for evaluations, loss, terms in zip(minimum.evaluations, losses, minimum.terms.tolist(), strict=True)
        )
        return StylizedBatch(minimum.images, stats)

    def objective(self, content: Tensor) -> Objective:
        """The objective of whole frames (B, 3, H, W) in [0, 1], without the temporal term."""
        return self._objective(content.to(self.device), 1.0)

    def _cold(self, content: Tensor, batch: FrameBatch) -> Minimum:
        cold = self.settings.optimize.cold
        scales = self._scales(content)
        images = self._cold_start(content, batch, scales[0])
        return self._coarse_to_fine(content, batch, images, scales, len(scales), cold.noise, cold.evaluations)

    def _coarse_to_fine(
        self,
        content: Tensor,
        batch: FrameBatch,
        images: Tensor,
        scales: Sequence[tuple[int, int]],
        repainted: int,
        noise: float,
        evaluations: int,
        *,
        temporal_factor: float = 0.0,
    ) -> Minimum:
        """Paint over `images` at the finest `repainted` scales, from coarse to fine, with fresh noise at each.

        At the last one the temporal term holds the frame, by its factor.
        """
        factors = stretched(self.settings.losses.content.scale_weights, len(scales))
        spent = [0] * len(content)
        minimum = None
        first = len(scales) - repainted
        for level, curve in zip(range(first, len(scales)), stretched(NOISE_CURVE, repainted), strict=True):
            size = scales[level]
            start = resized(images, size) + noise * curve * self._noise(batch.seeds, level, size)
            held = batch if level == len(scales) - 1 and temporal_factor > 0 else None
            objective = self._objective(resized(content, size), factors[level], held, temporal_factor=temporal_factor)
            minimum = self._minimize(objective, start, evaluations, FIRST_STEP_RMS)
            images = minimum.images
            spent = [sum(pair) for pair in zip(spent, minimum.evaluations, strict=True)]
        assert minimum is not None
        return Minimum(minimum.images, minimum.losses, minimum.terms, tuple(spent))

    def _warm(self, content: Tensor, batch: FrameBatch) -> Minimum:
        assert batch.init is not None
        if self.settings.motion.boil > 0:
            return self._boiling(content, batch, self.settings.motion.boil)
        warm = self.settings.optimize.warm
        return self._minimize(
            self._objective(content, 1.0, batch),
            batch.init.to(self.device),
            self._limits(batch),
            WARM_FIRST_STEP_RMS,
            min_evaluations=warm.min_evaluations,
            tolerance=warm.tolerance,
        )

    def _limits(self, batch: FrameBatch) -> list[int]:
        """Evaluations that each warm frame may take: more where much of it is new, up to those of a cold scale."""
        optimize = self.settings.optimize
        most, some = max(optimize.warm.evaluations, optimize.cold.evaluations), optimize.warm.evaluations
        low, high = NEW_FRACTION
        shares = [min(1.0, max(0.0, (share - low) / (high - low))) for share in batch.new_fractions]
        return [round(some + share * (most - some)) for share in shares or [0.0] * len(batch.content)]

    def _boiling(self, content: Tensor, batch: FrameBatch, boil: float) -> Minimum:
        """A warm frame whose strokes are partly fresh: the more boil, the coarser the scale from which it is repainted.

        At 1 it is a cold frame: start, noise, evaluations and weights grow towards that.
        """
        assert batch.init is not None
        settings = self.settings.optimize
        scales = self._scales(content)
        return self._coarse_to_fine(
            content,
            batch,
            batch.init.to(self.device).lerp(content, boil**2),
            scales,
            max(1, math.ceil(boil * len(scales))),
            math.sqrt(boil) * settings.cold.noise,
            round((1 - boil) * settings.warm.evaluations + boil * settings.cold.evaluations),
            temporal_factor=(1 - boil) ** 2,
        )

    def _scales(self, content: Tensor) -> list[tuple[int, int]]:
        height, width = content.shape[-2:]
        return cold_scales(width, height, self.settings.optimize.cold, min_side_px=self.encoder.min_side_px)

    def _cold_start(self, content: Tensor, batch: FrameBatch, size: tuple[int, int]) -> Tensor:
        if batch.init is not None:
            return batch.init.to(self.device)
        if self._init_picture is not None:
            return resized(self._tensor(self._init_picture), size).expand(content.shape[0], -1, -1, -1)
        if self.settings.optimize.cold.init == "noise":
            return (0.5 + 0.25 * self._noise(batch.seeds, -1, size)).clamp_(0, 1)
        return content

    def _noise(self, seeds: Sequence[int], level: int, size: tuple[int, int]) -> Tensor:
        """Standard normal noise (B, 3, H, W); drawn on the CPU, so that a seed means the same on every device."""
        width, height = size
        samples = []
        for seed in seeds:
            generator = torch.Generator().manual_seed((seed + 0x9E3779B97F4A7C15 * (level + 2)) % 2**63)
            samples.append(torch.randn((3, height, width), generator=generator))
        return torch.stack(samples).to(self.device)

    def _objective(
        self, content: Tensor, content_factor: float, batch: FrameBatch | None = None, *, temporal_factor: float = 1.0
    ) -> Objective:
        """Of the contents at one scale; with the temporal term if a warm batch is given."""
        losses = self.settings.losses
        target = None if batch is None else batch.warped_previous
        confidence = None if batch is None else batch.confidence
        return Objective(
            encoder=self.encoder,
            settings=losses,
            content=content_targets(self.encoder, losses, content),
            styles=self._style_targets((content.shape[-1], content.shape[-2])),
            content_factor=content_factor,
            warped_previous=None if target is None else target.to(self.device),
            confidence=None if confidence is None else confidence.to(self.device),
            temporal_factor=temporal_factor,
        )

    def _style_targets(self, size: tuple[int, int]) -> tuple[StyleTarget, ...]:
        """Statistics of all paintings for frames of this size: computed once."""
        if size not in self._targets:
            style = self.settings.style
            targets = []
            for image, painting in zip(style.images, self._paintings, strict=True):
                if image.weight == 0:
                    continue
                own = (painting.shape[1], painting.shape[0])
                least_px = self.encoder.min_side_px
                looked_at = painting_size(own, size, image.scale or style.scale, min_side_px=least_px)
                shown = resized(self._tensor(painting), looked_at)
                targets.append(style_target(self.encoder, self.settings.losses, shown, image.weight))
            self._targets[size] = tuple(targets)
        return self._targets[size]

    def _minimize(
        self,
        objective: Objective,
        start: Tensor,
        evaluations: int | Sequence[int],
        first_step_rms: float,
        *,
        min_evaluations: int = 1,
        tolerance: float = 0.0,
    ) -> Minimum:
        optimize = self.settings.optimize
        if optimize.minimizer == "adam":
            return adam(objective, start, evaluations=evaluations, learning_rate=optimize.learning_rate)
        return lbfgs(
            objective,
            start,
            evaluations=evaluations,
            history=optimize.history,
            first_step_rms=first_step_rms,
            min_evaluations=min_evaluations,
            tolerance=tolerance,
            subset=objective.subset,
        )

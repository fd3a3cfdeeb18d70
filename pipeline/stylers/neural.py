"""The neural styler: stylizes frames by minimizing the objective over their pixels.

A cold frame is stylized from coarse to fine, with fresh noise and a lower content weight at the coarse scales, so that
large strokes form first. A warm frame continues from the warped previous stylized frame at full size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from pipeline.config.section import with_values
from pipeline.errors import StylizeError
from pipeline.media.image.arrays import size_within
from pipeline.media.image.recolor import IDENTITY, style_map
from pipeline.optimize.lbfgs import WARM_FIRST_STEP_RMS
from pipeline.optimize.light import LightTarget, light_target
from pipeline.optimize.losses import TemporalTarget
from pipeline.optimize.minimizers import MINIMIZERS, Minimizer
from pipeline.optimize.minimum import Minimum, Observer
from pipeline.optimize.objective import Objective
from pipeline.optimize.regions import KeptPixels
from pipeline.runtime.transfers import upload
from pipeline.stylers.boil import BoilingFrame, boiling_frame
from pipeline.stylers.frame_memory import FrameMemory
from pipeline.stylers.region_styles import RegionStyles, join_hold, recolored, resize_maps
from pipeline.stylers.scales import Size, cold_scales, resample_curve, resize, seeded_noise
from pipeline.stylers.style_targets import COLORS_SIDE_PX, StyleTargets, image_tensor, style_colors, with_weights
from pipeline.stylers.unequal_frames import stylize_apart
from pipeline.types import ColorGaussian, FrameBatch, FrameStats, StylizedBatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.settings import StylizeSettings
    from pipeline.encoders.network import Encoder

NOISE_CURVE = (1.0, 1.0, 0.5, 0.2)
"""Noise from the coarsest to the finest scale: at the coarse ones it lets large strokes form; at the fine ones there
are too few evaluations left to remove all of it, and the rest would be visible as speckle."""

NEW_FRACTION = (0.01, 0.15)
"""Fraction of a warm frame that shows something new at which its limit of evaluations begins to rise, and where it is
highest."""


@dataclass(frozen=True, slots=True)
class _Contents:
    """The contents of a batch at one scale: `images` (B, 3, H, W), and `maps` (B, R + 1, H, W) of their regions.

    `maps` None: the style has no regions; `kept` None: none of them keeps pixels.
    """

    images: Tensor
    maps: Tensor | None = None
    kept: KeptPixels | None = None


class NeuralStyler:
    """Stylizes batches of frames with one or more style images."""

    def __init__(
        self,
        settings: StylizeSettings,
        style_images: Sequence[NDArray[np.uint8]],
        encoder: Encoder,
        *,
        device: torch.device,
        init_image: NDArray[np.uint8] | None = None,
        region_images: Sequence[Sequence[NDArray[np.uint8]]] = (),
        observer: Observer | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        """`style_images` are uint8 (H, W, 3) sRGB, one for each of `settings.style.images`.

        `region_images` are those of each of `settings.regions`. `note` is told what a user should know, such as that
        frames are computed in tiles.

        `init_image` is where cold frames start, instead of what the settings say. `observer` is called after every
        evaluation; it counts on from scale to scale of a frame, whose images have the size of the scale.
        """
        self.settings = settings
        self.encoder = encoder
        self.device = device
        self.observer = observer
        self._style_targets = StyleTargets(settings, style_images, encoder, device)
        self._regions = RegionStyles(settings, self._style_targets, region_images, encoder, device)
        self.style_colors = replace(style_colors(settings.style, style_images), regions=self._regions.colors)
        self._init_image = init_image
        self._memory = FrameMemory(settings, encoder, device, note)

    def stylize(self, batch: FrameBatch) -> StylizedBatch:
        """Stylize every frame of the batch; those to which curves give equal settings together.

        Raises StylizeError if a loss is not finite.
        """
        if any(values != batch.values[0] for values in batch.values):
            return stylize_apart(self, batch)
        if batch.values and batch.values[0]:
            return self.with_values(batch.values[0]).stylize(replace(batch, values=()))
        if self.settings.regions and batch.regions is None:
            raise ValueError("the style has regions, and the batch has no maps of them")
        contents = self._contents(batch.content.to(self.device), batch.regions)
        self._memory.begin(_size(contents.images), len(contents.images))
        minimum = self._cold(contents, batch) if batch.phase == "cold" else self._warm(contents, batch)
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
        kept = contents.kept
        return StylizedBatch(minimum.images if kept is None else kept.shown(minimum.images), stats)

    def with_values(self, values: Mapping[str, float]) -> Self:
        """The styler with other settings, by dotted key: those that curves change. All else is shared."""
        if not values:
            return self
        changed = copy(self)
        changed.settings = with_values(self.settings, values)
        changed.style_colors = with_weights(self.style_colors, values)
        return changed

    def save_memory(self) -> str | None:
        """After frames did not fit into memory: take them in a smaller way, which is returned; None: there is none."""
        found = self._memory.reduce()
        return None if found is None else f"{found[0][1]}x{found[0][0]} px computed {found[1]}"

    def _minimizer(self, images: Tensor) -> Minimizer:
        """What minimizes images of this size (B, 3, H, W) within the memory that is free."""
        plan = self._memory(_size(images), len(images))
        optimize = self.settings.optimize
        return MINIMIZERS[optimize.minimizer](optimize, pairs=plan.pairs, pairs_dtype=plan.pairs_dtype)

    def objective(self, content: Tensor, regions: Tensor | None = None) -> Objective:
        """The objective of whole frames (B, 3, H, W) in [0, 1], without the temporal term.

        `regions` (B, R + 1, H, W) are the maps of the style's regions.
        """
        return self._objective(self._contents(content.to(self.device), regions), 1.0)

    def _contents(self, images: Tensor, regions: Tensor | None) -> _Contents:
        """Content frames of one scale (B, 3, H, W) with the maps of their regions, which are given at the full size."""
        if regions is None:
            return _Contents(images)
        maps = resize_maps(regions.to(self.device), _size(images))
        return _Contents(images, maps, self._regions.kept(images, maps))

    def _cold(self, contents: _Contents, batch: FrameBatch) -> Minimum:
        scales = self._scales(contents.images)
        frame = boiling_frame(1.0, self.settings.optimize, len(scales))  # nothing of it is warm
        return self._coarse_to_fine(contents.images, batch, self._cold_start(contents.images, batch, scales[0]), frame)

    def _cold_start(self, content: Tensor, batch: FrameBatch, size: Size) -> Tensor:
        if batch.init is not None:
            return batch.init.to(self.device)
        if self._init_image is not None:
            return resize(image_tensor(self._init_image, self.device), size).expand(content.shape[0], -1, -1, -1)
        if self.settings.optimize.cold.init == "noise":
            return (0.5 + 0.25 * self._noise(batch, -1, size)).clamp_(0, 1)
        return content

    def _warm(self, contents: _Contents, batch: FrameBatch) -> Minimum:
        if self.settings.motion.boil > 0:
            return self._boiling(contents, batch)
        warm = self.settings.optimize.warm
        objective = self._objective(contents, 1.0, batch)
        changes = batch.settings_changes or (0.0,) * len(contents.images)
        return self._minimizer(contents.images)(
            objective,
            self._warm_init(contents, batch),
            evaluations=self._limits(batch),
            first_step_rms=WARM_FIRST_STEP_RMS,
            min_evaluations=warm.min_evaluations,
            # A start that was a minimum for other weights is slow at first, and must not count as finished.
            tolerance=[0.0 if change > NEW_FRACTION[0] else warm.tolerance for change in changes],
            subset=objective.subset,
            observer=self._watching(0, contents.kept),
        )

    def _warm_init(self, contents: _Contents, batch: FrameBatch) -> Tensor:
        """Where warm frames start, as hidden images where regions keep pixels."""
        assert batch.init is not None
        init = batch.init.to(self.device)
        return init if contents.kept is None else contents.kept.hidden(init)

    def _watching(self, before: int, kept: KeptPixels | None) -> Observer | None:
        """The observer at one scale: it is shown what regions keep, and evaluations from `before` on."""
        observer = self.observer
        if observer is None:
            return None

        def watch(number: int, images: Tensor, losses: Tensor, terms: Tensor) -> None:
            observer(before + number, images if kept is None else kept.shown(images), losses, terms)

        return watch

    def _limits(self, batch: FrameBatch) -> list[int]:
        """The most evaluations of each warm frame: more where much of it, or of its settings, is new.

        Up to those of a cold scale.
        """
        optimize = self.settings.optimize
        least, most = optimize.warm.evaluations, max(optimize.warm.evaluations, optimize.cold.evaluations)
        low, high = NEW_FRACTION
        pairs = zip_longest(batch.new_fractions, batch.settings_changes, fillvalue=0.0)
        rises = [min(1.0, max(0.0, (max(pair) - low) / (high - low))) for pair in pairs]
        return [round(least + rise * (most - least)) for rise in rises or [0.0] * len(batch.content)]

    def _boiling(self, contents: _Contents, batch: FrameBatch) -> Minimum:
        scales = self._scales(contents.images)
        frame = boiling_frame(self.settings.motion.boil, self.settings.optimize, len(scales))
        start = self._warm_init(contents, batch).lerp(contents.images, frame.content_fraction)
        return self._coarse_to_fine(contents.images, batch, start, frame)

    def _coarse_to_fine(self, images: Tensor, batch: FrameBatch, start: Tensor, frame: BoilingFrame) -> Minimum:
        """Stylize content frames (B, 3, H, W) from `start`, from coarse to fine, with fresh noise at each scale.

        At the last one the temporal term is on, scaled by its factor.
        """
        scales = self._scales(images)
        content_factors = resample_curve(self.settings.losses.content.scale_weights, len(scales))
        spent = [0] * len(images)
        found, minimum = start, None
        first = len(scales) - frame.levels
        for level, curve in zip(range(first, len(scales)), resample_curve(NOISE_CURVE, frame.levels), strict=True):
            size = scales[level]
            self._memory.make_room()
            begin = resize(found, size) + frame.noise * curve * self._noise(batch, level, size)
            warm = batch if level == len(scales) - 1 and frame.temporal_factor > 0 else None
            contents = self._contents(resize(images, size), batch.regions)
            objective = self._objective(contents, content_factors[level], warm, temporal_factor=frame.temporal_factor)
            minimum = self._minimizer(begin)(
                objective,
                begin,
                evaluations=frame.evaluations,
                subset=objective.subset,
                observer=self._watching(max(spent), contents.kept),
            )
            found = minimum.images
            spent = [sum(pair) for pair in zip(spent, minimum.evaluations, strict=True)]
        assert minimum is not None
        return Minimum(minimum.images, minimum.losses, minimum.terms, tuple(spent))

    def _scales(self, content: Tensor) -> list[Size]:
        height, width = content.shape[-2:]
        return cold_scales((height, width), self.settings.optimize.cold, min_side_px=self.encoder.min_side_px)

    def _noise(self, batch: FrameBatch, level: int, size: Size) -> Tensor:
        return seeded_noise(batch.seeds, level, size).to(self.device)

    def _objective(
        self,
        contents: _Contents,
        content_factor: float,
        warm: FrameBatch | None = None,
        *,
        temporal_factor: float = 1.0,
    ) -> Objective:
        """The objective of the contents at one scale; with the temporal term if a warm batch is given."""
        images, maps, kept = contents.images, contents.maps, contents.kept
        tile_px = self._memory(_size(images), len(images)).tile_px
        temporal = None
        if warm is not None and warm.warped_previous is not None and warm.confidence is not None:
            confidence = warm.confidence.to(self.device)
            confidence = confidence if maps is None else confidence * join_hold(maps)
            confidence = confidence if kept is None else confidence * (1 - kept.kept)
            temporal = TemporalTarget.of(warm.warped_previous.to(self.device), confidence)
        return Objective.of(
            self.encoder,
            self.settings.losses,
            images,
            self._style_targets(_size(images), tile_px, self.style_colors.weights),
            content_factor=content_factor,
            temporal=temporal,
            temporal_factor=temporal_factor,
            light=self._light(images, None if warm is None else warm.recent_change, maps),
            tile_px=tile_px,
            regions=None if maps is None else self._regions.terms(images, maps, tile_px, self.settings),
            kept=kept,
        )

    def _light(self, content: Tensor, recent_change: Tensor | None, maps: Tensor | None) -> list[LightTarget]:
        """What broad light is compared with: coarse everywhere, finer where the content changed recently."""
        settings = self.settings.losses.light
        if settings.weight == 0:
            return []
        if maps is not None:
            content = recolored(content, maps, self.style_colors)
        recolor = self._recoloring(content) if maps is None else lambda colors: colors
        targets = [light_target(content, settings.scale, recolor=recolor)]
        if recent_change is not None and bool(recent_change.any()):
            changed = recent_change.to(self.device)
            targets.append(light_target(content, settings.changed_scale, changed, recolor))
        return targets

    def _recoloring(self, contents: Tensor) -> Callable[[Tensor], Tensor]:
        """The map of colors (B, 3, h, w) of content frames (B, 3, H, W) to those of the style images, not clipped."""
        width, height = size_within(contents.shape[-1], contents.shape[-2], COLORS_SIDE_PX)
        matrices, offsets = [], []
        for colors in resize(contents, (height, width)).flatten(2).double().cpu():
            # Content that is not finite has no colors to map; its loss will not be finite, which is reported.
            gaussian = ColorGaussian(colors.mean(dim=1).numpy(), torch.cov(colors).numpy())
            found = style_map(gaussian, self.style_colors) if bool(colors.isfinite().all()) else IDENTITY
            matrices.append(found.matrix)
            offsets.append(found.offset)
        matrix, offset = (upload(np.stack(parts).astype(np.float32), contents.device) for parts in (matrices, offsets))
        return lambda colors: torch.einsum("bcd,bdhw->bchw", matrix, colors) + offset[:, :, None, None]


def _size(images: Tensor) -> Size:
    return images.shape[-2], images.shape[-1]
